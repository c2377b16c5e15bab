"""The report says what became of every attribute, in counts and words, and repeats nothing that was taken out."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from core.deid import report
from core.deid.report import Change
from tests.planted import planted, read, written
from tests.unit.deid.conftest import SHARED

NEEDLES = ("Yamada", "Hanako", "山田", "花子", "70012345", "4711")


@pytest.fixture
def done(ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any]) -> Any:
    ultrasound.StudyDescription, ultrasound.PatientAge = "US Abdomen Yamada", "069Y"
    ultrasound.PatientComments = "Yamada called"
    inner = Dataset()
    inner.PatientName, inner.PatientID = "Yamada^Hanako", "70012345"
    ultrasound.ReferencedPatientSequence = Sequence([inner, inner])
    ultrasound.AnatomicRegionSequence.insert(0, _private_code())
    ultrasound.SequenceOfUltrasoundRegions[0].PatientComments = "Yamada"
    ultrasound.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "Yamada")
    return release_file(part10(ultrasound), needles=NEEDLES)


def _private_code() -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99HOSPITAL", "Yamada's liver"
    return item


def found(done: Any) -> dict[tuple[str, str], Change]:
    changes = report.changes(done.source.dataset, done.header)
    assert len({(one.path, one.tag) for one in changes}) == len(changes)
    return {(one.path, one.keyword or one.tag): one for one in changes}


@pytest.mark.parametrize(
    ("path", "keyword", "what", "action", "shown"),
    [
        ("", "PatientName", "replaced", "Z", ""), ("", "PatientID", "replaced", "Z/D", ""),
        ("", "StudyInstanceUID", "replaced", "U", ""), ("", "SOPClassUID", "kept", "", ""),
        ("", "StudyDate", "shifted", "C", ""), ("", "ContentTime", "shifted", "C", ""),
        ("", "AccessionNumber", "emptied", "Z", ""), ("", "PatientComments", "removed", "C", ""),
        ("", "StudyDescription", "cleaned", "C", "US ABDOMEN"), ("", "Manufacturer", "kept", "", "Philips Medical Systems"),
        ("", "PatientSex", "kept", "K", "F"), ("", "PatientAge", "kept", "K", "069Y"),
        ("", "PatientIdentityRemoved", "added", "", ""), ("", "ReferencedPatientSequence", "removed", "X", ""),
        ("", "(0009,1001)", "removed", "X", ""), ("", "AnatomicRegionSequence", "cleaned", "", ""),
        ("AnatomicRegionSequence[2]", "CodeMeaning", "kept", "", "Liver"),
        ("SequenceOfUltrasoundRegions[1]", "PatientComments", "removed", "C", ""),
        ("SequenceOfUltrasoundRegions[1]", "PhysicalDeltaX", "kept", "", "0.02"),
        (report.META, "SourceApplicationEntityTitle", "removed", "", ""),
        (report.META, "MediaStorageSOPInstanceUID", "replaced", "U", ""),
    ],
)  # fmt: skip
def test_each_attribute(done: Any, path: str, keyword: str, what: str, action: str, shown: str) -> None:
    one = found(done)[path, keyword]
    assert (one.what, one.action, one.shown) == (what, action, shown)


def test_depth_names_and_counts(done: Any) -> None:
    changes = found(done)
    assert changes["AnatomicRegionSequence[2]", "CodeMeaning"].depth == 1
    assert changes["", "ReferencedPatientSequence"].elements == 5  # itself, and two items of two
    assert changes["", "(0009,1001)"].name == report.PRIVATE
    assert changes["", "PatientName"].name == "Patient's Name"
    counts = report.summary(list(changes.values()))
    assert sum(counts["by_kind"].values()) == sum(counts["by_action"].values()) == len(changes)
    assert counts["by_action"][report.PRIVATE] == 2


def test_it_is_json_and_repeats_nothing(done: Any) -> None:
    told = report.header_report(done.source.dataset, done.header, NEEDLES)
    text = json.dumps(told, ensure_ascii=False)
    assert not [needle for needle in NEEDLES if needle in text]
    assert done.header.PatientID not in text and done.header.StudyInstanceUID not in text
    assert told["options"]["113101"] == "Clean Pixel Data Option" and told["edition"] == "2024b+2026c"
    assert told["looked_for"] == {"values": 6, "whole_words": 2, "whole_numbers": 1}
    assert told["descriptions"] == [{"keyword": "StudyDescription", "text": "US ABDOMEN", "left_out": 1}]


def test_of_a_planted_real_file_nothing_is_repeated(release_file: Callable[..., Any]) -> None:
    path = SHARED / "pydicom-pydicom" / "examples_palette.dcm"
    if not path.exists():
        pytest.skip("../shared/data is absent: real ultrasound files")
    data, planter = planted(read(path.read_bytes()), 3)
    done = release_file(data)
    text = json.dumps(report.header_report(done.source.dataset, done.header), ensure_ascii=False)
    assert planter.left(text.encode()) == []
    before = written(read(data))
    report.changes(done.source.dataset, done.header)
    assert written(read(data)) == before
