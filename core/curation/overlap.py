"""How much two outlines overlap: areas, IoU and Dice, exact for polygons of any form.

Nothing is rasterised. The plane is cut into level bands at every vertex and every crossing of edges; within a band no
edges cross, so the length that both outlines share is linear in y, and its middle times the height is the band's area.
Exact but for rounding. An outline that crosses itself holds what the even-odd rule says; those of curved shapes are
the polygons that `core.curation.shapes.outline` makes of them."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.curation.shapes import Point

Floats = NDArray[np.float64]


def area(points: Sequence[Point]) -> float:
    """Area of a closed outline in square pixels."""
    return _areas(points, ())[0]


def intersection_area(one: Sequence[Point], other: Sequence[Point]) -> float:
    """Area in square pixels that both closed outlines hold."""
    return _areas(one, other)[2]


def iou(one: Sequence[Point], other: Sequence[Point]) -> float | None:
    """Area of both over area of either, 0 to 1; None where neither has an area."""
    first, second, both = _areas(one, other)
    either = first + second - both
    return both / either if either > 0 else None


def dice(one: Sequence[Point], other: Sequence[Point]) -> float | None:
    """Twice the area of both over the sum of the areas, 0 to 1; None where neither has an area."""
    first, second, both = _areas(one, other)
    return 2 * both / (first + second) if first + second > 0 else None


def landmark_distance_mm(one: Point, other: Point, mm_per_px: tuple[float, float] | None) -> float | None:
    """Distance of two points of one frame in mm; `mm_per_px` is (x, y) of the region, None where it has no scale."""
    if mm_per_px is None:
        return None
    return math.hypot((one[0] - other[0]) * mm_per_px[0], (one[1] - other[1]) * mm_per_px[1])


def _areas(one: Sequence[Point], other: Sequence[Point]) -> tuple[float, float, float]:
    """(area of one, area of the other, area of both)."""
    edges, owner = _edges((one, other))
    if len(edges) == 0:
        return 0.0, 0.0, 0.0
    levels = np.unique(np.concatenate([edges[:, 0, 1], edges[:, 1, 1], _crossings(edges)]))
    sums = [0.0, 0.0, 0.0]
    for low, high in pairwise(levels):
        middle = (low + high) / 2
        met = (edges[:, 0, 1] < middle) & (middle < edges[:, 1, 1])
        (x0, y0), (x1, y1) = edges[met, 0].T, edges[met, 1].T
        x = x0 + (x1 - x0) * (middle - y0) / (y1 - y0)
        for index, length in enumerate(_lengths(x, owner[met])):
            sums[index] += length * (high - low)
    return sums[0], sums[1], sums[2]


def _edges(outlines: Sequence[Sequence[Point]]) -> tuple[Floats, NDArray[np.int64]]:
    """((n, 2, 2) edges, each from its lower to its higher y, without level ones; (n,) the outline each belongs to)."""
    found, owner = [], []
    for number, points in enumerate(outlines):
        if len(points) < 3:
            continue
        corners = np.asarray(points, dtype=np.float64)
        edges = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
        edges = edges[edges[:, 0, 1] != edges[:, 1, 1]]
        down = edges[:, 0, 1] > edges[:, 1, 1]
        edges[down] = edges[down, ::-1]
        found.append(edges)
        owner.append(np.full(len(edges), number))
    if not found:
        return np.empty((0, 2, 2)), np.empty(0, dtype=np.int64)
    return np.concatenate(found), np.concatenate(owner)


def _crossings(edges: Floats) -> Floats:
    """The y of every crossing of two edges."""
    start, way = edges[:, 0], edges[:, 1] - edges[:, 0]
    gap = start[None] - start[:, None]
    turn = _cross(way[:, None], way[None])
    with np.errstate(divide="ignore", invalid="ignore"):
        along, across = _cross(gap, way[None]) / turn, _cross(gap, way[:, None]) / turn
    met = (turn != 0) & (along > 0) & (along < 1) & (across > 0) & (across < 1)
    rows = np.nonzero(met)[0]
    crossing: Floats = start[rows, 1] + along[met] * way[rows, 1]
    return crossing


def _cross(one: Floats, other: Floats) -> Floats:
    product: Floats = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return product


def _lengths(x: Floats, owner: NDArray[np.int64]) -> tuple[float, float, float]:
    """Lengths on one level inside the first outline, the second, and both; `x` are where edges meet the level."""
    order = np.argsort(x, kind="stable")
    gaps = np.diff(x[order])
    in_one = np.cumsum(owner[order] == 0)[:-1] % 2 == 1
    in_other = np.cumsum(owner[order] == 1)[:-1] % 2 == 1
    return float(gaps[in_one].sum()), float(gaps[in_other].sum()), float(gaps[in_one & in_other].sum())
