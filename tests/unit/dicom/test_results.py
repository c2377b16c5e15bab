"""The SR and the presentation state say what was seen, by which model, for research; highdicom reads them, dciodvfy finds no error."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset

from core.curation import linked
from core.dicom import results
from core.dicom.results import Speaker
from ml.phantom import make_study
from tests.results import errors_of, read_back

SPEAKER = Speaker("tiny-liver", "3")


@pytest.fixture(scope="module")
def headers() -> list[Dataset]:
    """Of a still and of a cine, with a Japanese name."""
    found = [instance.dataset for instance in make_study(44, "liver", "epiq", 1, 6, "LIV-CYST").instances]
    assert [("NumberOfFrames" in one) for one in found].count(True) == 1
    return found


def seen(header: Dataset) -> list[linked.Hit]:
    last = int(header.get("NumberOfFrames") or 1)
    return [linked.Hit(1, 10, 20, 30.5, 40, "cyst", 0.91), linked.Hit(last, 100, 120, 30, 40, "", 0.5)]


def test_highdicom_reads_the_report_back(headers: list[Dataset]) -> None:
    for header in headers:
        again = hd.sr.ComprehensiveSR.from_dataset(read_back(results.report(header, seen(header), SPEAKER)))
        assert (again.StudyInstanceUID, again.PatientID) == (header.StudyInstanceUID, header.PatientID)
        assert str(again.PatientName) == str(header.PatientName)
        assert "Research use only" in again.SeriesDescription and "tiny-liver v3" in again.SeriesDescription
        assert (again.PreliminaryFlag, again.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
        groups = again.content.get_planar_roi_measurement_groups()
        assert len(groups) == 2
        for group, one in zip(groups, seen(header), strict=True):
            assert np.allclose(group.roi.value, results.outline_of(one))
            (item,) = group.roi.ContentSequence
            where = item.ReferencedSOPSequence[0]
            assert where.ReferencedSOPInstanceUID == header.SOPInstanceUID
            frame = where.get("ReferencedFrameNumber")
            assert (frame == one.frame) if "NumberOfFrames" in header else frame is None
            assert group.get_measurements()[0].value == one.score
            said = [evaluation.value.meaning for evaluation in group.get_qualitative_evaluations()]
            assert one.label in said or "Undetermined" in said
        assert "Research use only" in str(again) and "tiny-liver" in str(again)


def test_nothing_found_is_said_too(headers: list[Dataset]) -> None:
    again = hd.sr.ComprehensiveSR.from_dataset(read_back(results.report(headers[0], [], SPEAKER)))
    assert again.content.get_planar_roi_measurement_groups() == [] and "No lesion was found" in str(again)
    assert results.presentation(headers[0], [], SPEAKER) is None


def test_the_presentation_state_draws_the_boxes_on_their_frames(headers: list[Dataset]) -> None:
    for header in headers:
        made = results.presentation(header, results.drawn(seen(header)), SPEAKER)
        assert made is not None
        again = read_back(made)
        drawn = [(note, each) for note in again.GraphicAnnotationSequence for each in note.GraphicObjectSequence]
        assert len(drawn) == 2
        corner = np.asarray(drawn[0][1].GraphicData).reshape(-1, 2)
        assert corner.min(axis=0).tolist() == [10, 20] and corner.max(axis=0).tolist() == [40.5, 60]
        texts = [each.UnformattedTextValue for note, _ in drawn for each in note.TextObjectSequence]
        assert all("Research use only" in text for text in texts) and any(
            text.startswith("cyst 0.91") for text in texts
        )
        reference = again.ReferencedSeriesSequence[0].ReferencedImageSequence[0]
        assert reference.ReferencedSOPInstanceUID == header.SOPInstanceUID


def test_dciodvfy_finds_no_error(headers: list[Dataset], tmp_path: Path) -> None:
    for header in headers:
        for found in (seen(header), []):
            report, state = (
                results.report(header, found, SPEAKER),
                results.presentation(header, results.drawn(found), SPEAKER),
            )
            assert [errors_of(made, tmp_path) for made in (report, state) if made is not None] == [""] * (
                1 + bool(found)
            )


def test_boxes_that_follow_each_other_are_one_lesion() -> None:
    moving = [linked.Hit(frame, 10 + frame, 10, 20, 20, "cyst", 0.5 + frame / 100) for frame in (1, 2, 3, 6, 9)]
    other = [linked.Hit(frame, 100, 10, 20, 20, "solid", 0.9) for frame in (2, 3)]
    late = [linked.Hit(40, 19, 10, 20, 20, "cyst", 0.3)]
    found = linked.lesions([*moving, *other, *late])
    assert [len(one) for one in found] == [2, 5, 1]
    assert linked.surest(found[1]).frame == 9
