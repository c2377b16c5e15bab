"""Tracks for tests: hypothesis strategies, and `python -m tests.tracks`, which freezes examples to tests/vectors.

tracks.json is written by hand; tracks_frozen.json, shapes.json and lesion_path.json come from here and change only when
it is run."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from core.curation import tracks as t
from core.curation.shapes import CLOSED, KINDS, Kind, Point, Points, Shape, area_of, box_of, outline
from core.errors import Malformed

VECTORS = Path(__file__).parent / "vectors"
FRAMES = 60
PATH_FRAMES = 300
PATH_KEYFRAMES = 6
STRAIGHT: tuple[Kind, ...] = ("rectangle", "ellipse", "polygon", "line", "points")
Verb = Callable[..., Any]
VERBS: dict[str, Verb] = {
    "set_keyframe": t.set_keyframe,
    "remove_keyframe": t.remove_keyframe,
    "hide": t.hide,
    "show": t.show,
    "split": t.split,
    "delete_range": t.delete_range,
    "merge": lambda one, other, gap: t.merge(one, other, gap_is_out_of_view=gap),
    "duplicate_to_next": t.duplicate_to_next,
}

pixels = st.integers(0, 10_240).map(lambda tenths: tenths / 10)
a_point = st.tuples(pixels, pixels)


@st.composite
def ellipses(draw: st.DrawFn) -> Points:
    (x, y), along, across = draw(a_point), draw(st.integers(1, 300)), draw(st.integers(1, 300))
    turn = math.radians(draw(st.integers(-180, 180)))
    c, s = math.cos(turn), math.sin(turn)
    return (x, y), (x + along * c, y + along * s), (x - across * s, y + across * c)


def outlines(fewest: int, most: int) -> st.SearchStrategy[Points]:
    return st.lists(a_point, min_size=fewest, max_size=most).map(tuple)


@st.composite
def rings(draw: st.DrawFn, count: int) -> Points:
    """A closed outline as people draw them: once round its middle, either way, from about the right hand."""
    (x, y), unit = draw(a_point), 2 * math.pi / count
    radii = draw(st.lists(st.integers(5, 200), min_size=count, max_size=count))
    turns = [unit * (index + draw(st.integers(0, 5)) / 10) for index in range(count)]
    points = [
        (x + radius * math.cos(turn), y + radius * math.sin(turn)) for radius, turn in zip(radii, turns, strict=True)
    ]
    return tuple(points) if draw(st.booleans()) else (points[0], *reversed(points[1:]))


@st.composite
def tracks(draw: st.DrawFn, kinds: Sequence[Kind] = KINDS,
           alike: bool = False) -> t.Track:  # fmt: skip
    """`alike`: every keyframe of an outline has the same number of vertices, and goes round once; else anything."""
    kind = draw(st.sampled_from(kinds))
    numbers = sorted(draw(st.sets(st.integers(1, FRAMES), min_size=1, max_size=5)))
    count = draw(st.integers(3, 7))
    shapes: dict[str, st.SearchStrategy[Points]] = {
        "rectangle": outlines(2, 2),
        "ellipse": ellipses(),
        "polygon": rings(count) if alike else outlines(3, 7),
        "spline": rings(count) if alike else outlines(3, 7),
        "line": outlines(count, count) if alike else outlines(2, 7),
        "points": outlines(count - 2, count - 2),
    }
    track = t.Track(kind, "LIV-HCC", "lesion-1", tuple((number, draw(shapes[kind])) for number in numbers))
    for first in draw(st.lists(st.integers(1, FRAMES), max_size=2)):
        last = min(first + draw(st.integers(0, 8)), FRAMES)
        if not any(first <= number <= last for number in numbers):
            track = t.hide(track, first, last)
    return track


@st.composite
def verbs(draw: st.DrawFn) -> tuple[str, list[Any]]:
    first = draw(st.integers(1, FRAMES))
    given: dict[str, list[Any]] = {
        "remove_keyframe": [first],
        "split": [first],
        "duplicate_to_next": [first, FRAMES],
    } | {verb: [first, min(first + draw(st.integers(0, 12)), FRAMES)] for verb in ("hide", "show", "delete_range")}
    verb = draw(st.sampled_from(sorted(given)))
    return verb, given[verb]


def answer(case: dict[str, Any]) -> Any:
    """What Python says to one case of the vectors, in the form of the file."""
    track = t.from_json(case["track"])
    if "verb" not in case:
        return [shown(track, frame) for frame in case["frames"]]
    given = [t.from_json(one) if isinstance(one, dict) else one for one in case["given"]]
    if case["verb"] == "set_keyframe":
        given[1] = tuple((x, y) for x, y in given[1])
    try:
        found = VERBS[case["verb"]](track, *given)
    except Malformed:
        return "refused"
    return [t.to_json(one) for one in found] if isinstance(found, tuple) else t.to_json(found)


def shown(track: t.Track, frame: int) -> list[list[float]] | None:
    shape = t.interpolate(track, frame)
    return None if shape is None else [list(point) for point in shape.points]


def lesion_path() -> list[tuple[Point, Point]]:
    """The corners of a lesion's box on each of 300 frames: breathing, a slow drift, and growth as the plane moves in."""
    boxes = []
    for frame in range(PATH_FRAMES):
        breath = math.cos(2 * math.pi * 2.5 * frame / (PATH_FRAMES - 1))
        size = 74 + 26 * math.sin(math.pi * frame / (PATH_FRAMES - 1)) + 6 * breath
        x, y = 420 + 0.12 * frame + 7 * breath, 300 + 25 * breath
        box = ((x - 0.6 * size, y - 0.45 * size), (x + 0.6 * size, y + 0.45 * size))
        boxes.append(tuple((round(px, 2), round(py, 2)) for px, py in box))
    return boxes  # type: ignore[return-value]


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) IoU of (n, 2, 2) boxes given by their upright corners."""
    low, high = np.maximum(one[:, 0], other[:, 0]), np.minimum(one[:, 1], other[:, 1])
    inner = np.prod(np.clip(high - low, 0, None), axis=1)
    return inner / (np.prod(one[:, 1] - one[:, 0], axis=1) + np.prod(other[:, 1] - other[:, 0], axis=1) - inner)


def best_keyframes(boxes: np.ndarray, count: int, step: int) -> tuple[float, list[int]]:
    """(highest mean IoU, frames from 1) of `count` keyframes on every step-th frame and the last, by dynamic programming."""
    stops = [*range(0, len(boxes) - 1, step), len(boxes) - 1]
    gain = np.full((len(stops), len(stops)), -np.inf)
    for a, first in enumerate(stops):
        for b in range(a + 1, len(stops)):
            part = (np.arange(first + 1, stops[b] + 1) - first)[:, None, None] / (stops[b] - first)
            path = boxes[first] + (boxes[stops[b]] - boxes[first]) * part
            gain[a, b] = overlaps(path, boxes[first + 1 : stops[b] + 1]).sum()
    best, ways = gain[0].copy(), [[0, b] for b in range(len(stops))]
    for _ in range(count - 2):
        sums = best[:, None] + gain
        from_ = sums.argmax(axis=0)
        best, ways = sums.max(axis=0), [[*ways[a], b] for b, a in enumerate(from_)]
    return float((best[-1] + 1) / len(boxes)), [stops[index] + 1 for index in ways[-1]]


def _examples() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []

    @seed(5)
    @settings(max_examples=60, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(tracks(STRAIGHT), st.lists(st.integers(1, FRAMES), min_size=4, max_size=4), verbs())
    def take(track: t.Track, frames: list[int], verb: tuple[str, list[Any]]) -> None:
        number = len(cases)
        if len(track.keyframes) == 1 and number % 9:
            return
        case = {"name": f"frozen {number}", "track": t.to_json(track)}
        inner = [f for f in frames if t.interpolate(track, f)] or frames[:1]
        case |= {"frames": inner} if number % 2 else {"verb": verb[0], "given": verb[1]}
        cases.append(case | {"expected": answer(case)})

    take()
    return cases


def measured(shape: Shape) -> dict[str, Any]:
    """What Python says of one shape, in the form of shapes.json."""
    points = [list(point) for point in outline(shape)] if shape.kind in CLOSED else None
    return {"box": list(box_of(shape)), "area": area_of(shape), "outline": points}


def _shapes() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []

    @seed(7)
    @settings(max_examples=24, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(tracks())
    def take(track: t.Track) -> None:
        shape = Shape(track.kind, track.keyframes[0][1])
        cases.append({"kind": shape.kind, "points": [list(point) for point in shape.points], **measured(shape)})

    take()
    return cases


def _lines(cases: list[dict[str, Any]]) -> str:
    lines = ",\n".join(json.dumps(case) for case in cases)
    return f"[\n{lines}\n]\n"


def freeze() -> None:
    """Write the files; the order of keys and the rounding of floats are Python's own."""
    (VECTORS / "tracks_frozen.json").write_text(_lines(_examples()), "utf-8")
    (VECTORS / "shapes.json").write_text(_lines(_shapes()), "utf-8")
    boxes = lesion_path()
    _, frames = best_keyframes(np.asarray(boxes), PATH_KEYFRAMES, 1)
    track = t.Track("rectangle", "LIV-HCC", "lesion-1", tuple((frame, boxes[frame - 1]) for frame in frames))
    path = {"track": t.to_json(track), "boxes": [[list(point) for point in box] for box in boxes]}
    (VECTORS / "lesion_path.json").write_text(json.dumps(path).replace("]], [[", "]],\n[[") + "\n", "utf-8")


if __name__ == "__main__":
    freeze()
