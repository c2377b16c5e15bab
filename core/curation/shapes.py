"""Shapes drawn on a frame and what lies between two of them; web/static/tracks.js does the same, on the same vectors.

Points are (x, y) in pixels of the stored frame. A shape is its kind and its points:
rectangle: two opposite corners · ellipse: centre, end of the first semi-axis, end of the second (at right angles)
polygon: the vertices of a closed outline · spline: points that a smooth closed outline runs through
line: the vertices of an open outline · points: callipers (2) and landmarks (1).
The smooth outline is the centripetal Catmull-Rom spline (Yuksel et al., Computer-Aided Design 43:747 (2011)), which
neither loops nor has cusps within a span; it is taken as the polygon of SPAN_STEPS vertices a span, fewer where it has
many points. An ellipse is taken as the polygon of 256 vertices on it (its area 0.01 % too small); its box is exact."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

from core.errors import Malformed

Point = tuple[float, float]
Points = tuple[Point, ...]
Box = tuple[float, float, float, float]
Kind = Literal["rectangle", "ellipse", "polygon", "spline", "line", "points"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
CLOSED: Final[frozenset[Kind]] = frozenset({"rectangle", "ellipse", "polygon", "spline"})
FEWEST: Final[dict[Kind, int]] = {"rectangle": 2, "ellipse": 3, "polygon": 3, "spline": 3, "line": 2, "points": 1}
MOST_POINTS: Final = 500
ELLIPSE_VERTICES: Final = 256
SPAN_STEPS: Final = 16
SPLINE_VERTICES: Final = 1024
OPEN_VERTICES: Final = 512
# Vertices of two outlines nearer than this part of the way round are one vertex.
SAME_PLACE: Final = 1e-9


@dataclass(frozen=True)
class Shape:
    """What is drawn on one frame. Raises Malformed for points that are too few, too many or not finite."""

    kind: Kind
    points: Points

    def __post_init__(self) -> None:
        count, fewest = len(self.points), FEWEST[self.kind]
        exact = self.kind in ("rectangle", "ellipse")
        if count < fewest or count > (fewest if exact else MOST_POINTS):
            raise Malformed("The shape has too few or too many points.")
        if not all(math.isfinite(x) and math.isfinite(y) for x, y in self.points):
            raise Malformed("A point of the shape is not a number.")


def between(one: Shape, other: Shape, part: float) -> Shape:
    """The shape a `part` (0 to 1) of the way from one to the other, which are of one kind.

    Corners, points, vertices and the points of a spline go straight; the axes of an ellipse grow evenly and turn the
    short way. Outlines with unequal numbers of vertices are matched by arc length from their first vertex. An outline
    that was drawn the other way round is turned, its first vertex kept. Raises Malformed for two kinds, or points in unequal number."""
    if one.kind != other.kind:
        raise Malformed("Shapes of two kinds have nothing between them.")
    if one.kind == "rectangle":
        return Shape(one.kind, _blend(_upright(one.points), _upright(other.points), part))
    if one.kind == "ellipse":
        return Shape(one.kind, _ellipse(one.points, other.points, part))
    if one.kind == "points":
        if len(one.points) != len(other.points):
            raise Malformed("The number of points differs from keyframe to keyframe.")
        return Shape(one.kind, _blend(one.points, other.points, part))
    first, second = one.points, other.points
    if one.kind != "line" and signed_area(first) * signed_area(second) < 0:
        second = (second[0], *reversed(second[1:]))
    return Shape(one.kind, _blend(*_matched(first, second, one.kind), part))


def outline(shape: Shape) -> Points:
    """The vertices of the closed outline, in pixels. Raises Malformed for lines and points, which hold no area."""
    if shape.kind == "polygon":
        return shape.points
    if shape.kind == "rectangle":
        (ax, ay), (bx, by) = shape.points
        return (ax, ay), (bx, ay), (bx, by), (ax, by)
    if shape.kind == "ellipse":
        (x, y), (ax, ay), (bx, by) = shape.points
        turns = [2 * math.pi * index / ELLIPSE_VERTICES for index in range(ELLIPSE_VERTICES)]
        ways = [(math.cos(turn), math.sin(turn)) for turn in turns]
        return tuple((x + c * (ax - x) + s * (bx - x), y + c * (ay - y) + s * (by - y)) for c, s in ways)
    if shape.kind == "spline":
        steps = max(2, min(SPAN_STEPS, SPLINE_VERTICES // len(shape.points)))
        spans = range(len(shape.points))
        return tuple(_on_spline(shape.points, span, step / steps) for span in spans for step in range(steps))
    raise Malformed("Only a closed shape has an area.")


def open_spline(points: Points) -> Points:
    """The vertices of the smooth open line through the points, from the first to the last; beyond its ends there is
    nothing to lean on, so that it leaves them towards the next point."""
    if len(points) < FEWEST["line"]:
        return points
    padded, spans = (points[0], *points, points[-1]), range(1, len(points))
    steps = max(2, min(SPAN_STEPS, OPEN_VERTICES // len(spans)))
    return (*(_on_spline(padded, span, step / steps) for span in spans for step in range(steps)), points[-1])


def box_of(shape: Shape) -> Box:
    """The tight box (x, y, width, height) in pixels; of lines and points it may have no width or height."""
    if shape.kind == "ellipse":
        (x, y), (ax, ay), (bx, by) = shape.points
        half_width, half_height = _far(ax, bx, x, x), _far(ay, by, y, y)
        return x - half_width, y - half_height, 2 * half_width, 2 * half_height
    points = outline(shape) if shape.kind == "spline" else shape.points
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def clipped(box: Box, columns: float, rows: float) -> Box:
    """The part of a box that lies in a picture of this size; x + width and y + height never exceed it by a rounding."""
    x, y, width, height = box
    left, top = min(max(0.0, x), columns), min(max(0.0, y), rows)
    return left, top, _short(left, x + width, columns), _short(top, y + height, rows)


def _short(start: float, end: float, most: float) -> float:
    length = max(0.0, min(end, most) - start)
    while start + length > most:
        length = math.nextafter(length, 0.0)
    return length


def area_of(shape: Shape) -> float:
    """Square pixels inside a closed outline that does not cross itself; 0 for lines and points."""
    return abs(signed_area(outline(shape))) if shape.kind in CLOSED else 0.0


def signed_area(points: Sequence[Point]) -> float:
    """Area of a closed outline in square pixels, positive when it runs from the x axis towards the y axis."""
    total = 0.0
    for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
        total += x0 * y1 - x1 * y0
    return total / 2


def _blend(one: Points, other: Points, part: float) -> Points:
    pairs = zip(one, other, strict=True)
    return tuple((ax + (bx - ax) * part, ay + (by - ay) * part) for (ax, ay), (bx, by) in pairs)


def _upright(points: Points) -> Points:
    (ax, ay), (bx, by) = points
    return (min(ax, bx), min(ay, by)), (max(ax, bx), max(ay, by))


def _ellipse(one: Points, other: Points, part: float) -> Points:
    (ax, ay, along_a, across_a, turn_a), (bx, by, along_b, across_b, turn_b) = _axes(one), _axes(other)
    # An axis has no direction: the difference of two turns lies within a quarter turn either way.
    swing = turn_b - turn_a
    swing -= math.pi * math.floor(swing / math.pi + 0.5)
    x, y = ax + (bx - ax) * part, ay + (by - ay) * part
    along = along_a + (along_b - along_a) * part
    across = across_a + (across_b - across_a) * part
    turn = turn_a + swing * part
    c, s = math.cos(turn), math.sin(turn)
    return (x, y), (x + along * c, y + along * s), (x - across * s, y + across * c)


def _axes(points: Points) -> tuple[float, float, float, float, float]:
    """(x, y, first semi-axis, second semi-axis, turn of the first in radians)."""
    (x, y), (ax, ay), (bx, by) = points
    return x, y, _far(x, y, ax, ay), _far(x, y, bx, by), math.atan2(ay - y, ax - x)


def _far(ax: float, ay: float, bx: float, by: float) -> float:
    # Not math.hypot: the square root is rounded alike in every language.
    return math.sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay))


def _on_spline(points: Points, span: int, part: float) -> Point:
    """The point a `part` (0 to 1) of the way from points[span] to the next one, on the closed spline through them."""
    count = len(points)
    (x0, y0), (x1, y1) = points[span - 1], points[span]
    (x2, y2), (x3, y3) = points[(span + 1) % count], points[(span + 2) % count]
    # Centripetal: a span takes as long as the root of the distance of its ends.
    before, now, after = (math.sqrt(_far(*ends)) for ends in ((x0, y0, x1, y1), (x1, y1, x2, y2), (x2, y2, x3, y3)))
    times = (before, now, after)
    return _hermite((x0, x1, x2, x3), times, part), _hermite((y0, y1, y2, y3), times, part)


def _hermite(values: tuple[float, float, float, float], times: tuple[float, float, float], part: float) -> float:
    """One coordinate of a span, from the two values before it, of it and after it; points in one place have no slope."""
    v0, v1, v2, v3 = values
    before, now, after = times
    if now == 0:
        return v1
    start = end = v2 - v1
    if before > 0:
        start = now * ((v1 - v0) / before - (v2 - v0) / (before + now) + (v2 - v1) / now)
    if after > 0:
        end = now * ((v2 - v1) / now - (v3 - v1) / (now + after) + (v3 - v2) / after)
    bend, turn = 3 * (v2 - v1) - 2 * start - end, 2 * (v1 - v2) + start + end
    return v1 + part * (start + part * (bend + part * turn))


def _matched(one: Points, other: Points, kind: Kind) -> tuple[Points, Points]:
    """Both outlines with a vertex wherever either has one, by arc length: no outline of straight edges changes.

    A spline gets its new points on its own curve, and changes by little."""
    if len(one) == len(other):
        return one, other
    closed = kind != "line"
    places_one, places_other = _places(one, closed), _places(other, closed)
    places: list[float] = []
    for place in sorted([*places_one, *places_other]):
        if not places or place - places[-1] > SAME_PLACE:
            places.append(place)
    if closed and places[-1] > 1 - SAME_PLACE:
        places.pop()
    return _at(one, places_one, places, kind), _at(other, places_other, places, kind)


def _places(points: Points, closed: bool) -> list[float]:
    """For each vertex, which part of the whole length lies before it."""
    way = [*points, points[0]] if closed else list(points)
    reached = [0.0]
    for (ax, ay), (bx, by) in pairwise(way):
        reached.append(reached[-1] + _far(ax, ay, bx, by))
    count, whole = len(points), reached[-1]
    if whole == 0:
        return [index / count for index in range(count)]
    return [length / whole for length in reached[:count]]


def _at(points: Points, own: Sequence[float], places: Sequence[float], kind: Kind) -> Points:
    closed = kind != "line"
    ends = [*own, 1.0] if closed else list(own)
    way = [*points, points[0]] if closed else list(points)
    found, edge = [], 0
    for place in places:
        while edge < len(ends) - 2 and ends[edge + 1] <= place:
            edge += 1
        length = ends[edge + 1] - ends[edge]
        part = 0.0 if length == 0 else min(1.0, max(0.0, (place - ends[edge]) / length))
        if kind == "spline":
            found.append(_on_spline(points, edge, part))
            continue
        (ax, ay), (bx, by) = way[edge], way[edge + 1]
        found.append((ax + (bx - ax) * part, ay + (by - ay) * part))
    return tuple(found)
