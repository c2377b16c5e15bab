"""Finds bright strokes that stand in a row: small letters over tissue, for a closer look, and what a mask left of a line."""

from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.deid.text_line import Box
from core.dicom.display import Rgb

_THIN: Final = np.ones((7, 7), np.uint8)  # letters up to 24 pixels high have strokes thinner than this
_ABOVE, _BRIGHT = 50, 180  # of 255: a stroke over what is round it, and in itself; speckle is seldom both
_GAP: Final = np.ones((3, 15), np.uint8)  # between letters of a line
_LEAST, _TALLEST, _LONG = 5, 40, 2.0  # pixels high; times as wide
_ROOM: Final = 24  # pixels round a line that are looked at with it
_MOST: Final = 12  # the longest ones: a frame of many such rows is no frame of letters
_STRIPE, _BLACK, _LIT = 3, 8, 40  # rows of a mask; of 255: at most of its pixels, at least of a stroke over its row
_FEW, _WIDE, _DENSE = 4, 24, 0.8  # strokes and pixels of a line, at least; of its first row lit, at most
_LIKE, _MOSTLY = 12, 0.6  # of 255: what belongs to one surface; how much of it does
_LETTERS_GAP: Final = np.ones((1, 25), np.uint8)
_STUMP: Final = 10  # rows: what is left of a higher line is found as a line


def rows_of_strokes(rgb: Rgb, area: Box, found: Sequence[Box]) -> list[Box]:
    """Parts of an area (x0 y0 x1 y1) of an (H, W, 3) picture to be looked at again, outside what was found in it."""
    x0, y0, x1, y1 = area
    if x1 - x0 < _LEAST or y1 - y0 < _LEAST:
        return []
    light = rgb[y0:y1, x0:x1].max(axis=2)
    strokes = (cv2.morphologyEx(light, cv2.MORPH_TOPHAT, _THIN) >= _ABOVE) & (light >= _BRIGHT)
    for left, top, right, bottom in found:
        strokes[max(top - y0, 0) : max(bottom - y0, 0), max(left - x0, 0) : max(right - x0, 0)] = False
    rows = cv2.morphologyEx(strokes.astype(np.uint8), cv2.MORPH_CLOSE, _GAP)
    _, _, stats, _ = cv2.connectedComponentsWithStats(rows, connectivity=8)
    lines = [
        (int(x), int(y), int(width), int(height))
        for x, y, width, height, _ in stats[1:]
        if _LEAST <= height <= _TALLEST and width >= _LONG * height
    ]
    lines = sorted(lines, key=lambda line: -line[2])[:_MOST]
    return [
        (
            max(x0 + x - _ROOM, x0),
            max(y0 + y - _ROOM, y0),
            min(x0 + x + width + _ROOM, x1),
            min(y0 + y + height + _ROOM, y1),
        )
        for x, y, width, height in lines
    ]


def cut_lines(rgb: Rgb, area: Box) -> list[Box]:
    """Where strokes on black begin side by side on one row, under or over a black stripe, and are at most 10 rows high.

    A mask that is some rows too short leaves such stumps of a line, which no reader knows for letters and a person may guess.
    What stands in other places looks so too: it counts only at the edge of what is kept."""
    x0, x1 = area[0], area[2]
    y0, y1 = max(area[1] - _STRIPE, 0), min(area[3] + _STRIPE, rgb.shape[0])
    light = rgb[y0:y1, x0:x1].max(axis=2)
    down = list(_stumps(light))
    up = [(left, len(light) - end, right, len(light) - top) for left, top, right, end in _stumps(light[::-1])]
    return [(x0 + left, y0 + top, x0 + right, y0 + end) for left, top, right, end in down + up]


def _stumps(light: NDArray[np.uint8]) -> Iterator[Box]:
    """Boxes of strokes in (H, W) that begin below a black stripe; a ruled line from side to side is no stroke."""
    if min(light.shape) < _WIDE:
        return
    is_under = np.zeros(light.shape, bool)
    is_under[_STRIPE:] = np.all([light[row : row - _STRIPE] <= _BLACK for row in range(_STRIPE)], axis=0)
    over = light.astype(np.int16) - np.median(light, axis=1, keepdims=True).astype(np.int16)
    is_lit = over >= _LIT
    starts = (is_under & is_lit).astype(np.uint8)
    rows = np.flatnonzero(starts.sum(axis=1) >= _FEW)
    if not len(rows):
        return
    lines = cv2.morphologyEx(starts[rows], cv2.MORPH_CLOSE, _LETTERS_GAP) & is_under[rows]
    ends = np.diff(lines.astype(np.int8), axis=1, prepend=0, append=0)
    for (row, left), (_, right) in zip(np.argwhere(ends == 1), np.argwhere(ends == -1), strict=True):
        top, first = int(rows[row]), starts[rows[row], left:right]
        strokes = int((np.diff(first.astype(np.int8), prepend=0) == 1).sum())
        if right - left < _WIDE or strokes < _FEW or first.mean() > _DENSE:
            continue
        first_column = max(int(left) - _STUMP, 0)
        around = is_lit[top : top + _STUMP + 1, first_column : int(right) + _STUMP]
        reached = _hanging(around, is_under[top, first_column : int(right) + _STUMP])
        if reached is not None and _is_flat(over[top : top + _STUMP, left:right]):
            columns = first_column + np.flatnonzero(reached.any(axis=0))
            yield int(columns[0]), top, int(columns[-1]) + 1, top + int(np.flatnonzero(reached.any(axis=1))[-1]) + 1


def _is_flat(over: NDArray[np.int16]) -> bool:
    """Whether most of what lies between strokes is like most of its row, as on a console's screen and not in tissue."""
    between = over[over < _LIT]
    return bool(np.mean(np.abs(between) <= _LIKE) >= _MOSTLY)


def _hanging(lit: NDArray[np.bool_], is_under: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """What hangs together with the strokes of the first row, nothing where it reaches more rows than a stump has."""
    reached = np.zeros_like(lit)
    reached[0] = lit[0] & is_under
    for row in range(1, len(lit)):
        above = np.pad(reached[row - 1], 1)
        reached[row] = lit[row] & (above[:-2] | above[1:-1] | above[2:])
    return reached if len(lit) <= _STUMP or not reached[_STUMP].any() else None
