"""The ventricle: volumes of bodies whose volume is known, noise of a hand, errors, and the wall motion score."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.curation.shapes import Point
from core.curation.volumes import (
    Method,
    Plane,
    Volume,
    area_length_biplane,
    area_length_single_plane,
    disks_biplane,
    disks_single_plane,
    ejection,
    end_frames,
    plane_of,
)
from core.curation.wall_motion import LIST, NOT_SEEN, SCORES, score_index, segments
from core.errors import Malformed
from core.vocabulary import codelists

SCALE = (0.25, 0.25)


def contour(
    half_width_mm: float, half_length_mm: float, base_mm: float, points: int = 120, turn: float = 0.0,
    scale: tuple[float, float] = SCALE,
) -> list[Point]:  # fmt: skip
    """An ellipse, apex up before it is turned, cut off `base_mm` under its middle: from one end of the cut to the other."""
    from_ = math.asin(min(1.0, base_mm / half_length_mm))
    angles = np.linspace(from_, -math.pi - from_, points)
    x, y = half_width_mm * np.cos(angles), half_length_mm * np.sin(angles)
    c, s = math.cos(turn), math.sin(turn)
    px, py = (120 + c * x - s * y) / scale[0], (110 + s * x + c * y) / scale[1]
    return [(float(a), float(b)) for a, b in zip(px, py, strict=True)]


def true_ml(a: float, b: float, c: float, base: float) -> float:
    """Volume of an ellipsoid with half axes a, b, c (mm) from its tip to the plane `base` beyond its middle."""
    return math.pi * a * b * ((base + c) - (base**3 + c**3) / (3 * c * c)) / 1000


@pytest.mark.parametrize("turn", [0.0, 0.4, -1.2])
@pytest.mark.parametrize("scale", [(0.25, 0.25), (0.2, 0.35)])
def test_a_whole_ellipsoid_within_one_percent_by_every_method(turn: float, scale: tuple[float, float]) -> None:
    four, two = (plane_of(contour(w, 42, 41.99, turn=turn, scale=scale), scale) for w in (24, 21))
    expected = true_ml(24, 21, 42, 42)
    assert disks_biplane(four, two).volume_ml == pytest.approx(expected, rel=0.01)
    assert area_length_biplane(four, two).volume_ml == pytest.approx(expected, rel=0.01)
    assert disks_single_plane(four).volume_ml == pytest.approx(true_ml(24, 24, 42, 42), rel=0.01)
    assert area_length_single_plane(two).volume_ml == pytest.approx(true_ml(21, 21, 42, 42), rel=0.01)
    assert four.length_mm == pytest.approx(84, rel=0.002) and four.area_mm2 == pytest.approx(
        math.pi * 24 * 42, rel=0.005
    )


@settings(max_examples=60, deadline=None)
@given(
    st.floats(15, 40), st.floats(15, 40), st.floats(41, 60), st.floats(0, 0.8), st.floats(-3, 3), st.floats(0.1, 0.8)
)
def test_a_cut_ellipsoid_within_one_percent_by_disks(
    a: float, b: float, c: float, cut: float, turn: float, scale: float
) -> None:
    four, two = (plane_of(contour(w, c, cut * c, turn=turn, scale=(scale, scale)), (scale, scale)) for w in (a, b))
    assert disks_biplane(four, two).volume_ml == pytest.approx(true_ml(a, b, c, cut * c), rel=0.01)
    assert disks_single_plane(four).volume_ml == pytest.approx(true_ml(a, a, c, cut * c), rel=0.01)


def test_a_mirrored_or_reversed_contour_is_the_same_ventricle() -> None:
    points = contour(24, 42, 20, turn=0.3)
    plane = plane_of(points, SCALE)
    for other in (points[::-1], [(1000 - x, y) for x, y in points]):
        again = plane_of(other, SCALE)
        assert again.area_mm2 == pytest.approx(plane.area_mm2) and again.widths_mm == pytest.approx(plane.widths_mm)


def clicked(points: list[Point], rng: np.random.Generator, noise_px: float) -> list[Point]:
    return [(x + float(rng.normal(0, noise_px)), y + float(rng.normal(0, noise_px))) for x, y in points]


def test_a_hand_that_is_two_pixels_off_gives_the_fraction_within_two_points() -> None:
    """A ventricle of 95 and 37 ml at 0.25 mm per pixel, 21 points a contour, noise of 2 px (one sigma) in x and in y."""
    ends = {"ED": (23.0, 21.5, 50.0, 32.0), "ES": (16.0, 14.5, 42.0, 27.0)}
    truth = {end: true_ml(*values) for end, values in ends.items()}
    expected = 100 * (truth["ED"] - truth["ES"]) / truth["ED"]
    rng, off = np.random.default_rng(20), []
    for _ in range(60):
        volumes = {}
        for end, (a, b, c, base) in ends.items():
            four, two = (plane_of(clicked(contour(w, c, base, points=21), rng, 2.0), SCALE) for w in (a, b))
            volumes[end] = disks_biplane(four, two)
        off.append(ejection(volumes["ED"], volumes["ES"]).fraction_percent - expected)
    assert np.abs(off).max() < 2 and abs(np.mean(off)) < 0.5


def test_the_longer_axis_carries_the_disks_and_a_foreshortened_view_shows() -> None:
    four, two = plane_of(contour(24, 42, 30), SCALE), plane_of(contour(24, 36, 24), SCALE)
    biplane = disks_biplane(four, two)
    assert biplane.length_mm == four.length_mm and biplane.method is Method.DISKS_BIPLANE
    assert area_length_biplane(four, two).length_mm == two.length_mm
    assert biplane.length_difference_percent == pytest.approx(100 * (72 - 60) / 72, rel=0.02)
    assert disks_single_plane(four).length_difference_percent is None


def test_the_fraction_records_its_method() -> None:
    found = ejection(Volume(120, Method.DISKS_BIPLANE, 90), Volume(48, Method.DISKS_BIPLANE, 75))
    assert found.fraction_percent == pytest.approx(60) and found.method is Method.DISKS_BIPLANE
    with pytest.raises(Malformed, match="two methods"):
        ejection(Volume(120, Method.DISKS_BIPLANE, 90), Volume(48, Method.DISKS_SINGLE_PLANE, 75))
    with pytest.raises(Malformed, match="larger"):
        ejection(Volume(48, Method.DISKS_BIPLANE, 90), Volume(120, Method.DISKS_BIPLANE, 75))


def test_end_frames_are_the_largest_and_the_smallest() -> None:
    areas = {frame: 30 + 8 * math.cos(2 * math.pi * (frame - 4) / 24) for frame in range(1, 24)}
    assert end_frames(areas) == (4, 16)
    assert end_frames({3: 10.0, 1: 20.0, 2: 20.0, 4: 10.0}) == (1, 3)
    for flat in ({}, {1: 5.0}, {1: 5.0, 2: 5.0}):
        with pytest.raises(Malformed):
            end_frames(flat)


GOOD = contour(24, 42, 30, points=15)


@pytest.mark.parametrize(
    ("points", "scale", "words"),
    [
        (GOOD, None, "no scale"),
        (GOOD, (0.25, 0.0), "no scale"),
        (GOOD, (0.25, math.nan), "no scale"),
        ([GOOD[0], GOOD[7], GOOD[7], GOOD[7], GOOD[14]], SCALE, "too few points"),
        ([], SCALE, "too few points"),
        ([*GOOD[:3], (math.inf, 0.0), *GOOD[3:]], SCALE, "not a number"),
        ([*GOOD[:4], GOOD[9], *GOOD[4:9], *GOOD[10:]], SCALE, "crosses itself"),
        ([GOOD[14], *GOOD[1:14], GOOD[0]], SCALE, "crosses itself"),
        ([(float(x), 5.0) for x in range(6)], SCALE, "no area"),
    ],
)
def test_what_gives_no_volume_says_why(points: list[Point], scale: tuple[float, float] | None, words: str) -> None:
    assert isinstance(plane_of(GOOD, SCALE), Plane)
    with pytest.raises(Malformed, match=words):
        plane_of(points, scale)


def test_the_lists_of_the_heart_hold_what_is_recorded() -> None:
    lists = {
        name: codelists.read(LIST.with_name(f"echo_{name}.tsv")) for name in ("measure_rhythm", "view", "wall_motion")
    }
    codes = {name: [option.code for option in options] for name, options in lists.items()}
    assert all(len(set(found)) == len(found) for found in codes.values())
    assert set(Method) <= set(codes["measure_rhythm"]) and {"399214001", "399232001"} <= set(codes["view"])
    assert SCORES.keys() | NOT_SEEN <= set(codes["wall_motion"])


def test_seventeen_segments_have_their_names() -> None:
    found = segments()
    assert list(found) == list(range(1, 18)) and len({option.code for option in found.values()}) == 17
    assert found[1].label.en == "left ventricle basal anterior segment" and found[17].label.ja == "17 心尖"
    assert not SCORES.keys() & NOT_SEEN


def test_the_score_index_is_the_mean_of_what_was_seen() -> None:
    assert score_index(dict.fromkeys(range(1, 18), "373122000")).score_index == 1
    findings = {1: "373122000", 2: "37706002", 3: "195675009", 4: "25437005", 5: "122288", 6: "373121007"}
    found = score_index(findings)
    assert found.score_index == pytest.approx(2.5) and (found.scored, found.not_seen) == (4, 13)
    assert score_index({}).score_index is None
    for wrong in ({0: "373122000"}, {18: "373122000"}, {1: "normal"}):
        with pytest.raises(Malformed):
            score_index(wrong)
