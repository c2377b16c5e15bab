"""Pixels on their way into a network: read, letterboxed or cropped, normalised. Training and the runtime share this code.

Boxes and points are in pixels of the picture, continuous, origin at the upper left corner of the first pixel: a box that
covers the first pixel is (0, 0, 1, 1)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Planes = NDArray[np.float32]
Boxes = NDArray[np.float32]

MOST_PIXELS: Final = 1 << 26
NO_FRAME: Final = "A frame must be an array of (rows, columns, 3) RGB pixels of 8 bits."
EMPTY: Final = "A frame must have at least one pixel."
TOO_LARGE: Final = "A frame may have at most 67,108,864 pixels."


@dataclass(frozen=True)
class Input:
    """What a network is fed with: "input" of model.json. `mean` and `std` are of rgb / scale; `fill` is 0 to 255."""

    height: int
    width: int
    resize: str = (
        "letterbox"  # or "crop"; or "fit", a crop that shows no more than box and margin, so that its form is seen
    )
    margin: float = 0.25
    fill: int = 114
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    scale: float = 255.0


@dataclass(frozen=True)
class Placed:
    """Where a picture lies in the network's input: input = picture * (scale_x, scale_y) + (left, top)."""

    scale_x: float
    scale_y: float
    left: int
    top: int

    def into(self, boxes: Boxes) -> Boxes:
        """Boxes (n, 4) as x0 y0 x1 y1 of the picture, in pixels of the input."""
        return np.asarray(boxes * self._scales + self._offsets, np.float32)

    def back(self, boxes: Boxes) -> Boxes:
        """Boxes (n, 4) as x0 y0 x1 y1 of the input, in pixels of the picture; not clipped."""
        return np.asarray((boxes - self._offsets) / self._scales, np.float32)

    @property
    def _scales(self) -> Boxes:
        return np.asarray([self.scale_x, self.scale_y] * 2, np.float32)

    @property
    def _offsets(self) -> Boxes:
        return np.asarray([self.left, self.top] * 2, np.float32)


def read(path: Path) -> Rgb:
    """A picture file as (rows, columns, 3) RGB; grey becomes three equal channels, of 16 bits the upper 8 are kept.

    Orientation tags are not followed: boxes are of the stored pixels. Raises ValueError when it is no picture."""
    try:
        coded = np.frombuffer(path.read_bytes(), np.uint8)
        found = cv2.imdecode(coded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if coded.size else None
    except (OSError, cv2.error):
        found = None
    if found is None:
        raise ValueError(f"{path.name} cannot be read as a picture.")
    return checked(cv2.cvtColor(found, cv2.COLOR_BGR2RGB))


def checked(rgb: object) -> Rgb:
    """The frame as it is; raises ValueError, in a sentence, unless it is (rows, columns, 3) uint8 of a sensible size."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(NO_FRAME)
    if rgb.size == 0:
        raise ValueError(EMPTY)
    if rgb.shape[0] * rgb.shape[1] > MOST_PIXELS:
        raise ValueError(TOO_LARGE)
    return rgb


def letterbox(rgb: Rgb, height: int, width: int, fill: int) -> tuple[Rgb, Placed]:
    """The whole picture as large as fits into (height, width), in the middle, the rest `fill`; and where it lies."""
    rows, columns = rgb.shape[:2]
    scale = min(height / rows, width / columns)
    new_rows, new_columns = max(round(rows * scale), 1), max(round(columns * scale), 1)
    left, top = (width - new_columns) // 2, (height - new_rows) // 2
    out = np.full((height, width, 3), fill, np.uint8)
    out[top : top + new_rows, left : left + new_columns] = resized(rgb, new_rows, new_columns)
    return out, Placed(new_columns / columns, new_rows / rows, left, top)


def crop(rgb: Rgb, box: tuple[float, float, float, float], margin: float, height: int, width: int, fill: int) -> Rgb:
    """What lies in a box (x, y, width, height) and `margin` of its sides round it, as (height, width, 3).

    The shorter side is widened to the form of the output, so that nothing is squeezed; outside the picture is `fill`."""
    rows, columns = rgb.shape[:2]
    x0, y0, x1, y1 = window(box, margin, height / width)
    inside = rgb[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if inside.size == 0:
        return np.full((height, width, 3), fill, np.uint8)
    beside = (max(-y0, 0), max(y1 - rows, 0), max(-x0, 0), max(x1 - columns, 0))
    if any(beside):
        inside = np.asarray(cv2.copyMakeBorder(inside, *beside, cv2.BORDER_CONSTANT, value=(fill,) * 3), np.uint8)
    return resized(inside, height, width)


def fitted(rgb: Rgb, box: tuple[float, float, float, float], margin: float, height: int, width: int, fill: int) -> Rgb:
    """What lies in a box and its margin and no more, as large as fits into (height, width, 3), the rest `fill`.

    How tall a lesion is for its width tells much of what it is; a crop that is widened to a square hides it."""
    x0, y0, x1, y1 = window(box, margin, box[3] / box[2])
    scale = min(height / (y1 - y0), width / (x1 - x0))
    new_rows, new_columns = min(max(round((y1 - y0) * scale), 1), height), min(max(round((x1 - x0) * scale), 1), width)
    out = np.full((height, width, 3), fill, np.uint8)
    top, left = (height - new_rows) // 2, (width - new_columns) // 2
    out[top : top + new_rows, left : left + new_columns] = crop(rgb, box, margin, new_rows, new_columns, fill)
    return out


def window(box: tuple[float, float, float, float], margin: float, aspect: float) -> tuple[int, int, int, int]:
    """The whole pixels x0 y0 x1 y1 (ends exclusive) of a crop whose height is `aspect` times its width."""
    x, y, box_width, box_height = box
    grown_width, grown_height = box_width * (1 + 2 * margin), box_height * (1 + 2 * margin)
    grown_width, grown_height = max(grown_width, grown_height / aspect), max(grown_height, grown_width * aspect)
    new_width, new_height = max(round(grown_width), 1), max(round(grown_height), 1)
    x0, y0 = round(x + box_width / 2 - new_width / 2), round(y + box_height / 2 - new_height / 2)
    return x0, y0, x0 + new_width, y0 + new_height


def resized(rgb: Rgb, rows: int, columns: int) -> Rgb:
    """By area where it shrinks, else speckle turns into noise; linear where it grows."""
    if rgb.shape[:2] == (rows, columns):
        return rgb
    shrinks = rgb.shape[0] * rgb.shape[1] > rows * columns
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (columns, rows), interpolation=how), np.uint8)


def normalised(rgb: Rgb, given: Input) -> Planes:
    """(rows, columns, 3) uint8 -> (1, 3, rows, columns) float32: (rgb / scale - mean) / std."""
    mean, std = np.asarray(given.mean, np.float32), np.asarray(given.std, np.float32)
    scaled = rgb.astype(np.float32) * (1 / (given.scale * std)) - mean / std
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


def prepared(rgb: Rgb, given: Input) -> tuple[Planes, Placed]:
    """A whole frame as a network takes it, (1, 3, height, width), and where the frame lies in it."""
    boxed, placed = letterbox(rgb, given.height, given.width, given.fill)
    return normalised(boxed, given), placed


def cropped(rgb: Rgb, box: tuple[float, float, float, float] | None, given: Input) -> Rgb:
    """What a network is shown of a frame, (height, width, 3): a box and its margin; without a box the whole frame."""
    if box is None:
        return crop(rgb, (0, 0, rgb.shape[1], rgb.shape[0]), 0, given.height, given.width, given.fill)
    cut = fitted if given.resize == "fit" else crop
    return cut(rgb, box, given.margin, given.height, given.width, given.fill)


def prepared_crop(rgb: Rgb, box: tuple[float, float, float, float] | None, given: Input) -> Planes:
    """The same as a network takes it, (1, 3, height, width)."""
    return normalised(cropped(rgb, box, given), given)
