"""Ultrasound regions, their scale, and the times of cine frames (PS3.3 C.8.5.5, C.7.6.5)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from core.dicom.quiet import PARSER_ERRORS

MAX_REGIONS: Final = 256
_CENTIMETRES: Final = 3
_TWO_DIMENSIONS: Final = 1  # spatial format (PS3.3 C.8.5.5.1.1)


@dataclass(frozen=True)
class Region:
    """One region: an inclusive box in pixels, x to the right, y downward, clipped to the image.

    Codes and deltas are those of PS3.3 C.8.5.5.1 (`spatial_format` 1 = 2D, `data_type` 1 = tissue, units 3 = cm);
    `delta_x`, `delta_y` are physical units a pixel. None where the file does not say."""

    x0: int
    y0: int
    x1: int
    y1: int
    spatial_format: int | None = None
    data_type: int | None = None
    unit_x: int | None = None
    unit_y: int | None = None
    delta_x: float | None = None
    delta_y: float | None = None
    is_low_priority: bool = False

    @property
    def mm_per_px(self) -> tuple[float, float] | None:
        """Millimetres a pixel, (x, y); None unless both directions are in centimetres."""
        if self.unit_x != _CENTIMETRES or self.unit_y != _CENTIMETRES or not self.delta_x or not self.delta_y:
            return None
        return abs(self.delta_x) * 10.0, abs(self.delta_y) * 10.0


def number_of(ds: Dataset, keyword: str) -> float | None:
    """The first value of a numeric attribute, None where it is absent, empty, unreadable or not finite."""
    try:
        value = ds.get(keyword)
        value = value[0] if isinstance(value, MultiValue) else value
        number = None if value is None or value == "" else float(value)
    except PARSER_ERRORS:
        return None
    return number if number is not None and math.isfinite(number) else None


def integer_of(ds: Dataset, keyword: str) -> int | None:
    """As `number_of`, cut to a whole number."""
    number = number_of(ds, keyword)
    return None if number is None else int(number)


def regions(ds: Dataset, rows: int, columns: int) -> tuple[Region, ...]:
    """The regions of the image in file order; a box that is inverted, empty or wholly outside keeps nothing."""
    found = (_region(item, rows, columns) for item in _items(ds))
    return tuple(region for region in found if region is not None)


def _items(ds: Dataset) -> Iterator[Dataset]:
    try:
        sequence: Any = ds.get("SequenceOfUltrasoundRegions") or ()
    except PARSER_ERRORS:
        return
    if not isinstance(sequence, str | bytes):
        yield from list(sequence)[:MAX_REGIONS]


def _region(item: Dataset, rows: int, columns: int) -> Region | None:
    x0, y0 = integer_of(item, "RegionLocationMinX0"), integer_of(item, "RegionLocationMinY0")
    x1, y1 = integer_of(item, "RegionLocationMaxX1"), integer_of(item, "RegionLocationMaxY1")
    if x0 is None or y0 is None or x1 is None or y1 is None:
        return None
    if x1 <= x0 or y1 <= y0:
        return None
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, columns - 1), min(y1, rows - 1)
    if x1 < x0 or y1 < y0:
        return None
    return Region(
        x0, y0, x1, y1,
        spatial_format=integer_of(item, "RegionSpatialFormat"),
        data_type=integer_of(item, "RegionDataType"),
        unit_x=integer_of(item, "PhysicalUnitsXDirection"),
        unit_y=integer_of(item, "PhysicalUnitsYDirection"),
        delta_x=number_of(item, "PhysicalDeltaX"),
        delta_y=number_of(item, "PhysicalDeltaY"),
        is_low_priority=bool((integer_of(item, "RegionFlags") or 0) & 1),
    )  # fmt: skip


def region_at(regions: tuple[Region, ...], x: int, y: int) -> Region | None:
    """The region that holds this pixel; of several the one of high priority, then the smallest."""
    return region_around(regions, x, y, x, y)


def region_around(regions: tuple[Region, ...], x0: int, y0: int, x1: int, y1: int) -> Region | None:
    """The region that holds the whole box of pixels, both ends included; of several as `region_at`."""
    holding = [one for one in regions if one.x0 <= x0 and one.y0 <= y0 and x1 <= one.x1 and y1 <= one.y1]
    return min(holding, key=lambda one: (one.is_low_priority, (one.x1 - one.x0) * (one.y1 - one.y0)), default=None)


def tissue(regions: tuple[Region, ...]) -> tuple[Region, ...]:
    """The regions that show tissue in two dimensions, the largest first."""
    shown = [one for one in regions if one.spatial_format == _TWO_DIMENSIONS]
    return tuple(sorted(shown, key=lambda one: (one.x1 - one.x0 + 1) * (one.y1 - one.y0 + 1), reverse=True))


def frame_time_ms(ds: Dataset) -> float | None:
    """Milliseconds between frames: FrameTime, else the mean of FrameTimeVector, else from the frame rate."""
    stated = number_of(ds, "FrameTime")
    if stated is not None and stated > 0:
        return stated
    vector = _increments(ds)
    if len(vector) > 1 and sum(vector[1:]) > 0:
        return sum(vector[1:]) / (len(vector) - 1)
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = number_of(ds, keyword)
        if rate is not None and rate > 0:
            return 1000.0 / rate
    return None


def frame_times_ms(ds: Dataset) -> tuple[float, ...]:
    """When each frame was taken, in milliseconds after the first; empty when the file does not say."""
    frames = integer_of(ds, "NumberOfFrames") or 1
    if not 0 < frames <= 250_000:
        return ()
    vector = _increments(ds)
    if len(vector) == frames:
        return tuple(accumulate([0.0, *vector[1:]]))
    step = frame_time_ms(ds)
    if step is None:
        return (0.0,) if frames == 1 else ()
    return tuple(step * index for index in range(frames))


def _increments(ds: Dataset) -> list[float]:
    try:
        value: Any = ds.get("FrameTimeVector")
        values = list(value) if isinstance(value, MultiValue) else [] if value is None or value == "" else [value]
        increments = [float(one) for one in values]
    except PARSER_ERRORS:
        return []
    return increments if all(math.isfinite(one) and one >= 0 for one in increments) else []
