"""Runs over small folders of generated images: what is written, held and refused, and what a second run does.

The sandbox is called in this process and the reader is a script; the real ones are in tests/integration."""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from core.deid.headers import METHOD
from core.deid.mask_rules import read_rule
from core.deid.structure import faults
from core.deid.text_judge import Finding, Kind
from core.deid.unseen import DEVICE_CONFIRMED, UNSEEN
from core.dicom.part10 import open_part10
from core.errors import Refused, Unavailable
from core.folder import confirmations, one_file, run
from core.folder.one_file import NO_RULE, NOT_SILENT, QUESTION, STILL_THERE, Status
from core.folder.places import Places
from core.folder.rules import Rules
from core.folder.run import Options, Outcome
from core.folder.texts import Seen
from core.sandbox import UNSAFE
from tests.rawsearch import hits
from tests.unit.deid import conftest as made

CX50 = {
    "manufacturer_rule": "Philips", "model_rule": "CX50", "rows_rule": "48", "columns_rule": "64",
    "rects_x_y_w_h": "(0,0,64,10)", "action": "blank",
}  # fmt: skip
KNOWN = Rules((read_rule(CX50, 1),), "1")
UNKNOWN = Rules((), "0")
SILENT = Seen((), ())


class InProcess:
    """What the sandbox does, without its children."""

    def __init__(self, **_: object) -> None:
        pass

    def call(
        self, target: str, params: Mapping[str, Any], blobs: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], list[bytes]]:
        module, name = target.split(":")
        answer: tuple[dict[str, Any], list[bytes]] = getattr(importlib.import_module(module), name)(
            json.loads(json.dumps(params)), list(blobs)
        )
        return answer

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass
class Folder:
    """A folder of images, and what the reader sees on each candidate in turn."""

    places: Places
    seen: list[Seen] = field(default_factory=list)

    def add(self, name: str, **changes: Any) -> None:
        dataset: Dataset = made._ultrasound()
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        (self.places.source / name).write_bytes(made._part10(dataset))

    def run(self, rules: Rules = KNOWN, **options: Any) -> dict[str, Outcome]:
        return {one.input: one for one in run.run(self.places, Options(rules, 2, **options), lambda _: None)}

    def written(self) -> dict[str, bytes]:
        out = self.places.out
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    (tmp_path / "in").mkdir()
    made_here = Folder(Places.of(tmp_path / "in", tmp_path / "out", tmp_path / "keys"))
    monkeypatch.setattr(run, "Sandbox", InProcess)
    monkeypatch.setattr(run.texts, "Sandbox", InProcess)
    monkeypatch.setattr(one_file, "look", lambda *_: made_here.seen.pop(0) if made_here.seen else SILENT)
    return made_here


def found(*boxes: tuple[int, int, int, int], kind: Kind = Kind.IDENTIFIER) -> Seen:
    findings = tuple(Finding(1, box, kind, "name") for box in boxes)
    return Seen(findings, ()) if kind is Kind.IDENTIFIER else Seen((), findings)


def test_a_candidate_says_that_nobody_saw_it_and_nothing_of_its_patient(folder: Folder) -> None:
    folder.add("IM_0001")
    outcome = folder.run()["IM_0001"]
    assert (outcome.status, outcome.reason, outcome.is_new) == (Status.CANDIDATE, None, True)
    (name,) = folder.written()
    assert name == outcome.output
    file = folder.places.out / name
    written = dcmread(file)
    assert name == f"{written.PatientID}/{written.StudyInstanceUID}/{written.SOPInstanceUID}.dcm"
    assert list(written.DeidentificationMethod) == [METHOD, UNSEEN]
    assert not written.pixel_array[:10].any() and written.pixel_array[25:38, 13:50].all()
    assert hits(folder.places.out, ["Yamada", "Hanako", "70012345", "19500102", "A4711-22", "IM_0001"]) == []
    assert hits(folder.places.keys, ["Yamada", "Hanako", "70012345", "A4711-22", "IM_0001", written.PatientID]) == []
    assert {path.stat().st_mode & 0o077 for path in (file, *file.parents[:2])} == {0}


def test_no_other_gate_lets_a_candidate_pass(folder: Folder) -> None:
    folder.add("a")
    folder.run()
    (content,) = folder.written().values()
    path = folder.places.out / next(iter(folder.written()))
    with path.open("rb") as file:
        part10 = open_part10(file, len(content))
    assert faults(part10) == ["DeidentificationMethod"]
    assert faults(part10, is_candidate=True) == []


@pytest.mark.parametrize(
    ("rules", "seen", "changes", "reason"),
    [
        (UNKNOWN, [], {"SequenceOfUltrasoundRegions": []}, NO_RULE),
        (UNKNOWN, [found((20, 30, 30, 35))], {}, NOT_SILENT),
        (UNKNOWN, [found((20, 30, 30, 35), kind=Kind.QUESTION)], {}, NOT_SILENT),
        (KNOWN, [found((12, 24, 52, 40), kind=Kind.QUESTION)], {}, QUESTION),
        (KNOWN, [found((20, 30, 30, 35))] * 9, {}, STILL_THERE),
        (KNOWN, [found(*((x, y, x + 1, y + 1) for x in range(10) for y in range(10)))], {}, QUESTION),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_held_and_nothing_written(
    folder: Folder, rules: Rules, seen: list[Seen], changes: dict[str, Any], reason: str
) -> None:
    folder.add("a", **changes)
    folder.seen = list(seen)
    outcome = folder.run(rules)["a"]
    assert (outcome.status, outcome.reason, outcome.output) == (Status.HELD, reason, None)
    assert folder.written() == {}


def test_an_unknown_device_with_regions_and_no_writing_is_a_candidate(folder: Folder) -> None:
    folder.add("a")
    outcome = folder.run(UNKNOWN, confirmed_by="Suzuki")["a"]
    assert (outcome.status, outcome.rule, outcome.is_confirmed) == (Status.CANDIDATE, None, False)


def test_writing_on_a_known_device_is_blackened_and_not_confirmed_with_the_others(folder: Folder) -> None:
    folder.add("a")
    folder.seen = [found((20, 30, 30, 35)), found((40, 30, 42, 32), kind=Kind.QUESTION)]
    outcome = folder.run(confirmed_by="Suzuki")["a"]
    assert outcome.status == Status.CANDIDATE and not outcome.is_confirmed
    assert {(17, 27, 16, 11), (37, 27, 8, 8)} <= set(outcome.masks)
    pixels = dcmread(folder.places.out / str(outcome.output)).pixel_array
    assert not pixels[30:35, 20:30].any() and not pixels[30:32, 40:42].any() and pixels[38:39, 13:50].all()


def test_what_is_no_ultrasound_image_is_refused_with_a_reason(folder: Folder) -> None:
    folder.add("ct", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    folder.add("nobody", PatientID="")
    (folder.places.source / "notes.txt").write_text("Yamada")
    (folder.places.source / "link").symlink_to(folder.places.source / "ct")
    outcomes = folder.run()
    assert {one.status for one in outcomes.values()} == {Status.REFUSED}
    assert all(one.reason and "Yamada" not in one.reason for one in outcomes.values())
    assert folder.run(study_is_patient=True)["nobody"].status == Status.CANDIDATE


def test_a_second_run_does_only_what_is_missing_or_changed(folder: Folder) -> None:
    for number in range(4):
        folder.add(str(number), SOPInstanceUID=f"1.2.3.{number}")
    first = folder.run()
    before = folder.written()
    assert len(before) == 4 and {one.is_new for one in first.values()} == {True}
    again = folder.run()
    assert {name: replace(one, is_new=True) for name, one in again.items()} == first
    assert not any(one.is_new for one in again.values())
    (folder.places.out / str(first["0"].output)).unlink()
    (folder.places.out / str(first["1"].output)).write_bytes(b"altered")
    folder.add("2", SOPInstanceUID="1.2.3.2", PatientWeight="60")
    third = folder.run()
    assert [name for name, one in sorted(third.items()) if one.is_new] == ["0", "1", "2"]
    assert {name: folder.written()[name] for name in before} == before
    assert third["2"].output != first["2"].output


def test_other_bytes_under_one_uid_are_another_image_and_equal_ones_the_same(folder: Folder) -> None:
    folder.add("a")
    folder.add("b")
    folder.add("c", PatientWeight="60")
    outcomes = folder.run()
    assert outcomes["a"].output == outcomes["b"].output != outcomes["c"].output
    assert len(folder.written()) == 2


def test_other_rules_make_the_file_again_and_take_the_old_one_away(folder: Folder) -> None:
    folder.add("a")
    first = folder.run()["a"]
    wider = Rules((read_rule(CX50 | {"rects_x_y_w_h": "(0,0,64,30)"}, 1),), "2")
    second = folder.run(wider)["a"]
    assert second.is_new and second.output != first.output and list(folder.written()) == [second.output]
    folder.seen = [found((20, 30, 30, 35))]
    assert folder.run(UNKNOWN)["a"].status == Status.HELD
    assert folder.written() == {}


def test_known_devices_are_confirmed_once_and_say_so(folder: Folder) -> None:
    folder.add("a")
    folder.add("b", SOPInstanceUID="1.2.3.9")
    folder.run()
    outcomes = folder.run(confirmed_by="Suzuki Ichiro")  # at this size: a rule for any size is not sure enough
    assert all(one.is_confirmed and one.is_new for one in outcomes.values())
    for name in folder.written():
        assert list(dcmread(folder.places.out / name).DeidentificationMethod) == [METHOD, DEVICE_CONFIRMED]
    assert not any(one.is_new for one in folder.run(confirmed_by="Suzuki Ichiro").values())
    assert not any(one.is_new for one in folder.run().values())
    (line,) = (folder.places.keys / confirmations.FILE).read_text().splitlines()
    assert {one["output"] for one in json.loads(line)["files"]} == set(folder.written())
    assert hits(folder.places.out, ["Suzuki Ichiro"]) == []


def test_a_confirmation_that_was_never_logged_does_not_stand(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.add("a")
    monkeypatch.setattr(run.confirmations, "confirm", lambda *_: None)
    assert folder.run(confirmed_by="Suzuki")["a"].is_confirmed
    assert not folder.run()["a"].is_confirmed


def test_a_child_that_died_is_tried_again_and_a_judgement_is_not(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.add("a")
    with monkeypatch.context() as patch:
        patch.setattr(InProcess, "call", died)
        assert folder.run()["a"].reason == UNSAFE
    assert folder.run()["a"].status == Status.CANDIDATE
    folder.add("b", SOPInstanceUID="1.2.3.9", SequenceOfUltrasoundRegions=[])
    assert folder.run(UNKNOWN)["b"].reason == NO_RULE
    monkeypatch.setattr(run, "make", died)
    assert folder.run(UNKNOWN)["b"].reason == NO_RULE


def died(*_: object) -> NoReturn:
    raise Refused(UNSAFE)


def test_a_full_disk_stops_the_run_and_leaves_no_part(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    folder.add("a")
    folder.places.open_keys()
    with monkeypatch.context() as patch, pytest.raises(Unavailable, match="disk full"):
        patch.setattr(one_file.os, "fsync", full)
        folder.run()
    assert folder.written() == {}
    assert folder.run()["a"].status == Status.CANDIDATE


def test_every_file_is_told_of(folder: Folder) -> None:
    told: list[tuple[str, int, int]] = []
    tell: Callable[[run.Progress], None] = lambda one: told.append((one.step, one.done, one.total))  # noqa: E731
    for number in range(3):
        folder.add(str(number), SOPInstanceUID=f"1.2.3.{number}")
    run.run(folder.places, Options(KNOWN, 2), tell)
    assert told == [(step, done, 3) for step in ("looking", "working") for done in range(4)]
