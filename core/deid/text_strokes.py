"""Finds bright thin strokes that stand in a row, for a closer look: small letters over tissue that the first look passed by."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from core.deid.text_line import Box
from core.dicom.display import Rgb

_THIN: Final = np.ones((7, 7), np.uint8)  # letters up to 24 pixels high have strokes thinner than this
_ABOVE, _BRIGHT = 50, 180  # of 255: a stroke over what is round it, and in itself; speckle is seldom both
_GAP: Final = np.ones((3, 15), np.uint8)  # between letters of a line
_LEAST, _TALLEST, _LONG = 5, 40, 2.0  # pixels high; times as wide
_ROOM: Final = 24  # pixels round a line that are looked at with it
_MOST: Final = 12  # the longest ones: a frame of many such rows is no frame of letters


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
