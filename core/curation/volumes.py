"""Volumes of the left ventricle from its open contour, ejection fraction, end diastole and end systole.

The contour runs from one end of the mitral (AV) plane over the apex to the other end; the line between its first and
last point closes it. The long axis goes from the middle of that line to the point of the contour farthest from it.
Source of contour, axis and disks: R. M. Lang et al., Recommendations for Cardiac Chamber Quantification by
Echocardiography in Adults (ASE/EACVI), J Am Soc Echocardiogr 28:1-39 (2015), section on left ventricular volumes.
Source of area-length: H. T. Dodge et al., Am Heart J 60:762 (1960). Methods are named by CID 12228.

Points are (x, y) in pixels of the stored frame; a scale is (x, y) in mm per pixel. One millilitre is 1000 mm3."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.curation.shapes import Point
from core.errors import Malformed

Scale = tuple[float, float]
Floats = NDArray[np.float64]
DISKS: Final = 20
FEWEST_POINTS: Final = 5  # both ends of the AV plane, the apex, and one on either wall


class Method(StrEnum):
    """How a volume was measured: codes of CID 12228 in the list echo_measure_rhythm."""

    DISKS_BIPLANE = "125207"
    DISKS_SINGLE_PLANE = "125208"
    AREA_LENGTH_BIPLANE = "125204"
    AREA_LENGTH_SINGLE_PLANE = "125205"


@dataclass(frozen=True)
class Plane:
    """What one view gives: its area, its long axis, and the width of the ventricle across each of the disks."""

    area_mm2: float
    length_mm: float
    widths_mm: tuple[float, ...]


@dataclass(frozen=True)
class Volume:
    """A volume and how it was measured.

    `length_difference_percent` is how much the long axes of the two views differ, of the longer one: above 10 one of
    them is likely foreshortened. None with one view."""

    volume_ml: float
    method: Method
    length_mm: float
    length_difference_percent: float | None = None


@dataclass(frozen=True)
class Ejection:
    """Ejection fraction with the volumes, both of one method, that it comes from."""

    fraction_percent: float
    end_diastolic_ml: float
    end_systolic_ml: float
    method: Method


def plane_of(contour: Sequence[Point], mm_per_px: Scale | None) -> Plane:
    """Area, length and the widths at the middle of each of 20 disks of equal height, from the AV plane to the apex.

    Raises Malformed without a scale, with too few points, for a contour that crosses itself or holds no area."""
    points = _in_mm(contour, mm_per_px)
    ring = points[:-1] if (points[0] == points[-1]).all() else points
    if _crosses(ring):
        raise Malformed("The contour of the ventricle crosses itself.")
    area = _area(points)
    base = (points[0] + points[-1]) / 2
    reach = np.hypot(*(points - base).T)
    length = float(reach.max())
    if not area > 0 or not length > 0:
        raise Malformed("The contour of the ventricle holds no area.")
    apex = points[int(reach.argmax())]
    axis = (apex - base) / length
    along, across = (points - base) @ axis, (points - base) @ np.array([-axis[1], axis[0]])
    heights = (np.arange(DISKS) + 0.5) * length / DISKS
    widths = tuple(_width(along, across, float(height)) for height in heights)
    return Plane(area, length, widths)


def disks_biplane(four_chamber: Plane, two_chamber: Plane) -> Volume:
    """Modified Simpson: pi / 4 x sum of (a x b) x L / 20, with the longer of the two long axes (Lang 2015)."""
    length = max(four_chamber.length_mm, two_chamber.length_mm)
    products = sum(a * b for a, b in zip(four_chamber.widths_mm, two_chamber.widths_mm, strict=True))
    volume = math.pi / 4 * products * length / DISKS / 1000
    return Volume(volume, Method.DISKS_BIPLANE, length, _difference(four_chamber, two_chamber))


def disks_single_plane(plane: Plane) -> Volume:
    """The same with round disks: pi / 4 x sum of a squared x L / 20."""
    volume = math.pi / 4 * sum(a * a for a in plane.widths_mm) * plane.length_mm / DISKS / 1000
    return Volume(volume, Method.DISKS_SINGLE_PLANE, plane.length_mm)


def area_length_biplane(four_chamber: Plane, two_chamber: Plane) -> Volume:
    """8 x A1 x A2 / (3 pi x L), with the shorter of the two long axes (Dodge 1960)."""
    length = min(four_chamber.length_mm, two_chamber.length_mm)
    volume = 8 * four_chamber.area_mm2 * two_chamber.area_mm2 / (3 * math.pi * length) / 1000
    return Volume(volume, Method.AREA_LENGTH_BIPLANE, length, _difference(four_chamber, two_chamber))


def area_length_single_plane(plane: Plane) -> Volume:
    """8 x A squared / (3 pi x L) (Dodge 1960)."""
    volume = 8 * plane.area_mm2**2 / (3 * math.pi * plane.length_mm) / 1000
    return Volume(volume, Method.AREA_LENGTH_SINGLE_PLANE, plane.length_mm)


def ejection(end_diastole: Volume, end_systole: Volume) -> Ejection:
    """(EDV - ESV) / EDV in percent. Raises Malformed for two methods, and when the systolic volume is the larger."""
    if end_diastole.method is not end_systole.method:
        raise Malformed("Volumes of two methods give no ejection fraction.")
    largest, smallest = end_diastole.volume_ml, end_systole.volume_ml
    if smallest > largest:
        raise Malformed("The volume at end systole is larger than at end diastole.")
    return Ejection(100 * (largest - smallest) / largest, largest, smallest, end_diastole.method)


def end_frames(area_mm2_by_frame: Mapping[int, float]) -> tuple[int, int]:
    """(frame of end diastole, frame of end systole) of one beat: the largest and the smallest area, the earlier of equals.

    Raises Malformed for less than two frames or when all areas are the same."""
    ordered = sorted(area_mm2_by_frame.items())
    if len({area for _, area in ordered}) < 2:
        raise Malformed("End diastole and end systole need frames with different areas.")
    largest, smallest = max(area for _, area in ordered), min(area for _, area in ordered)
    return next(f for f, area in ordered if area == largest), next(f for f, area in ordered if area == smallest)


def _in_mm(contour: Sequence[Point], mm_per_px: Scale | None) -> Floats:
    """(n, 2) points in mm, the same point twice in a row taken once."""
    if mm_per_px is None or not all(math.isfinite(scale) and scale > 0 for scale in mm_per_px):
        raise Malformed("The picture has no scale: volumes need millimetres.")
    points = np.asarray(contour, dtype=np.float64).reshape(-1, 2) * np.asarray(mm_per_px)
    if not np.isfinite(points).all():
        raise Malformed("A point of the shape is not a number.")
    moved = np.ones(len(points), dtype=bool)
    moved[1:] = (np.diff(points, axis=0) != 0).any(axis=1)
    kept: Floats = points[moved]
    if len(kept) < FEWEST_POINTS:
        raise Malformed("The contour of the ventricle has too few points.")
    return kept


def _area(points: Floats) -> float:
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _crosses(points: Floats) -> bool:
    """Whether two edges of the closed contour that are not neighbours meet."""
    start, end = points, np.roll(points, -1, axis=0)

    def side(point: Floats) -> Floats:
        """(edges, points): on which side of each edge each point lies."""
        way, gap = (end - start)[:, None], point[None] - start[:, None]
        turn: Floats = np.sign(way[..., 0] * gap[..., 1] - way[..., 1] * gap[..., 0])
        return turn

    of_start, of_end = side(start), side(end)
    parted = of_start * of_end <= 0
    met = parted & parted.T & ~((of_start == 0) & (of_end == 0))
    apart = np.abs(np.subtract.outer(np.arange(len(points)), np.arange(len(points))))
    neighbours = (apart <= 1) | (apart == len(points) - 1)
    return bool((met & ~neighbours).any())


def _width(along: Floats, across: Floats, height: float) -> float:
    """Length inside the closed contour on the line across the long axis at this height."""
    low, high = along, np.roll(along, -1)
    met = (low <= height) != (high <= height)
    part = (height - low[met]) / (high[met] - low[met])
    found = np.sort(across[met] + (np.roll(across, -1)[met] - across[met]) * part)
    return float((found[1::2] - found[0::2]).sum())


def _difference(one: Plane, other: Plane) -> float:
    lengths = sorted((one.length_mm, other.length_mm))
    return 100 * (lengths[1] - lengths[0]) / lengths[1]
