"""Looks through every frame of an image for burned-in text, in the sandbox, a few frames at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from core.deid.text_line import Box, Text
from core.dicom.display import Palette
from core.dicom.pixel_format import PixelFormat
from core.errors import Refused
from core.sandbox import Caller

_MOST_FRAMES: Final = 16
_MOST_BYTES: Final = 16 << 20
_ODD_ANSWER: Final = "The text of the image could not be looked for."
_Read = tuple[int, list[list[int]] | None]


@dataclass(frozen=True)
class Picture:
    """The frames of one image as they are stored: `frame_of(number)` gives one, counted from 1."""

    format: PixelFormat
    frame_of: Callable[[int], bytes]
    palette: Palette | None

    @property
    def colours(self) -> tuple[dict[str, Any], list[bytes]]:
        """Params and blob of the palette, none where the image has none."""
        if self.palette is None:
            return {}, []
        known = {"palette": {"first": self.palette.first, "dtype": self.palette.lut.dtype.name}}
        return known, [self.palette.lut.tobytes()]


def find_texts(reader: Caller, picture: Picture) -> list[Text]:
    """Every line of text on the frames of an image.

    A still is read whole; of a cine what stands still is read once and what is new on a frame on that frame.
    Memory is flat in the number of frames. Raises Refused for frames that do not decode."""
    if picture.format.frames == 1:
        return _read(reader, picture, 1, None)
    standing: list[list[Text]] = []
    found: list[Text] = []
    whole = [[0, 0, picture.format.columns, picture.format.rows]]
    for number, areas in _to_read(reader, picture):
        texts = _read(reader, picture, number, areas)
        if areas == whole:
            standing.append(texts)
        else:
            found += texts
    return sorted([*found, *_standing(standing)], key=lambda text: text.frame)


def _standing(frames: Sequence[Sequence[Text]]) -> Iterator[Text]:
    """What was read on the frames that are read whole; what could be read on none of them counts where it stands still.

    Speckle that is taken for letters moves on; writing that comes and goes is found by `core.deid.overlays`."""
    for texts in frames:
        others = [other.box for more in frames if more is not texts for other in more]
        yield from (text for text in texts if text.is_read or any(_is_same(text.box, box) for box in others))


def _is_same(one: Box, two: Box) -> bool:
    """Whether two boxes share the better part of both."""
    width, height = min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return width > 0 and height > 0 and 2 * width * height > max(sizes)


def _to_read(reader: Caller, picture: Picture) -> Iterator[_Read]:
    """(frame, areas) of what a cine has to show that was not there before."""
    known, lut = picture.colours
    state: list[bytes] = []
    for first, blobs in _stretches(picture):
        params = {"fmt": asdict(picture.format), "first": first, "count": len(blobs), "has_state": bool(state)} | known
        result, state = reader.call("core.deid.overlays:sandboxed_scan", params, [*blobs, *lut, *state])
        try:
            yield from [(int(one["frame"]), one["areas"]) for one in result["reads"]]
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(_ODD_ANSWER) from error


def _stretches(picture: Picture) -> Iterator[tuple[int, list[bytes]]]:
    """(number of its first frame, frames) of stretches that fit into one call."""
    first, size = 1, 0
    blobs: list[bytes] = []
    for number in range(1, picture.format.frames + 1):
        blob = picture.frame_of(number)
        if blobs and (len(blobs) == _MOST_FRAMES or size + len(blob) > _MOST_BYTES):
            yield first, blobs
            first, blobs, size = number, [], 0
        blobs.append(blob)
        size += len(blob)
    yield first, blobs


def _read(reader: Caller, picture: Picture, number: int, areas: list[list[int]] | None) -> list[Text]:
    known, lut = picture.colours
    params = {"fmt": asdict(picture.format), "frames": [number], "areas": areas} | known
    result, _ = reader.call("core.deid.text:sandboxed_read", params, [picture.frame_of(number), *lut])
    try:
        return [_text(one) for one in result["texts"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(_ODD_ANSWER) from error


def _text(one: dict[str, Any]) -> Text:
    x0, y0, x1, y1 = (int(edge) for edge in one["box"])
    return Text(int(one["frame"]), (x0, y0, x1, y1), str(one["words"]), float(one["score"]))
