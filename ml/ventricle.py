"""The left ventricle on a frame: from a network's probabilities to a mask, its open contour, and the plane of a volume.

NumPy, OpenCV and ONNX Runtime, no training code. The view is apical: the apex lies at the probe's side, which is up."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.curation.volumes import Plane, plane_of
from core.errors import Malformed
from ml.images import Rgb, checked, prepared
from ml.outlines import Outline
from ml.runtime import Model

Chances = NDArray[np.float32]
Mask = NDArray[np.uint8]
Floats = NDArray[np.float64]
OUTPUT: Final = "masks"
BATCH: Final = 8
POINTS: Final = 80  # of an open contour
LEAST_PART: Final = 0.002  # of the picture: a smaller ventricle is none
FINEST_SIDE: Final = 768  # pictures are enlarged up to fourfold before their border is followed, to parts of a pixel
ENLARGED: Final = 4
HALF: Final = 128  # a pixel belongs to what covers half of it
_FINE: Final = 4  # bits after the point of OpenCV's drawing


def chances(model: Model, frames: Sequence[Rgb]) -> Iterator[Chances]:
    """The probability (rows, columns) that each pixel of a frame (rows, columns, 3) is cavity. Raises ValueError."""
    given = model.spec.input
    for start in range(0, len(frames), BATCH):
        some = frames[start : start + BATCH]
        fed = [prepared(checked(rgb), given) for rgb in some]
        answer = model.run(np.concatenate([planes for planes, _ in fed]))
        found = answer.get(OUTPUT)
        if found is None or found.shape != (len(some), 1, given.height, given.width) or not np.isfinite(found).all():
            raise ValueError("The model does not answer with one mask a frame.")
        for rgb, (_, placed), plane in zip(some, fed, found[:, 0], strict=True):
            rows, columns = rgb.shape[:2]
            high, wide = round(rows * placed.scale_y), round(columns * placed.scale_x)
            part = plane[placed.top : placed.top + high, placed.left : placed.left + wide]
            yield np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)


def filled(outline: Outline, rows: int, columns: int) -> Mask:
    """(rows, columns) with 1 inside a polygon of x and y in turn, in pixels from the corner of the first one."""
    large: Mask = np.zeros((rows * ENLARGED, columns * ENLARGED), np.uint8)
    # OpenCV fills every pixel that the border touches, and counts from the middle of the first one.
    corners = np.asarray(outline, np.float64).reshape(-1, 2) * ENLARGED - 0.5
    cv2.fillPoly(large, [np.rint(corners * 2**_FINE).astype(np.int32)], 255, cv2.LINE_8, _FINE)
    part = cv2.resize(large, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(part >= HALF, np.uint8)


def dice(one: Mask, other: Mask) -> float:
    """Twice what both hold over what each holds (Dice 1945); 1 for two empty masks."""
    both = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / both if both else 1.0


def open_contour(chance: Chances, threshold: float) -> Floats | None:
    """(80, 2) points x, y in pixels, from one end of the mitral plane over the apex to the other; None without a ventricle.

    The largest part at least as probable as `threshold` is taken. Its long axis is the principal one. The ends of the
    mitral plane are the places on either side of it that lie farthest down and out."""
    rows, columns = chance.shape
    times = max(1, min(ENLARGED, FINEST_SIDE // max(rows, columns)))
    large = cv2.resize(chance, (columns * times, rows * times), interpolation=cv2.INTER_LINEAR)
    rings, _ = cv2.findContours((large >= threshold).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not rings:
        return None
    ring = max(rings, key=cv2.contourArea)
    if cv2.contourArea(ring) < LEAST_PART * rows * columns * times**2:
        return None
    return _opened((ring[:, 0].astype(np.float64) + 0.5) / times, _axis(ring))


def opened(outline: Outline) -> Floats | None:
    """The same of a traced outline, closed or not, whose points stand in order."""
    points = np.asarray(outline, np.float64).reshape(-1, 2)
    ring = _along(np.vstack([points, points[:1]]), 8 * POINTS)
    return _opened(ring, _axis(ring.astype(np.float32)[:, None])) if len(np.unique(points, axis=0)) > 2 else None


def plane(contour: Floats | None, mm_per_px: float) -> Plane | None:
    """Area, long axis and disks of an open contour; None where it is none or crosses itself."""
    if contour is None:
        return None
    try:
        return plane_of([(float(x), float(y)) for x, y in contour], (mm_per_px, mm_per_px))
    except Malformed:
        return None


def _axis(ring: NDArray[Any]) -> Floats:
    """The direction (x, y) of the principal axis, pointing down: from apex to base."""
    held = cv2.moments(ring)
    turn = 0.5 * np.arctan2(2 * held["mu11"], held["mu20"] - held["mu02"])
    way = np.array([np.cos(turn), np.sin(turn)])
    return way if way[1] >= 0 else -way


def _opened(ring: Floats, way: Floats) -> Floats | None:
    """`ring` is closed, its points dense."""
    along, across = ring @ way, ring @ np.array([-way[1], way[0]])
    across = across - (across.max() + across.min()) / 2
    long, wide = np.ptp(along), np.ptp(across)
    if not long > 0 or not wide > 0:
        return None
    down = along / long
    ends = [int(np.argmax(down + side * across / wide)) for side in (-1, 1)]
    apex = int(np.argmin(along))
    first, last = min(ends), max(ends)
    if first == last:
        return None
    inner = ring[first : last + 1]
    outer = np.vstack([ring[last:], ring[: first + 1]])
    return _along(inner if first < apex < last else outer, POINTS)


def _along(points: Floats, count: int) -> Floats:
    """`count` points at equal distances along an open line."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.linspace(0, lengths[-1], count)
    return np.column_stack([np.interp(at, lengths, points[:, 0]), np.interp(at, lengths, points[:, 1])])
