"""The walk, the drafts, the mapping files and the batch confirmation."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dicom.facts import InstanceIdentity
from core.errors import Refused, Unavailable
from core.folder import confirmations, drafts, mapping
from core.folder.drafts import Draft, passing_key
from core.folder.linkage import Linkage
from core.folder.walk import CHANGED, LINK, NO_FILE, Unchanged, walk

Identity = Callable[..., InstanceIdentity]


def test_every_file_is_named_once_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("a", "b/IM_0001", "b/c/x.dcm"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "to-file").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "to-folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "b" / "pipe")
    found = {one.name: one.problem for one in walk(tmp_path)}
    assert found == {
        "a": None, "b/IM_0001": None, "b/c/x.dcm": None, "to-file": LINK, "b/to-folder": LINK, "b/pipe": NO_FILE,
    }  # fmt: skip


def test_a_file_that_changed_between_two_looks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    file = Unchanged(path)
    for _ in range(2):
        with file.open()[0] as opened:
            assert opened.read() == b"one"
    path.write_bytes(b"other")
    with pytest.raises(Refused, match=CHANGED):
        file.open()
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(Refused):
        Unchanged(path).open()


@pytest.mark.parametrize("size", [1, 1000, 3_000_000])
def test_a_draft_comes_back_whole_and_never_lies_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(drafts, "IN_MEMORY", 500)
    pieces = [b"Yamada^Hanako " * 10] * (size // 140 + 1)
    with Draft(tmp_path, passing_key()) as draft:
        draft.fill(pieces)
        with draft.opened() as (stream, length):
            content = stream.read()
        assert (content, length) == (b"".join(pieces), len(content))
        on_disk = list(tmp_path.iterdir())
        assert bool(on_disk) == (len(content) > 500)
        assert all(b"Yamada" not in path.read_bytes() for path in on_disk)
        draft.fill([b"again"])
        with draft.opened() as (stream, _):
            assert stream.read() == b"again"
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_draft_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "IN_MEMORY", 10)
    with pytest.raises(Unavailable, match="disk full"):
        Draft(tmp_path / "gone", passing_key()).fill([b"x" * 20])


@given(st.text(max_size=30))
def test_no_cell_is_a_formula(cell: str) -> None:
    safe = mapping._safe(cell)
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert safe.endswith(cell)


def test_the_mapping_is_for_its_owner_alone(tmp_path: Path, linkage: Linkage, identity: Identity) -> None:
    person = identity("-70012345", issuer="=KYOTO")
    patient = linkage.patient(linkage.patient_key(person), person)
    linkage.remember(b"k" * 32, {"uids": [["SOPInstanceUID", "1.2", "2.25.3"], ["StudyInstanceUID", "1", "2.25.4"]]})
    linkage.remember(b"l" * 32, {"status": "held"})
    for _ in range(2):
        mapping.write(tmp_path, linkage)
    files = [tmp_path / mapping.UIDS, tmp_path / mapping.PATIENTS]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    uids, patients = (list(csv.reader(path.read_text().splitlines())) for path in files)
    assert uids[1:] == [["SOPInstanceUID", "1.2", "2.25.3"], ["StudyInstanceUID", "1", "2.25.4"]]
    assert patients[1:] == [["'=KYOTO", "'-70012345", patient.research_id]]
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_one_line_confirms_all_that_say_so_and_no_other(tmp_path: Path, linkage: Linkage) -> None:
    common = {"sha256": "s", "digest": "d", "rule": "r", "rule_version": "1"}
    done = {
        b"a" * 32: common | {"output": "a", "is_confirmed": True},
        b"b" * 32: common | {"output": "b", "is_confirmed": False},
        b"c" * 32: common | {"output": "c", "is_confirmed": True, "batch": "earlier"},
        b"d" * 32: {"status": "held"},
    }
    confirmations.confirm(tmp_path, linkage, done, None)
    assert not (tmp_path / confirmations.FILE).exists()
    for _ in range(2):
        confirmations.confirm(tmp_path, linkage, done, "Suzuki Ichiro")
    (line,) = (tmp_path / confirmations.FILE).read_text().splitlines()
    said = json.loads(line)
    assert said["confirmed_by"] == "Suzuki Ichiro"
    assert [one["output"] for one in said["files"]] == ["a"]
    assert linkage.record(b"a" * 32)["batch"] == said["batch"]  # type: ignore[index]
    assert (tmp_path / confirmations.FILE).stat().st_mode & 0o777 == 0o600
