"""Outlines of COCO annotations: the polygon of one object as x and y in turn, in pixels. Standard library only."""

import math
from itertools import pairwise

Outline = tuple[float, ...]
FEWEST_VALUES = 6
_LARGEST = 1e9


def outline_of(segmentation: object) -> Outline:
    """The largest polygon of a COCO segmentation; () for none, for run lengths, and for what is no polygon of three points.

    Raises ValueError for a list of anything else than numbers, or of an odd number of them."""
    if not isinstance(segmentation, list):
        return ()
    parts = segmentation if segmentation and isinstance(segmentation[0], list) else [segmentation]
    found = [_checked(part) for part in parts]
    return max((one for one in found if len(one) >= FEWEST_VALUES), key=area_of, default=())


def area_of(outline: Outline) -> float:
    """The area that it holds, in square pixels (Gauss's formula)."""
    points = list(zip(outline[::2], outline[1::2], strict=True))
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise([*points, *points[:1]]))) / 2


def box_of(outline: Outline) -> tuple[float, float, float, float]:
    """x, y, width, height of the box that just holds it."""
    xs, ys = outline[::2], outline[1::2]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _checked(part: object) -> Outline:
    if not isinstance(part, list) or len(part) % 2:
        raise ValueError("An outline is not a list of x and y in turn.")
    for value in part:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("A point of an outline is not a number.")
        if not math.isfinite(value) or abs(value) > _LARGEST:
            raise ValueError("A point of an outline is no sensible number.")
    return tuple(float(value) for value in part)
