"""The SR of a ventricle: regions, volumes and EF that highdicom reads back; dciodvfy finds no error."""

from pathlib import Path

import highdicom as hd
import pytest
from pydicom.dataset import Dataset

from core.dicom import results, results_ventricle
from core.dicom.results import Speaker
from core.dicom.results_ventricle import Beat, End
from ml.phantom_heart import heart_study
from tests.results import errors_of, read_back

SPEAKER = Speaker("tiny-echo", "2")
BORDER = ((100.0, 200.0), (90.0, 150.0), (120.5, 90.0), (150.0, 150.0), (140.0, 200.0))


@pytest.fixture(scope="module")
def header() -> Dataset:
    return heart_study(1, "logiq-e9", 12).instances[0].dataset


def beats(diastolic: float | None = 102.34, systolic: float | None = 40.0) -> list[Beat]:
    return [Beat(End(2, BORDER, 0.98, diastolic), End(7, BORDER[1:], 0.9, systolic), 60.93)]


def measurements(group: hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations) -> dict[str, tuple[float, str]]:
    return {one.name.value: (float(one.value), one.unit.value) for one in group.get_measurements()}


def test_highdicom_reads_borders_volumes_and_fraction(header: Dataset) -> None:
    again = hd.sr.ComprehensiveSR.from_dataset(read_back(results_ventricle.report(header, beats(), SPEAKER)))
    diastole, systole = again.content.get_planar_roi_measurement_groups()
    assert diastole.roi.value.tolist() == [[*point] for point in (*BORDER, BORDER[0])]
    frames = [g.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber for g in (diastole, systole)]
    assert frames == [2, 7]
    assert measurements(diastole) == {"SCORE": (0.98, "1"), "18026-5": (102.3, "ml")}
    assert measurements(systole) == {"SCORE": (0.9, "1"), "18148-7": (40.0, "ml")}
    (whole,) = again.content.get_image_measurement_groups()
    assert measurements(whole) == {"18043-0": (60.9, "%")}
    assert "Method of Disks, Single Plane" in str(again) and "Research use only" in str(again)


def test_without_a_scale_there_are_no_millilitres(header: Dataset) -> None:
    again = hd.sr.ComprehensiveSR.from_dataset(read_back(results_ventricle.report(header, beats(None, None), SPEAKER)))
    assert [measurements(one).keys() for one in again.content.get_planar_roi_measurement_groups()] == [{"SCORE"}] * 2


def test_no_beat_is_said_too(header: Dataset) -> None:
    again = hd.sr.ComprehensiveSR.from_dataset(read_back(results_ventricle.report(header, [], SPEAKER)))
    assert again.content.get_planar_roi_measurement_groups() == [] and "No beat of the ventricle" in str(again)


def test_dciodvfy_finds_no_error(header: Dataset, tmp_path: Path) -> None:
    for found in (beats(), beats(None, None), []):
        state = results.presentation(header, results_ventricle.drawn(found), SPEAKER)
        assert (state is None) == (not found)
        for made in filter(None, (results_ventricle.report(header, found, SPEAKER), state)):
            assert errors_of(made, tmp_path) == ""
