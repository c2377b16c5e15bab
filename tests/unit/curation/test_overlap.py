"""Overlap of outlines: known areas, what always holds, and the same as counting fine pixels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from core.curation.overlap import area, dice, intersection_area, iou, landmark_distance_mm
from core.curation.shapes import Point, Shape, outline, signed_area
from core.errors import Malformed

SQUARE = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))
whole = st.integers(0, 60).map(float)
outlines = st.lists(st.tuples(whole, whole), min_size=3, max_size=7)


def moved(points: tuple[Point, ...], x: float, y: float) -> tuple[Point, ...]:
    return tuple((px + x, py + y) for px, py in points)


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (SQUARE, 100),
        (moved(SQUARE, 5, 5), 25),
        (moved(SQUARE, 10, 0), 0),
        (moved(SQUARE, 30, 0), 0),
        (((2.0, 2.0), (4.0, 2.0), (4.0, 4.0), (2.0, 4.0)), 4),
        (((0.0, 0.0), (10.0, 0.0), (0.0, 10.0)), 50),
        (((5.0, -5.0), (15.0, 5.0), (5.0, 15.0), (-5.0, 5.0)), 100),
        (((0.0, 0.0), (20.0, 0.0), (20.0, 2.0), (2.0, 2.0), (2.0, 8.0), (20.0, 8.0), (20.0, 10.0), (0.0, 10.0)), 52),
    ],
)
def test_areas_that_are_known(other: tuple[Point, ...], shared: float) -> None:
    assert intersection_area(SQUARE, other) == pytest.approx(shared, abs=1e-9)


def test_iou_and_dice_that_are_known() -> None:
    half = moved(SQUARE, 5, 0)
    assert iou(SQUARE, half) == pytest.approx(1 / 3) and dice(SQUARE, half) == pytest.approx(1 / 2)
    dot = ((1.0, 1.0),) * 3
    assert iou(dot, dot) is None and dice(dot, dot) is None and iou(SQUARE, dot) == 0


def test_what_each_kind_holds() -> None:
    assert area(outline(Shape("rectangle", ((8.0, 9.0), (2.0, 1.0))))) == pytest.approx(48)
    turn = math.radians(33)
    c, s = math.cos(turn), math.sin(turn)
    ellipse = Shape("ellipse", ((50.0, 60.0), (50 + 40 * c, 60 + 40 * s), (50 - 25 * s, 60 + 25 * c)))
    assert area(outline(ellipse)) == pytest.approx(math.pi * 40 * 25, rel=1.1e-4)
    for kind in ("line", "points"):
        with pytest.raises(Malformed):
            outline(Shape(kind, SQUARE))  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(outlines, outlines)
def test_what_always_holds(one: list[Point], other: list[Point]) -> None:
    both, first, second = intersection_area(one, other), area(one), area(other)
    assert both == pytest.approx(intersection_area(other, one), abs=1e-6)
    assert -1e-9 <= both <= min(first, second) + 1e-6
    assert intersection_area(one, one) == pytest.approx(first, abs=1e-6)
    turned = [(-y + 100, x + 3) for x, y in one], [(-y + 100, x + 3) for x, y in other]
    assert intersection_area(*turned) == pytest.approx(both, abs=1e-6)
    if (overlap := iou(one, other)) is not None:
        assert dice(one, other) == pytest.approx(2 * overlap / (1 + overlap), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_simple_outlines_have_the_area_that_corners_give(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # One corner in each ninth of the circle: with half a turn between two corners an outline can cross itself.
    turns = (np.arange(9) + rng.uniform(0, 0.9, 9)) * 2 * np.pi / 9
    radii = rng.uniform(5, 30, 9)
    points = [(50 + float(r * np.cos(a)), 50 + float(r * np.sin(a))) for r, a in zip(radii, turns, strict=True)]
    assert area(points) == pytest.approx(abs(signed_area(points)), rel=1e-9)


def test_the_same_as_counting_pixels() -> None:
    rng = np.random.default_rng(3)
    for _ in range(4):
        masks, rings = [], []
        for _ in range(2):
            turns, radii = np.arange(8) * np.pi / 4, rng.uniform(8, 30, 8)
            x, y = 40 + radii * np.cos(turns), 40 + radii * np.sin(turns)
            rings.append([(float(a), float(b)) for a, b in zip(x, y, strict=True)])
            image = Image.new("L", (1600, 1600))
            ImageDraw.Draw(image).polygon([(a * 20 - 0.5, b * 20 - 0.5) for a, b in rings[-1]], fill=1)
            masks.append(np.asarray(image) > 0)
        counted = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
        assert iou(*rings) == pytest.approx(counted, abs=2e-3)


def test_distance_is_in_the_millimetres_of_the_region() -> None:
    assert landmark_distance_mm((0, 0), (30, 40), (0.1, 0.1)) == pytest.approx(5)
    assert landmark_distance_mm((0, 0), (30, 40), (0.2, 0.1)) == pytest.approx(math.hypot(6, 4))
    assert landmark_distance_mm((0, 0), (30, 40), None) is None
