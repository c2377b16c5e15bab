"""The part of the contract that says how a lesion was drawn: the record of an ROI, and what must hold of it."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from core.curation.shapes import MOST_POINTS, Box, Shape, box_of
from core.curation.tracks import Track
from core.errors import Malformed
from core.package.canonical import OutwardId, Strict
from core.package.terms import Code, Point, ReaderClass

MOST_KEYFRAMES: Final = 2000
MOST_TRACK_POINTS: Final = 20_000
# Corners are floats, and the tight box of a curved outline is worked out at both ends.
HAIR: Final = 0.01

Pixel = Annotated[float, Field(ge=0, le=65_535)]
Side = Annotated[float, Field(gt=0, le=65_535)]
FrameNumber = Annotated[int, Field(ge=1, le=1_000_000)]
Rect = tuple[int, int, int, int]


class Keyframe(Strict):
    """What a person drew on one frame; what the points mean follows from the shape (core/curation/shapes.py)."""

    frame: FrameNumber
    points: Annotated[tuple[tuple[Pixel, Pixel], ...], Field(min_length=2, max_length=MOST_POINTS)]


class RoiRecord(Strict):
    """One lesion on one image: the tight box, the crop's margin in pixels, and the centre of the tight box.

    Without `keyframes` it is the rectangle of that box on one frame. With them it is a track: a shape on each keyframe,
    between two of them what core/curation/tracks.py interpolates, nothing on the spans of `out_of_view` (first, last);
    frame and box are then those of the first keyframe. Neither field is written where there is nothing to say, so that
    records of before they were there stay as they are."""

    roi_id: OutwardId
    image_id: OutwardId
    lesion_id: OutwardId
    frame: FrameNumber
    x: Pixel
    y: Pixel
    width: Side
    height: Side
    margin: Annotated[float, Field(ge=0, le=4096)]
    centre_px: Point
    centre_mm: Point | None
    shape: Literal["rectangle", "ellipse", "polygon", "spline"]
    label: Code
    drawn_by: ReaderClass
    source: Literal["manual", "model"]
    keyframes: Annotated[tuple[Keyframe, ...], Field(max_length=MOST_KEYFRAMES)] = ()
    out_of_view: Annotated[tuple[tuple[FrameNumber, FrameNumber], ...], Field(max_length=MOST_KEYFRAMES)] = ()

    @model_serializer(mode="wrap")
    def _without_empty(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if value or name not in ("keyframes", "out_of_view")}

    def track(self) -> Track:
        """Raises Malformed for what is no track."""
        corners = ((self.x, self.y), (self.x + self.width, self.y + self.height))
        frames = tuple((one.frame, one.points) for one in self.keyframes) or ((self.frame, corners),)
        return Track(self.shape, self.label, str(self.lesion_id), frames, self.out_of_view)


def problems(roi: RoiRecord, rows: int, columns: int, frames: int, masked: tuple[Rect, ...]) -> Iterator[str]:
    """What does not hold of an ROI on an image of this size; `masked` are its rectangles (x, y, width, height)."""
    if roi.frame > frames:
        yield "frame: the image has fewer frames"
    if roi.x + roi.width > columns or roi.y + roi.height > rows:
        yield "x, y, width, height: outside the image"
    centre = roi.centre_px
    # Half a pixel: people count the centre from a pixel's corner or from its middle.
    if abs(centre.x - roi.x - roi.width / 2) > 0.501 or abs(centre.y - roi.y - roi.height / 2) > 0.501:
        yield "centre_px: not the centre of the box"
    if _is_masked(centre.x, centre.y, masked):
        yield "centre_px: under the mask"
    if roi.keyframes:
        yield from _track_problems(roi, rows, columns, frames, masked)
    elif roi.shape != "rectangle" or roi.out_of_view:
        yield "keyframes: only a rectangle on one frame goes without"


def _track_problems(roi: RoiRecord, rows: int, columns: int, frames: int, masked: tuple[Rect, ...]) -> Iterator[str]:
    if sum(len(one.points) for one in roi.keyframes) > MOST_TRACK_POINTS:
        yield "keyframes: more points than a track may have"
        return
    try:
        track = roi.track()
        boxes = [box_of(Shape(track.kind, points)) for _, points in track.keyframes]
    except Malformed:
        yield "keyframes: not a track"
        return
    if max([*track.frames, *(last for _, last in track.out_of_view)]) > frames:
        yield "keyframes: the image has fewer frames"
    if any(x < -HAIR or y < -HAIR or x + w > columns + HAIR or y + h > rows + HAIR for x, y, w, h in boxes):
        yield "keyframes: outside the image"
    if track.frames[0] != roi.frame or not _alike(boxes[0], (roi.x, roi.y, roi.width, roi.height)):
        yield "x, y, width, height: not the box of the first keyframe"
    if any(_is_masked(x + w / 2, y + h / 2, masked) for x, y, w, h in boxes):
        yield "keyframes: under the mask"


def _alike(one: Box, other: Box) -> bool:
    return all(abs(a - b) <= HAIR for a, b in zip(one, other, strict=True))


def _is_masked(x: float, y: float, masked: tuple[Rect, ...]) -> bool:
    return any(left <= x < left + width and top <= y < top + height for left, top, width, height in masked)
