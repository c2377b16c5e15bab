"""From a clip to EF: on the true masks of generated hearts, on curves, and where it cannot be said."""

import numpy as np
import pytest

from ml.ejection import NO_BEAT, NOT_FOUND, TOO_SHORT, beats_of, class_of, measure, smoothed
from ml.phantom_heart_folder import HeartClip, hearts
from ml.ventricle import Floats, dice, filled, open_contour, opened, plane


@pytest.fixture(scope="module")
def clips() -> list[HeartClip]:
    return [clip for patient in range(2) for clip in hearts(5, patient)]


def contours(clip: HeartClip) -> list[Floats | None]:
    return [open_contour(filled(outline, 160, 160).astype(np.float32), 0.5) for outline in clip.outlines]


def test_the_true_masks_give_the_true_ejection_fraction(clips: list[HeartClip]) -> None:
    for clip in clips:
        said = measure(contours(clip), clip.mm_per_px)
        assert said.fraction_percent == pytest.approx(clip.ef_percent, abs=2) and not said.reason
        assert said.ef_class == class_of(said.fraction_percent or 0)
        diastole, systole = clip.ends[0]
        assert min(abs(beat.diastole - diastole) for beat in said.beats) <= 1
        assert min(abs(beat.systole - systole) for beat in said.beats) <= 1
        assert said.beats[0].end_diastolic_ml == pytest.approx(clip.volumes_ml[diastole], rel=0.1)
        drawn = measure([opened(outline) for outline in clip.outlines], clip.mm_per_px)
        assert drawn.fraction_percent == pytest.approx(clip.ef_percent, abs=2)


def test_ef_needs_no_scale_and_millilitres_do(clips: list[HeartClip]) -> None:
    found = contours(clips[0])
    said, scaled = measure(found), measure(found, 2.0)
    assert said.fraction_percent == pytest.approx(scaled.fraction_percent)
    assert said.beats[0].end_systolic_ml is None and scaled.beats[0].end_systolic_ml is not None


def test_the_contour_opens_at_the_valve_and_runs_over_the_apex(clips: list[HeartClip]) -> None:
    true = np.reshape(clips[0].outlines[0], (-1, 2))
    found = contours(clips[0])[0]
    assert found is not None
    ends = sorted([found[0].tolist(), found[-1].tolist()])
    for have, want in zip(ends, sorted([true[0].tolist(), true[-1].tolist()]), strict=True):
        assert np.hypot(*np.subtract(have, want)) < 3
    ours, theirs = plane(found, 1.0), plane(true, 1.0)
    assert ours is not None and theirs is not None
    assert ours.area_mm2 == pytest.approx(theirs.area_mm2, rel=0.02)
    assert ours.length_mm == pytest.approx(theirs.length_mm, rel=0.02)


def test_frames_without_a_ventricle_are_bridged_until_they_are_too_many(clips: list[HeartClip]) -> None:
    found = contours(clips[0])
    some = [None if number % 6 == 0 else one for number, one in enumerate(found)]
    assert measure(some).fraction_percent == pytest.approx(measure(found).fraction_percent, abs=3)
    most = [None if number % 3 == 0 else one for number, one in enumerate(found)]
    assert measure(most).reason == NOT_FOUND and measure(most).ef_class == ""


def test_what_cannot_be_said_is_not_said(clips: list[HeartClip]) -> None:
    found = contours(clips[0])
    assert measure(found[:4]).reason == TOO_SHORT and measure([]).reason == TOO_SHORT
    still = measure([found[0]] * 20)
    assert still.reason == NO_BEAT and still.fraction_percent is None and not still.beats
    assert open_contour(np.zeros((50, 60), np.float32), 0.5) is None
    speck = np.zeros((100, 100), np.float32)
    speck[3:5, 3:5] = 1
    assert open_contour(speck, 0.5) is None and opened((1.0, 1.0, 1.0, 1.0, 2.0, 2.0)) is None


def beating(beats: float, ejected: float, frames: int = 60, start: float = 0.25) -> Floats:
    return np.asarray(
        1000 * (1 - ejected * (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(frames) / frames * beats - start))))
    )


def test_every_whole_beat_is_found_and_half_ones_at_the_ends_are_not() -> None:
    assert beats_of(beating(3, 0.4)) == [(5, 15), (25, 35), (45, 55)]
    assert beats_of(beating(0.5, 0.4, 20, 0)) == [(0, 19)]  # nothing else: a clip from ED to ES
    assert beats_of(beating(3, 0.02)) == [] and beats_of(np.full(20, 7.0)) == []


def test_noise_moves_the_ends_little_and_makes_no_beats() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        found = beats_of(smoothed(beating(3, 0.3) + rng.normal(0, 8, 60)))
        assert len(found) == 3
        assert np.abs(np.subtract(found, [(5, 15), (25, 35), (45, 55)])).max() <= 4


def test_a_lone_mistaken_frame_is_brought_back_and_tops_stay() -> None:
    plain = beating(3, 0.4)
    spoilt = plain.copy()
    spoilt[30] = 100
    assert np.abs(smoothed(spoilt) - smoothed(plain)).max() < 40
    assert smoothed(plain).max() == pytest.approx(plain.max(), rel=0.005)


@pytest.mark.parametrize(("ef", "name"), [(39.9, "<40"), (40, "40-49"), (49.9, "40-49"), (50, ">=50"), (75, ">=50")])
def test_classes(ef: float, name: str) -> None:
    assert class_of(ef) == name


def test_dice_and_filling() -> None:
    square = filled((2.0, 2.0, 6.0, 2.0, 6.0, 6.0, 2.0, 6.0), 10, 12)
    assert square.shape == (10, 12) and square.sum() == 16 and square[2:6, 2:6].all()
    other = filled((4.0, 2.0, 8.0, 2.0, 8.0, 6.0, 4.0, 6.0), 10, 12)
    assert dice(square, other) == 0.5 and dice(square, square) == 1 and dice(square * 0, square * 0) == 1
