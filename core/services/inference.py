"""What the model in effect says of pictures and DICOM images: boxes a frame, in words and as COCO. Research use only."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from core.dicom.display import Palette, palette_of
from core.dicom.part10 import open_part10
from core.dicom.pictures import OTHER_SIZE
from core.dicom.pixel_format import PixelFormat
from core.errors import Malformed
from core.inference.client import RESEARCH, Follow, Pixels
from core.node import Node
from core.sandbox import Caller
from core.services.decoding import original_frame

MOST_FRAMES: Final = 2000
UNSURE: Final = "undetermined"
VENTRICLE: Final = "LV"
RAW: Final = {"rgb8": 3, "grey8": 1}


@dataclass(frozen=True)
class Look:
    """What was found on one frame (from 1); `ms` is the model's own time, `border` of one that draws the ventricle."""

    frame: int
    rows: int
    columns: int
    boxes: list[dict[str, Any]]
    ms: float
    model: dict[str, Any]
    lesions: list[dict[str, Any]] | None = None
    border: dict[str, Any] | None = None


def pixels_of_picture(sandbox: Caller, content: bytes) -> Pixels:
    """A PNG or JPEG from outside. Raises Malformed."""
    return _pixels(sandbox.call("core.dicom.pictures:sandboxed_picture", {}, [content]))


def pixels_of_raw(content: bytes, kind: str, rows: int, columns: int) -> Pixels:
    """Samples of 8 bits, "rgb8" or "grey8", row by row. Raises Malformed when there are more or fewer."""
    if len(content) != rows * columns * RAW[kind]:
        raise Malformed(OTHER_SIZE)
    if kind == "rgb8":
        return Pixels(rows, columns, content)
    out = bytearray(len(content) * 3)
    out[0::3] = out[1::3] = out[2::3] = content
    return Pixels(rows, columns, bytes(out))


def pixels_of_stored(sandbox: Caller, frame: bytes, fmt: PixelFormat, palette: Palette | None) -> Pixels:
    """A stored frame of a DICOM image. Raises Refused."""
    params: dict[str, Any] = {"fmt": asdict(fmt)}
    blobs = [frame]
    if palette is not None:
        params["palette"] = {"first": palette.first, "dtype": palette.lut.dtype.name}
        blobs.append(palette.lut.tobytes())
    return _pixels(sandbox.call("core.dicom.pictures:sandboxed_stored", params, blobs))


def look(
    node: Node,
    pixels: Pixels,
    domain: str,
    threshold: float | None = None,
    frame: int = 1,
    follow: Follow | None = None,
) -> Look:
    """One frame. Raises Malformed, and Unavailable where there is no model."""
    answer = node.inference.frame(pixels, domain, threshold, follow)
    size = pixels.rows, pixels.columns
    more = answer.get("lesions"), answer.get("border")
    return Look(frame, *size, answer["boxes"], answer["ms"], answer["model"], *more)


def look_at_file(
    node: Node, content: bytes, domain: str, threshold: float | None, first: int, last: int | None
) -> list[Look]:
    """A PNG or JPEG, or the frames `first` to `last` (from 1) of a DICOM file. Raises Malformed, Refused, Unavailable."""
    return [look(node, pixels, domain, threshold, number) for number, pixels in _frames(node, content, first, last)]


def as_coco(looks: Sequence[Look], classes: Sequence[str]) -> dict[str, Any]:
    """COCO detection results: an image a frame, an annotation a box or the ventricle's border, with its score."""
    found = [(place, box) for place, one in enumerate(looks, 1) for box in [*one.boxes, *_outlined(one)]]
    names = list(dict.fromkeys([*classes, *(box["label"] or UNSURE for _, box in found)]))
    return {
        "info": {"description": RESEARCH, "model": looks[0].model if looks else None},
        "images": [
            {"id": place, "file_name": f"frame-{one.frame:05d}", "frame": one.frame, "width": one.columns, "height": one.rows}
            for place, one in enumerate(looks, 1)
        ],
        "categories": [{"id": place, "name": name} for place, name in enumerate(names, 1)],
        "annotations": [
            {
                "id": number, "image_id": place, "category_id": names.index(box["label"] or UNSURE) + 1,
                "bbox": [box["x"], box["y"], box["width"], box["height"]], "area": box["width"] * box["height"],
                "iscrowd": 0, "score": box["score"], **({"segmentation": [box["outline"]]} if "outline" in box else {}),
            }
            for number, (place, box) in enumerate(found, 1)
        ],
    }  # fmt: skip


def _outlined(one: Look) -> list[dict[str, Any]]:
    """The ventricle's border as a box with its `outline` x, y, x, y, …; none of a model that finds lesions."""
    if one.border is None:
        return []
    x, y = zip(*one.border["points"], strict=True)
    outline = [place for point in one.border["points"] for place in point]
    box = {"x": min(x), "y": min(y), "width": max(x) - min(x), "height": max(y) - min(y)}
    return [box | {"label": VENTRICLE, "score": one.border["score"], "outline": outline}]


def _frames(node: Node, content: bytes, first: int, last: int | None) -> Iterator[tuple[int, Pixels]]:
    if content[128:132] != b"DICM":
        yield 1, pixels_of_picture(node.sandbox, content)
        return
    source = io.BytesIO(content)
    part10 = open_part10(source, len(content))
    count = part10.pixel.frames if part10.pixel else 0
    end = min(count, last or count)
    if not 1 <= first <= end:
        raise Malformed("The image has no such frame.")
    if end - first >= MOST_FRAMES:
        raise Malformed("At most 2000 frames are looked at in one request: say which, by first and last.")
    palette = palette_of(part10.dataset)
    for number in range(first, end + 1):
        frame, fmt = original_frame(node.sandbox, source, part10, number)
        yield number, pixels_of_stored(node.sandbox, frame, fmt, palette)


def _pixels(told: tuple[dict[str, Any], list[bytes]]) -> Pixels:
    head, blobs = told
    return Pixels(int(head["rows"]), int(head["columns"]), blobs[0])
