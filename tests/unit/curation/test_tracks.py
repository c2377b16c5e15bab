"""Tracks: Python and JavaScript give what the vectors say, and cutting and joining change nothing that was shown."""

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.curation import tracks as t
from core.curation.overlap import iou
from core.curation.shapes import CLOSED, KINDS, Shape, area_of, between, box_of, outline
from core.errors import Malformed
from tests.tracks import (
    FRAMES,
    PATH_KEYFRAMES,
    VECTORS,
    answer,
    best_keyframes,
    lesion_path,
    measured,
    overlaps,
    shown,
    tracks,
)
from web.assets import FOLDER

CASES: list[dict[str, Any]] = [
    case for name in ("tracks", "tracks_frozen") for case in json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
]
SHAPES: list[dict[str, Any]] = json.loads((VECTORS / "shapes.json").read_text("utf-8"))
PATH = json.loads((VECTORS / "lesion_path.json").read_text("utf-8"))
ALL = range(1, FRAMES + 2)
frames = st.integers(1, FRAMES)
light = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def spoken_by_node(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What web/static/tracks.js answers; named .mjs, which every node takes for a module."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the tracks of the pages run in it")
    module = tmp_path_factory.mktemp("tracks") / "tracks.mjs"
    shutil.copy(FOLDER / "tracks.js", module)
    files = [VECTORS / f"{name}.json" for name in ("tracks", "tracks_frozen", "lesion_path", "shapes")]
    command = ["node", VECTORS.parent / "node" / "tracks.mjs", module, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def alike(one: Any, other: Any) -> bool:
    """The same in everything, numbers to a billionth of a pixel."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) < 1e-9
    return one == other


def same_shape(one: Shape | None, other: Shape | None) -> bool:
    if one is None or other is None:
        return one is other
    return len(one.points) == len(other.points) and np.allclose(one.points, other.points, rtol=0, atol=1e-6)


def near(one: Shape | None, other: Shape | None) -> bool:
    """As same_shape; a rectangle may have been turned upright."""
    if one is not None and other is not None and one.kind == "rectangle":
        one, other = between(one, one, 0), between(other, other, 0)
    return same_shape(one, other)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_python_gives_what_the_vectors_say(case: dict[str, Any]) -> None:
    assert alike(answer(case), case["expected"])


def test_javascript_gives_what_the_vectors_say(spoken_by_node: dict[str, Any]) -> None:
    wrong = [
        c["name"] for c, said in zip(CASES, spoken_by_node["cases"], strict=True) if not alike(said, c["expected"])
    ]
    assert wrong == []


def test_boxes_areas_and_outlines_are_what_both_say(spoken_by_node: dict[str, Any]) -> None:
    assert {shape["kind"] for shape in SHAPES} == set(KINDS)
    for shape, by_node in zip(SHAPES, spoken_by_node["shapes"], strict=True):
        expected = {name: shape[name] for name in ("box", "area", "outline")}
        here = measured(Shape(shape["kind"], tuple((x, y) for x, y in shape["points"])))
        assert alike(here, expected) and alike(by_node, expected)


@light
@given(tracks())
def test_the_tight_box_holds_the_outline_and_touches_it_on_every_side(track: t.Track) -> None:
    shape = Shape(track.kind, track.keyframes[0][1])
    x, y, width, height = box_of(shape)
    way = np.asarray(outline(shape) if shape.kind in CLOSED else shape.points)
    # The polygon of an ellipse lies inside it, by less than its sagitta.
    short = 1e-4 * max(width, height) if shape.kind == "ellipse" else 0
    low, high = way.min(axis=0), way.max(axis=0)
    assert np.all(low >= (x - 1e-6, y - 1e-6)) and np.all(high <= (x + width + 1e-6, y + height + 1e-6))
    assert np.allclose([*low, *high], [x, y, x + width, y + height], rtol=0, atol=short + 1e-6)


@light
@given(tracks(kinds=("spline",)))
def test_a_spline_runs_through_its_points(track: t.Track) -> None:
    points = np.asarray(track.keyframes[0][1])
    way = np.asarray(outline(Shape("spline", track.keyframes[0][1])))
    assert len(way) == 16 * len(points) and np.array_equal(way[::16], points)


def test_a_spline_through_a_circle_is_nearly_one() -> None:
    turns = np.arange(12) * np.pi / 6
    shape = Shape("spline", tuple((100 + 50 * float(np.cos(a)), 100 + 50 * float(np.sin(a))) for a in turns))
    far = np.linalg.norm(np.asarray(outline(shape)) - 100, axis=1)
    assert np.abs(far - 50).max() < 0.2 and abs(area_of(shape) - np.pi * 2500) < 40


def test_many_points_make_no_more_vertices_than_an_ellipse_could_bear() -> None:
    points = tuple((float(index), float(index % 7)) for index in range(500))
    assert len(outline(Shape("spline", points))) == 1000


def test_a_breathing_lesion_is_followed_with_six_keyframes(spoken_by_node: dict[str, Any]) -> None:
    boxes = np.asarray(PATH["boxes"])
    track = t.from_json(PATH["track"])
    assert len(track.keyframes) == PATH_KEYFRAMES and boxes.shape == (300, 2, 2)
    assert np.array_equal(boxes, lesion_path())
    by_python = np.asarray([shown(track, frame) for frame in range(1, 301)])
    for path in (by_python, np.asarray(spoken_by_node["path"])):
        assert overlaps(path, boxes).mean() >= 0.9


def test_five_keyframes_would_not_be_enough() -> None:
    assert best_keyframes(np.asarray(PATH["boxes"]), PATH_KEYFRAMES - 1, 6)[0] < 0.9


@light
@given(tracks())
def test_a_keyframe_shows_what_was_drawn_and_a_track_survives_its_file(track: t.Track) -> None:
    assert [t.interpolate(track, frame) for frame in track.frames] == [Shape(track.kind, p) for _, p in track.keyframes]
    outside = [f for f in ALL if not track.frames[0] <= f <= track.frames[-1] or t.is_out_of_view(track, f)]
    assert not any(t.interpolate(track, frame) for frame in outside)
    assert t.from_json(json.loads(json.dumps(t.to_json(track)))) == track


@cache
def split_at(track: t.Track, frame: int) -> tuple[t.Track, t.Track] | None:
    try:
        return t.split(track, frame)
    except Malformed:
        return None


@light
@given(tracks(alike=True), frames)
def test_split_and_merge_change_nothing_that_is_shown(track: t.Track, frame: int) -> None:
    parts = split_at(track, frame)
    if parts is None:
        shown_frames = [f for f in ALL if t.interpolate(track, f)]
        assert all(f >= frame for f in shown_frames) or all(f < frame for f in shown_frames)
        return
    before, after = parts
    whole = t.merge(after, before, gap_is_out_of_view=False)
    for number in ALL:
        part = before if number < frame else after
        assert near(t.interpolate(part, number), t.interpolate(track, number))
        assert near(t.interpolate(whole, number), t.interpolate(track, number))
        assert t.is_out_of_view(whole, number) == t.is_out_of_view(track, number)
        assert t.interpolate(after if number < frame else before, number) is None


@light
@given(tracks(alike=True), frames, st.integers(0, 12))
def test_a_deleted_range_says_nothing_and_the_rest_stays(track: t.Track, first: int, length: int) -> None:
    last = first + length
    parts = t.delete_range(track, first, last)
    for number in ALL:
        found = [shape for part in parts if (shape := t.interpolate(part, number))]
        if first <= number <= last:
            assert not found and not any(t.is_out_of_view(part, number) for part in parts)
        else:
            assert len(found) <= 1 and near(next(iter(found), None), t.interpolate(track, number))
    assert {part.lesion_id for part in parts} <= {track.lesion_id}


@light
@given(tracks(alike=True), frames, st.integers(0, 12))
def test_hiding_hides_that_span_and_showing_undoes_it(track: t.Track, first: int, length: int) -> None:
    last = first + length
    outside = [f for f in ALL if not first <= f <= last]
    if not any(t.interpolate(track, number) for number in outside):
        with pytest.raises(Malformed):
            t.hide(track, first, last)
        return
    hidden = t.hide(track, first, last)
    assert all(t.is_out_of_view(hidden, number) for number in range(first, last + 1))
    assert all(near(t.interpolate(hidden, number), t.interpolate(track, number)) for number in outside)
    shown_again = t.show(hidden, first, last)
    assert not any(t.is_out_of_view(shown_again, number) for number in range(first, last + 1))
    assert t.hide(hidden, first, last) == hidden


@light
@given(tracks(alike=True), frames)
def test_a_shape_taken_to_the_next_frame(track: t.Track, frame: int) -> None:
    shape = t.interpolate(track, frame)
    if shape is None or frame == FRAMES:
        with pytest.raises(Malformed):
            t.duplicate_to_next(track, frame, FRAMES)
        return
    longer = t.duplicate_to_next(track, frame, FRAMES)
    assert t.interpolate(longer, frame + 1) == shape
    assert all(near(t.interpolate(longer, f), t.interpolate(track, f)) for f in range(1, frame + 1))
    assert t.duplicate_to_next(longer, frame, FRAMES) == longer


@light
@given(tracks(), frames)
def test_a_keyframe_set_and_removed(track: t.Track, frame: int) -> None:
    assume(frame not in track.frames)
    points = track.keyframes[0][1]
    more = t.set_keyframe(track, frame, points)
    assert t.interpolate(more, frame) == Shape(track.kind, points)
    assert t.remove_keyframe(more, frame).keyframes == track.keyframes


@light
@given(tracks(kinds=("polygon", "line")))
def test_matching_outlines_moves_neither(track: t.Track) -> None:
    """At both ends of the way every vertex is still there, and every point that was added lies on an edge."""
    (_, one), (_, other) = track.keyframes[0], track.keyframes[-1]
    closed = track.kind == "polygon"
    for points, part in ((one, 0.0), (other, 1.0)):
        found = np.asarray(between(Shape(track.kind, one), Shape(track.kind, other), part).points)
        way = np.asarray([*points, points[0]] if closed else points)
        gaps = np.linalg.norm(found[:, None] - np.asarray(points)[None], axis=2)
        assert gaps.min(axis=0).max() < 1e-4
        assert max(_off(point, way) for point in found) < 1e-4


def _off(point: np.ndarray, way: np.ndarray) -> float:
    """Distance of a point to the nearest edge of a way."""
    start, edge = way[:-1], np.diff(way, axis=0)
    squared = np.maximum((edge**2).sum(axis=1), 1e-12)
    along = np.clip(((point - start) * edge).sum(axis=1) / squared, 0, 1)
    return float(np.linalg.norm(start + along[:, None] * edge - point, axis=1).min())


def test_outlines_with_unequal_vertices_move_little_when_split() -> None:
    def ring(count: int, x: float, size: float) -> tuple[tuple[float, float], ...]:
        turns = np.arange(count) * 2 * np.pi / count
        return tuple((x + size * float(np.cos(a)), 200 + 0.7 * size * float(np.sin(a))) for a in turns)

    track = t.Track("polygon", "L", "a", ((1, ring(7, 200, 40)), (21, ring(12, 260, 70)), (41, ring(9, 240, 50))))
    for frame in (6, 11, 33):
        for part in t.split(track, frame):
            for number in range(part.frames[0], part.frames[-1] + 1, 2):
                one, other = t.interpolate(part, number), t.interpolate(track, number)
                assert one and other and iou(one.points, other.points) > 0.97


def test_a_span_of_a_thousand_million_frames_takes_no_time() -> None:
    """Numbers come from outside: nothing may count them through."""
    track = t.hide(t.Track("points", "L", "a", ((1, ((0.0, 0.0),)), (2 * 10**9, ((1.0, 1.0),)))), 5, 10**9)
    before, after = t.split(track, 7)
    assert before.frames == [1, 4] and after.frames == [10**9 + 1, 2 * 10**9]


BAD: dict[str, Callable[[dict[str, Any]], None]] = {
    "no keyframe": lambda b: b.update(keyframes=[]),
    "frame 0": lambda b: b.update(keyframes=[[0, [[1, 1], [2, 2]]]]),
    "two at once": lambda b: b.update(keyframes=[[3, [[1, 1], [2, 2]]], [3, [[1, 1], [2, 2]]]]),
    "a frame that is no number": lambda b: b.update(keyframes=[["1", [[1, 1], [2, 2]]]]),
    "a point that is no number": lambda b: b.update(keyframes=[[1, [["1", 1], [2, 2]]]]),
    "a point at infinity": lambda b: b.update(keyframes=[[1, [[float("inf"), 1], [2, 2]]]]),
    "a point beyond all numbers": lambda b: b.update(keyframes=[[1, [[10**400, 1], [2, 2]]]]),
    "three corners": lambda b: b.update(keyframes=[[1, [[1, 1], [2, 2], [3, 3]]]]),
    "a keyframe out of view": lambda b: b.update(out_of_view=[[1, 2]]),
    "spans that touch": lambda b: b.update(out_of_view=[[5, 6], [7, 8]]),
    "another kind": lambda b: b.update(kind="star"),
    "no lesion": lambda b: b.pop("lesion_id"),
    "two callipers": lambda b: b.update(kind="points", keyframes=[[1, [[1, 1]]], [4, [[1, 1], [2, 2]]]]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_track_is_refused(name: str) -> None:
    body: dict[str, Any] = {"kind": "rectangle", "label": "L", "lesion_id": "a", "keyframes": [[1, [[1, 1], [2, 2]]]]}
    t.from_json(body)
    BAD[name](body)
    with pytest.raises(Malformed):
        t.from_json(body)
