"""The generated heart: its contours give its volumes, its frames its beats, its pixels its border."""

import io
import random
from statistics import fmean, pstdev

import numpy as np
import pydicom
import pytest

from core.curation.shapes import open_spline
from core.curation.volumes import disks_biplane, ejection, plane_of
from core.dicom.facts import read_facts
from ml.phantom import PhantomStudy, to_bytes
from ml.phantom_heart import HeartTruth, heart_study


@pytest.fixture(scope="module")
def study() -> PhantomStudy:
    return heart_study(1, "sequoia", 34)


def truths(study: PhantomStudy) -> list[HeartTruth]:
    found = [instance.truth for instance in study.instances]
    assert all(isinstance(truth, HeartTruth) for truth in found)
    return [truth for truth in found if isinstance(truth, HeartTruth)]


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, again, other = (heart_study(seed, "sequoia", 2) for seed in (3, 3, 4))
    assert [to_bytes(i) for i in one.instances] == [to_bytes(i) for i in again.instances]
    assert other.instances[0].dataset.PixelData != one.instances[0].dataset.PixelData


def test_the_biplane_volumes_of_the_true_contours_are_the_true_volumes(study: PhantomStudy) -> None:
    four, two = truths(study)
    scale = (four.mm_per_px, four.mm_per_px)
    for frame, volume in enumerate(four.volumes_ml):
        planes = [plane_of(truth.contours[frame], scale) for truth in (four, two)]
        assert disks_biplane(*planes).volume_ml == pytest.approx(volume, rel=2e-3)
    ends = [disks_biplane(*(plane_of(t.contours[f - 1], scale) for t in (four, two))) for f in four.ends[0]]
    assert ejection(*ends).fraction_percent == pytest.approx(four.ef_percent, abs=0.1)
    assert 35 < four.ef_percent < 75


def test_the_beats_are_where_the_header_says(study: PhantomStudy) -> None:
    for instance, truth in zip(study.instances, truths(study), strict=True):
        ds = pydicom.dcmread(io.BytesIO(to_bytes(instance)))
        facts = read_facts(ds)
        assert facts.r_waves_ms == pytest.approx(truth.r_waves_ms, abs=0.01)
        assert facts.ecg is not None and facts.frame_time_ms is not None
        first, systole = truth.ends[0]
        assert (first - 1) * facts.frame_time_ms == pytest.approx(facts.r_waves_ms[0], abs=facts.frame_time_ms / 2)
        assert truth.volumes_ml[systole - 1] == min(truth.volumes_ml)
        mv = [value or 0.0 for value in facts.ecg.mv]
        highest = facts.ecg.start_ms + facts.ecg.step_ms * int(np.argmax(mv))
        assert min(abs(highest - wave) for wave in facts.r_waves_ms) < 2 * facts.ecg.step_ms


def test_the_cavity_is_dark_and_its_wall_bright(study: PhantomStudy) -> None:
    for instance, truth in zip(study.instances, truths(study), strict=True):
        frames = pydicom.dcmread(io.BytesIO(to_bytes(instance))).pixel_array[..., 0].astype(float)
        for frame in truth.ends[0]:
            contour = np.array(truth.contours[frame - 1])
            middle = contour.mean(axis=0)
            outward = (contour - middle) / np.linalg.norm(contour - middle, axis=1, keepdims=True)
            wall, blood = (
                np.mean([frames[frame - 1, round(y), round(x)] for x, y in contour[10:50] + outward[10:50] * by])
                for by in (6, -6)
            )
            assert wall > 60 > 25 > blood


def test_a_hand_that_misses_by_two_pixels_misses_the_ejection_fraction_by_less_than_two(study: PhantomStudy) -> None:
    """Every coordinate of 16 points with a normal error of 2 px, on the coarsest screen."""
    views = truths(study)
    hand, missed = random.Random(7), []
    for _ in range(40):
        ends = []
        for frame in views[0].ends[0]:
            clicked = [
                tuple((x + hand.gauss(0, 2), y + hand.gauss(0, 2)) for x, y in truth.contours[frame - 1][::4])
                for truth in views
            ]
            scale = (views[0].mm_per_px, views[0].mm_per_px)
            ends.append(disks_biplane(*(plane_of(open_spline(points), scale) for points in clicked)))
        missed.append(ejection(*ends).fraction_percent - views[0].ef_percent)
    assert abs(fmean(missed)) < 0.8
    assert pstdev(missed) < 2
