"""Tells which areas of which frames of a cine have to be read, so that writing on one frame only is found without reading all.

Each frame is held against the brightest and darkest value that each pixel had lately. Speckle moves inside that envelope;
letters stick out of it, all at once and side by side. What sticks out is to be read, on that frame."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.dicom.display import Rgb, to_rgb
from core.dicom.frames import decode_stored, sent_palette
from core.dicom.pixel_format import PixelFormat
from core.errors import Refused

Box = tuple[int, int, int, int]
Bytes = NDArray[np.uint8]

MEMORY: Final = 32  # frames: an envelope reaches back over at least so many, and at most twice as many
TILE: Final = 16
_STEP = 28  # of 255: how far writing sticks out of the envelope
_FEW, _ENOUGH = 5, 22  # pixels that stick out: in a tile, and in tiles that touch
_SPREAD = {1: 9, 2: 7, 3: 7, 4: 5, 5: 5, 6: 5, 7: 5}  # frames seen -> neighbourhood while the envelope is young
_PLANES = 6
_HEAD = struct.Struct(">IIII")


@dataclass
class Overlays:
    """The state of one cine: six planes of one byte a pixel, whatever the number of frames.

    `frames` is how many there will be, 0 where that is not known: the first, the middle and the last are read whole,
    since standing text over moving speckle is read on one of them where it is not on another."""

    rows: int
    columns: int
    frames: int = 0
    areas: Sequence[Sequence[int]] | None = None
    seen: int = 0
    _planes: Bytes = field(init=False)
    _room: Bytes = field(init=False)  # one place for what each frame needs: asking for new memory is what costs here
    _mask: Bytes | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._planes = np.zeros((_PLANES, self.rows, self.columns), np.uint8)
        self._room = np.empty((5, self.rows, self.columns), np.uint8)
        if self.areas is not None:
            self._mask = np.zeros((self.rows, self.columns), np.uint8)
            for x0, y0, x1, y1 in self.areas:
                self._mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 255

    def add(self, number: int, rgb: Rgb) -> list[Box]:
        """Take the next frame, (H, W, 3) uint8, numbered from 1; returns the areas of it that must be read."""
        red, green, blue, light, dark = self._room[:5]
        cv2.split(rgb, [red, green, blue])
        cv2.max(cv2.max(red, green, dst=light), blue, dst=light)
        cv2.min(cv2.min(red, green, dst=dark), blue, dst=dark)
        is_whole = self.seen == 0 or number in {self.frames, (self.frames + 1) // 2}
        found = self._whole() if is_whole else self._new(light, dark)
        self._remember(light, dark)
        return found

    def _whole(self) -> list[Box]:
        areas = self.areas if self.areas is not None else [(0, 0, self.columns, self.rows)]
        return [(int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in areas]

    def _new(self, light: Bytes, dark: Bytes) -> list[Box]:
        """Tiles with pixels that stick out, joined where they touch, with a tile of room all round."""
        kernel = np.ones((_SPREAD.get(self.seen, 3),) * 2, np.uint8)
        out, more = self._room[:2]
        cv2.subtract(light, cv2.dilate(self._planes[0], kernel, dst=more), dst=out)
        cv2.subtract(dark, cv2.dilate(self._planes[1], kernel, dst=more), dst=more)
        cv2.max(out, more, dst=out)
        cv2.subtract(cv2.erode(self._planes[2], kernel, dst=more), light, dst=more)
        cv2.max(out, more, dst=out)
        hits = cv2.threshold(out, _STEP, 255, cv2.THRESH_BINARY, dst=more)[1]
        if self._mask is not None:
            hits = cv2.bitwise_and(hits, self._mask, dst=out)
        counts = _by_tile(np.asarray(hits, np.uint8))
        if not (counts >= _FEW).any():
            return []
        count, labels, stats, _ = cv2.connectedComponentsWithStats((counts >= _FEW).astype(np.uint8), connectivity=8)
        found = []
        for part in range(1, count):
            if int(counts[labels == part].sum()) < _ENOUGH:
                continue
            x, y, width, height = (int(value) for value in stats[part, :4])
            x0, y0 = max(x - 2, 0) * TILE, max(y - 1, 0) * TILE
            x1, y1 = min((x + width + 2) * TILE, self.columns), min((y + height + 1) * TILE, self.rows)
            found.append((x0, y0, x1, y1))
        return self._cut(_joined(found))

    def _cut(self, boxes: list[Box]) -> list[Box]:
        """The parts of the boxes that lie in the areas to be read."""
        parts = []
        for x0, y0, x1, y1 in boxes:
            for left, top, right, bottom in self._whole():
                part = (max(x0, left), max(y0, top), min(x1, right), min(y1, bottom))
                if part[0] < part[2] and part[1] < part[3]:
                    parts.append(part)
        return parts

    def _remember(self, light: Bytes, dark: Bytes) -> None:
        """Planes 0 to 2 hold the envelope over the last MEMORY to 2 x MEMORY frames: brightest value, brightest white,
        darkest value; 3 to 5 the same since the last multiple of MEMORY, with which the envelope begins anew there."""
        if self.seen % MEMORY == 0:
            self._planes[:3] = self._planes[3:] if self.seen else (light, dark, light)
            self._planes[3:] = (light, dark, light)
        for start in (0, 3):
            brightest, whitest, darkest = self._planes[start : start + 3]
            cv2.max(brightest, light, dst=brightest)
            cv2.max(whitest, dark, dst=whitest)
            cv2.min(darkest, light, dst=darkest)
        self.seen += 1

    def dump(self) -> bytes:
        """The state for the next call; six bytes a pixel, flat in the number of frames. It holds pixels: keep it in memory."""
        return _HEAD.pack(self.rows, self.columns, self.frames, self.seen) + self._planes.tobytes()

    def load(self, state: bytes) -> None:
        """Go on from `dump`; raises Refused for the state of another cine."""
        size = _PLANES * self.rows * self.columns
        if len(state) != _HEAD.size + size or _HEAD.unpack_from(state)[:3] != (self.rows, self.columns, self.frames):
            raise Refused("The frames of this image do not belong together.")
        self.seen = _HEAD.unpack_from(state)[3]
        self._planes = np.frombuffer(bytearray(state[_HEAD.size :]), np.uint8).reshape(self._planes.shape)


def sandboxed_scan(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: which areas of the next frames of a cine must be read.

    Params: `fmt` (the fields of PixelFormat; its `frames` is the number of frames of the cine), `first` (number of the
    first frame in this call, from 1), `count` (how many), `palette` {first, dtype} or none, `areas`
    [[x0, y0, x1, y1], ...] that stay visible or none for the whole frame, `has_state` (false for the first call only).
    Blobs: `count` stored frames, then the palette's lut if any, then the state that the call before returned if any.
    Returns `reads`: [{frame, areas}] of the frames with something to read, in order, and the state as the only blob."""
    fmt, count = PixelFormat(**params["fmt"]), int(params["count"])
    palette = sent_palette(params.get("palette"), blobs[min(count, len(blobs) - 1)])
    overlays = Overlays(fmt.rows, fmt.columns, fmt.frames, params.get("areas"))
    if params.get("has_state"):
        overlays.load(blobs[-1])
    reads = []
    for number, blob in enumerate(blobs[:count], int(params["first"])):
        areas = overlays.add(number, to_rgb(decode_stored(blob, fmt), fmt, palette))
        if areas:
            reads.append({"frame": number, "areas": [list(area) for area in areas]})
    return {"reads": reads}, [overlays.dump()]


def _by_tile(hits: Bytes) -> NDArray[np.int32]:
    """Pixels set in each tile of 16 x 16, the last row and column of tiles filled up with zeros."""
    rows, columns = -(-hits.shape[0] // TILE), -(-hits.shape[1] // TILE)
    padded = cv2.copyMakeBorder(
        hits, 0, rows * TILE - hits.shape[0], 0, columns * TILE - hits.shape[1], cv2.BORDER_CONSTANT
    )
    means = cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA)
    counts: NDArray[np.int32] = np.rint(np.asarray(means, np.float32) * (TILE * TILE / 255)).astype(np.int32)
    return counts


def _joined(boxes: list[Box]) -> list[Box]:
    """Boxes that overlap become the one box round them."""
    found: list[Box] = []
    for box in boxes:
        for other in [one for one in found if _meet(one, box)]:
            found.remove(other)
            box = (min(box[0], other[0]), min(box[1], other[1]), max(box[2], other[2]), max(box[3], other[3]))
        found.append(box)
    return found


def _meet(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]
