"""ROIs of two readers: what is taken for the same, and how far it lies apart."""

from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.models.curation import Roi
from core.models.sitecase import ImageState, SiteImage
from core.services.matching import compared, matched

REGION = {
    "x0": 0, "y0": 0, "x1": 639, "y1": 479, "spatial_format": 1, "data_type": 1, "unit_x": 3, "unit_y": 3,
    "delta_x": 0.05, "delta_y": 0.05,
}  # fmt: skip


def image(**facts: object) -> SiteImage:
    return SiteImage(
        case_id=uuid4(), number=1, state=ImageState.STAGED, size=1, frames=30, rows=480, columns=640, facts=facts
    )


def box(x: float, y: float, width: float = 20, height: float = 10, frame: int = 1) -> Roi:
    corners = [[x, y], [x + width, y + height]]
    return Roi(
        image_id=uuid4(), frame=frame, x=x, y=y, width=width, height=height, margin=0, label="LIV-HCC",
        keyframes=[[frame, corners]],
    )  # fmt: skip


def landmark(x: float, y: float, label: str) -> Roi:
    return Roi(
        image_id=uuid4(), frame=1, x=x, y=y, width=0, height=0, margin=0, label=label, kind="points", use="landmark",
        keyframes=[[1, [[x, y]]]],
    )  # fmt: skip


def test_each_outline_is_matched_once_and_the_best_first() -> None:
    mine, theirs = [box(0, 0), box(100, 100)], [box(105, 100), box(1, 0), box(300, 300)]
    found, alone = matched(image(), mine, theirs)
    assert sorted(round(match.iou or 0, 3) for match in found) == [0.6, 0.905]
    assert alone == 1


def test_what_does_not_touch_is_not_the_same() -> None:
    found, alone = matched(image(), [box(0, 0)], [box(200, 200)])
    assert (found, alone) == ([], 2)


def test_distances_are_in_mm_and_unknown_without_a_scale() -> None:
    match = compared(image(regions=[REGION]), box(0, 0), box(6, 8))
    assert match is not None and match.centre_mm == pytest.approx(10 * 0.5)
    unknown = compared(image(), box(0, 0), box(6, 8))
    assert unknown is not None and unknown.centre_mm is None and unknown.iou == match.iou


def test_landmarks_are_matched_by_their_name() -> None:
    mine = [landmark(10, 10, "apex"), landmark(50, 50, "base")]
    found, alone = matched(image(regions=[REGION]), mine, [landmark(13, 14, "apex"), landmark(0, 0, "septum")])
    assert [match.landmark_mm for match in found] == [pytest.approx(5 * 0.5)]
    assert alone == 2


def test_a_track_is_compared_where_either_was_placed_and_both_are_seen() -> None:
    moving = box(0, 0)
    moving.keyframes = [[1, [[0, 0], [20, 10]]], [11, [[100, 0], [120, 10]]]]
    still = box(50, 0, frame=6)
    match = compared(image(), moving, still)
    assert match is not None and match.iou == pytest.approx(1)  # half of the way at frame 6
    assert compared(image(), moving, box(0, 0, frame=20)) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=5))
def test_a_reader_agrees_with_themselves(places: list[tuple[int, int]]) -> None:
    rois = [box(x, y) for x, y in places]
    found, alone = matched(image(), rois, rois)
    assert len(found) == len(rois) and alone == 0
    assert all(match.iou == pytest.approx(1) and match.dice == pytest.approx(1) for match in found)
