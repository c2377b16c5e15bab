"""Which ROIs of two readers mean the same, and how far they lie apart: outlines by their overlap, landmarks by their name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from core.curation.overlap import dice, iou, landmark_distance_mm
from core.curation.shapes import CLOSED, Point, Shape, box_of, outline
from core.curation.tracks import interpolate
from core.dicom.ultrasound import region_at
from core.models.curation import Roi
from core.models.sitecase import SiteImage
from core.services.drawing import track_of
from core.services.facts import regions_of


@dataclass(frozen=True)
class Match:
    """Two ROIs of two readers on one image, as means over the frames that both placed or passed through.

    IoU and Dice are of closed outlines; millimetres are None where a point has no region with a scale."""

    iou: float | None
    dice: float | None
    centre_mm: float | None
    landmark_mm: float | None


def matched(image: SiteImage, ones: Sequence[Roi], others: Sequence[Roi]) -> tuple[list[Match], int]:
    """(matches, how many ROIs have none). Outlines are matched greedily, the largest mean IoU first, and only if they
    touch; landmarks of the same name, in order."""
    closed = [[roi for roi in side if roi.use == "lesion"] for side in (ones, others)]
    areas = _areas(image, *closed)
    points = _landmarks(image, ones, others)
    marks = sum(roi.use == "landmark" for side in (ones, others) for roi in side)
    left = len(closed[0]) + len(closed[1]) + marks - 2 * (len(areas) + len(points))
    return [*areas, *points], left


def _areas(image: SiteImage, ones: Sequence[Roi], others: Sequence[Roi]) -> list[Match]:
    scored = [
        (match.iou, place, match)
        for place, match in (
            ((a, b), compared(image, one, other)) for a, one in enumerate(ones) for b, other in enumerate(others)
        )
        if match is not None and match.iou
    ]
    found, used = [], (set[int](), set[int]())
    for _, (a, b), match in sorted(scored, key=lambda each: (-each[0], each[1])):
        if a not in used[0] and b not in used[1]:
            used[0].add(a)
            used[1].add(b)
            found.append(match)
    return found


def compared(image: SiteImage, one: Roi, other: Roi) -> Match | None:
    """None for two that are on no frame together. Frames are those on which either was placed and both are seen."""
    mine, theirs = track_of(one), track_of(other)
    shapes = [
        (interpolate(mine, frame), interpolate(theirs, frame)) for frame in sorted({*mine.frames, *theirs.frames})
    ]
    seen = [(a, b) for a, b in shapes if a is not None and b is not None and {a.kind, b.kind} <= CLOSED]
    if not seen:
        return None
    outlines = [(outline(a), outline(b)) for a, b in seen]
    return Match(
        iou=_mean([iou(a, b) for a, b in outlines]),
        dice=_mean([dice(a, b) for a, b in outlines]),
        centre_mm=_mean([distance_mm(image, _centre(a), _centre(b)) for a, b in seen]),
        landmark_mm=None,
    )


def _centre(shape: Shape) -> Point:
    x, y, width, height = box_of(shape)
    return x + width / 2, y + height / 2


def distance_mm(image: SiteImage, one: Point, other: Point) -> float | None:
    """In mm where one region with a scale holds both points."""
    regions = regions_of(image.facts)
    region = region_at(regions, int(one[0]), int(one[1]))
    if region is None or region != region_at(regions, int(other[0]), int(other[1])):
        return None
    return landmark_distance_mm(one, other, region.mm_per_px)


def _landmarks(image: SiteImage, ones: Sequence[Roi], others: Sequence[Roi]) -> list[Match]:
    found, left = [], [roi for roi in others if roi.use == "landmark"]
    for roi in ones:
        other = next((each for each in left if roi.use == "landmark" and each.label == roi.label), None)
        if other is not None:
            left.remove(other)
            found.append(Match(None, None, None, _apart(image, roi, other)))
    return found


def _apart(image: SiteImage, one: Roi, other: Roi) -> float | None:
    mine, theirs = track_of(one), track_of(other)
    shapes = [(interpolate(mine, frame), interpolate(theirs, frame)) for frame in {*mine.frames, *theirs.frames}]
    return _mean([distance_mm(image, a.points[0], b.points[0]) for a, b in shapes if a is not None and b is not None])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return fmean(known) if known else None
