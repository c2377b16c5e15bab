"""What a site reads of a folder that a run has made: what may come in, what may not and why."""

import shutil
from pathlib import Path

import pytest

from core.errors import Conflict, Malformed, Refused
from core.folder import made, walk
from core.folder.linkage import NO_ID
from core.folder.made import Made
from core.folder.one_file import NO_RULE, Status
from core.folder.places import Places
from tests.unit.folder.test_run import UNKNOWN, Folder, folder

__all__ = ["folder"]


def read(places: Places) -> dict[str, Made]:
    return {one.name: one for one in made.read(places, lambda _: None)}


def test_a_candidate_comes_with_its_mask_rule_and_all_that_is_said_of_the_patient(folder: Folder) -> None:
    folder.add("a", AccessionNumber="A4711-22")
    folder.add("b", SOPInstanceUID="1.2.3.99", PatientName="Yamada^Hana")
    outcomes = folder.run()
    found = read(folder.places)
    assert {name: one.status for name, one in found.items()} == dict.fromkeys("ab", Status.CANDIDATE)
    for name, one in found.items():
        assert one.output == outcomes[name].output
        assert one.rects == outcomes[name].masks
        assert one.rule == outcomes[name].rule and one.rule_version
        assert one.rule and one.digest and len(one.sha256) == 32
        with one.open()[0] as stream:
            assert stream.read() == (folder.places.source / name).read_bytes()
        assert "Yamada^Hana" in one.said["patient_name"]
    assert "Yamada" not in repr(list(found.values())) + str(found)


def test_what_the_run_held_or_refused_keeps_its_reason(folder: Folder) -> None:
    folder.add("a")
    (folder.places.source / "notes.txt").write_text("no image")
    folder.run(rules=UNKNOWN)
    folder.add("b", SequenceOfUltrasoundRegions=[])
    folder.run(rules=UNKNOWN)
    found = read(folder.places)
    assert (found["b"].status, found["b"].reason) == (Status.HELD, NO_RULE)
    assert found["notes.txt"].status is Status.REFUSED and found["notes.txt"].reason


def test_whatever_was_changed_since_is_refused(folder: Folder) -> None:
    for number, name in enumerate(("kept", "altered", "gone", "linked", "edited", "new")):
        folder.add(name, SOPInstanceUID=f"1.2.3.{number}")
        if name != "new":
            outcomes = folder.run()
    outputs = {name: folder.places.out / str(one.output) for name, one in outcomes.items()}
    outputs["altered"].write_bytes(outputs["altered"].read_bytes() + b"\0")
    outputs["gone"].unlink()
    shutil.move(outputs["linked"], folder.places.out / "elsewhere")
    outputs["linked"].symlink_to(folder.places.out / "elsewhere")
    folder.add("edited", SOPInstanceUID="1.2.3.4", StudyDescription="edited")
    reasons = {name: one.reason for name, one in read(folder.places).items()}
    assert reasons == {
        "kept": None, "altered": made.ALTERED, "gone": made.GONE, "linked": made.GONE, "edited": made.UNKNOWN,
        "new": made.UNKNOWN,
    }  # fmt: skip


def test_a_file_that_changes_after_it_was_read_is_not_given_out(folder: Folder) -> None:
    folder.add("a")
    folder.run()
    one = read(folder.places)["a"]
    folder.add("a", StudyDescription="edited")
    with pytest.raises(Refused, match=walk.CHANGED):
        one.open()


def test_a_patient_without_an_id_does_not_come_in(folder: Folder) -> None:
    folder.add("a", PatientID="")
    assert folder.run(study_is_patient=True)["a"].status is Status.CANDIDATE
    assert read(folder.places)["a"].reason == NO_ID


def test_folders_that_no_run_has_used_together_are_refused(folder: Folder, tmp_path: Path) -> None:
    places = folder.places
    with pytest.raises(Malformed, match=made.NO_OUTPUT):
        read(places)
    places.out.mkdir(mode=0o700)
    with pytest.raises(Malformed, match="no linkage"):
        read(places)
    assert not places.keys.exists()  # reading makes no keys
    folder.add("a")
    folder.run()
    with places.occupied(), pytest.raises(Conflict):
        read(places)
    assert read(places)["a"].status is Status.CANDIDATE
