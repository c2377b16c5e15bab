"""What may be drawn on an image: which shapes each use takes, where they may lie, and what is derived from them."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, Literal, cast, get_args

from core.curation.shapes import CLOSED, Box, Kind, Point, Shape, box_of, clipped
from core.curation.tracks import Track, from_json, interpolate
from core.errors import Malformed
from core.models.bank import BankRoi
from core.models.curation import Roi
from core.models.sitecase import SiteImage
from core.vocabulary import domain as vocabulary

Use = Literal["lesion", "caliper", "landmark", "lv"]
USES: Final[tuple[Use, ...]] = get_args(Use)
MOST_KEYFRAMES: Final = 2000
MOST_POINTS_IN_ALL: Final = 20_000
MOST_UNCERTAIN: Final = 1000
FEWEST_OF_CONTOUR: Final = 5
# A person's pointer and a browser's sums may end a hair outside the picture.
HAIR: Final = 1e-6
BOX: Final = ("frame", "x", "y", "width", "height")
# Everything that says where an ROI lies.
PLACE: Final = ("kind", "keyframes", "out_of_view", "uncertain", *BOX)


def track_of(roi: Roi | BankRoi) -> Track:
    """The ROI of a site or of central as a track; one that knows only its box is a rectangle. Raises Malformed for what is none."""
    return from_json(
        {
            "kind": roi.kind,
            "label": roi.label,
            "lesion_id": str(roi.lesion_id),
            "keyframes": roi.keyframes or [[roi.frame, _corners(roi)]],
            "out_of_view": roi.out_of_view,
        }
    )


def _corners(roi: Roi | BankRoi) -> list[list[float]]:
    return [[float(roi.x), float(roi.y)], [float(roi.x + roi.width), float(roi.y + roi.height)]]


def changed(roi: Roi, change: Mapping[str, Any]) -> None:
    """Set what the change names. A box without keyframes makes a rectangle of one keyframe, unless it is the box that is
    there already: whoever knows only boxes and changes the class does not lose the shape."""
    sent = dict(change)
    box: dict[str, Any] = {name: sent.pop(name) for name in BOX if name in sent}
    if not sent.get("keyframes"):
        sent.pop("keyframes", None)
        if any(getattr(roi, name) != value for name, value in box.items()):
            box |= {"kind": "rectangle", "keyframes": [], "out_of_view": [], "uncertain": []}
            sent |= box
    for name, value in sent.items():
        setattr(roi, name, value)


def settle(image: SiteImage, domain: str, roi: Roi) -> None:
    """Check the ROI and derive its box, that of the first keyframe. Raises Malformed."""
    if len(roi.keyframes) > MOST_KEYFRAMES or len(roi.uncertain) > MOST_UNCERTAIN:
        raise Malformed("The track has too many keyframes or points.")
    if not roi.keyframes and roi.kind != "rectangle":
        raise Malformed("Only a rectangle can be given by its box; other shapes need keyframes.")
    track = track_of(roi)
    if sum(len(points) for _, points in track.keyframes) > MOST_POINTS_IN_ALL:
        raise Malformed("The track has too many keyframes or points.")
    _check_use(roi.use, track)
    _check_label(domain, roi.use, roi.label)
    last = max([*track.frames, *(end for _, end in track.out_of_view)])
    if last > image.frames:
        raise Malformed(f"This image has frames 1 to {image.frames}.")
    for _, points in track.keyframes:
        _check_inside(image, Shape(track.kind, points))
    roi.keyframes = [[frame, [list(point) for point in points]] for frame, points in track.keyframes]
    roi.out_of_view = [list(span) for span in track.out_of_view]
    roi.uncertain = _uncertain(track, roi.uncertain)
    roi.frame = track.frames[0]
    box = box_of(Shape(track.kind, track.keyframes[0][1]))
    # Without the hair by which it may be outside.
    roi.x, roi.y, roi.width, roi.height = clipped(box, image.columns, image.rows)


def _check_use(use: str, track: Track) -> None:
    counts = {len(points) for _, points in track.keyframes}
    fits = {
        "lesion": track.kind in CLOSED,
        "caliper": track.kind == "points" and counts == {2},
        "landmark": track.kind == "points" and counts == {1},
        "lv": track.kind == "line" and min(counts) >= FEWEST_OF_CONTOUR,
    }
    if use not in fits:
        raise Malformed("An ROI is of a lesion, a calliper, a landmark or the contour of the left ventricle.")
    if not fits[use]:
        raise Malformed(
            "The shape does not fit its use: a lesion is a closed outline, a calliper has two points, a landmark one, "
            "and the contour of the left ventricle is open and has five points or more."
        )


def _check_label(domain: str, use: str, label: str) -> None:
    options = vocabulary.load(domain).options
    if use == "lesion" and label not in {option.code for option in options["diagnosis"]}:
        raise Malformed("The class of an ROI is a diagnosis code of the organ domain.")
    if use == "landmark" and label and label not in {option.code for each in options.values() for option in each}:
        raise Malformed("The name of a landmark is a code of the organ domain.")
    if use in ("caliper", "lv") and label:
        raise Malformed("Callipers and contours carry no class.")


def _check_inside(image: SiteImage, shape: Shape) -> None:
    x, y, width, height = box_of(shape)
    if shape.kind in CLOSED and (width < 1 or height < 1):
        raise Malformed("The shape is less than one pixel wide or high.")
    is_outside = min(x, y) < -HAIR or x + width > image.columns + HAIR or y + height > image.rows + HAIR
    if is_outside and shape.kind in ("ellipse", "spline"):
        raise Malformed(
            f"The outline, not only its points, must lie inside the image of {image.columns} x {image.rows}."
        )
    if is_outside:
        raise Malformed(f"The box must lie inside the image of {image.columns} x {image.rows} pixels.")


def _uncertain(track: Track, marks: object) -> list[list[int]]:
    """[[frame, index of the point], ...] in order; each names a point of a keyframe."""
    points = {frame: len(points) for frame, points in track.keyframes}
    found = set()
    for mark in cast(list[Any], marks):
        if len(mark) != 2 or not all(type(number) is int for number in mark):
            raise Malformed("This is not a track.")
        frame, index = mark
        if not 0 <= index < points.get(frame, 0):
            raise Malformed("A point that is marked uncertain is not there.")
        found.add((frame, index))
    return [list(mark) for mark in sorted(found)]


def keyframe_boxes(roi: Roi | BankRoi) -> list[tuple[int, Box]]:
    """[(frame, tight box), ...] of every keyframe."""
    track = track_of(roi)
    return [(frame, box_of(Shape(track.kind, points))) for frame, points in track.keyframes]


def boxes_near(roi: Roi, rects: list[list[int]]) -> Iterator[Box]:
    """The tight boxes of the ROI on its frames, as far as they may touch one of the rectangles (x, y, width, height).

    A span of frames whose shapes stay away from all of them for certain is passed over: no frame of it is asked."""
    track = track_of(roi)
    yield from (box for _, box in keyframe_boxes(roi))
    for (first, one), (last, other) in pairwise(track.keyframes):
        reach = _reach(track.kind, (*one, *other))
        if any(touch(reach, (x, y, width, height)) for x, y, width, height in rects):
            for frame in range(first + 1, last):
                if (shape := interpolate(track, frame)) is not None:
                    yield box_of(shape)


def _reach(kind: Kind, points: tuple[Point, ...]) -> Box:
    """A box that holds every shape between two keyframes, all of whose points are given.

    What goes straight stays in their hull; an ellipse that turns and a spline that bulges may leave it, and never by
    more than its diagonal."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    width, height = max(xs) - min(xs), max(ys) - min(ys)
    pad = math.hypot(width, height) if kind in ("ellipse", "spline") else 0.0
    return min(xs) - pad, min(ys) - pad, width + 2 * pad, height + 2 * pad


def touch(one: Box, other: Box) -> bool:
    """Whether two boxes (x, y, width, height) have an area in common."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = one, other
    return bx < ax + aw and ax < bx + bw and by < ay + ah and ay < by + bh
