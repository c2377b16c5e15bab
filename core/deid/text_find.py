"""Finds where text stands in a picture: the detector looks at all of it coarsely, and closely where there may be a line.

On quiet ground every mark is looked at closely. Where there is texture, the coarse look tells where: at half the size the
detector takes a fifth of the time, and does say that there is a line, though not where exactly. Speckle makes it say
something too, in wide soft patches; a line of letters rises out of what is round it, and only that counts, in both looks."""

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from core.deid.text_line import Box
from core.dicom.display import Rgb

Plane = NDArray[np.float32]

_COARSE = 0.5  # of the size at which is looked closely
_HINT = 0.04  # how sure the coarse look is of a pixel for a closer one
_BLIND = 0.5  # a patch in which the coarse look is so sure hides the lines that stand in it
_SPECK = 6  # pixels of the coarse look: fewer that touch are no hint
_ACROSS, _DOWN = 32, 12  # pixels of the frame round what the coarse look saw: lines go on sideways
_WORTH = 120_000  # pixels: a smaller area is looked at closely at once
_PIXEL, _REGION = 0.3, 0.5  # how sure the detector is of a pixel, and of a region on average
_GROW = 1.6  # regions come out shrunk: area x this / perimeter is put back on each side
_SURE = 0.7  # the highest of the thresholds
_SLANT, _FULL = 40, 0.4  # a region wider and higher than this, of which less than this part is filled, is no line
_TALLEST = 40  # pixels of the frame: higher and wider than this before it is grown is no line either
_LEAST = 6
_RISES = 1.5  # in logits: so far a line rises over everything that is wider and higher than it
_LOGIT = 16.0  # steps of a byte for each logit, from -8 to 8
_CLOSER = 1.6  # times: a line that the coarse look saw and the close one did not is looked at again
_BORDER = 12  # pixels round a crop: text at its very edge is else missed
_FAINT = 12  # the same on quiet ground
_COLUMN = 200  # pixels of the frame: a column of lines close to one another is no taller
_SHORT = 30  # pixels: what is narrower is no line that is worth another look
_TWICE = 0.7  # of a box that was found in two parts
_EDGE = 20  # least step between neighbours, of 255, that a letter could make
_MOST = (
    2_500_000  # pixels of an area that are looked at, which is what TEXT_MEMORY is for: larger ones are made smaller
)
_SCALES = ((160_000, 2.0), (500_000, 1.5), (_MOST, 1.0))  # pixels of an area, and how much larger it is looked at


class Finder:
    """The detector, a session of onnxruntime."""

    def __init__(self, detector: onnxruntime.InferenceSession) -> None:
        self._detector = detector

    def find(self, rgb: Rgb, area: Sequence[int]) -> list[Box]:
        """A box round each line of text in an area (x0, y0, x1, y1) of an (H, W, 3) uint8 picture."""
        part = busy_part(rgb, _within(area, *rgb.shape[:2]))
        if part is None:
            return []
        scale = _scale(part)
        if _size(part) * scale * scale < _WORTH:
            return self._look(rgb, part, scale, part)
        chances = self._chances(rgb, part, scale * _COARSE, part)
        boxes: list[Box] = []
        for one in joined([*_marks(rgb, part), *_hints(chances, part, scale * _COARSE)]):
            boxes += self._look(rgb, one, scale, part)
        for line in _boxes(chances, part, scale * _COARSE):
            if _is_long(line) and not any(_meet(line, box) for box in boxes):
                boxes += self._look(rgb, _grown(line, part), scale * _CLOSER, part)
        return _once(boxes)

    def _chances(self, rgb: Rgb, part: Box, scale: float, area: Box) -> Plane:
        """What the detector says of each pixel of a part of an area, made larger by `scale`.

        Where the part ends with the area it gets a border for the detector, elsewhere it has room of its own."""
        x0, y0, x1, y1 = part
        crop = stretched(rgb[y0:y1, x0:x1])
        if scale != 1:
            how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
            crop = np.asarray(cv2.resize(crop, None, fx=scale, fy=scale, interpolation=how), np.uint8)
        height, width = crop.shape[:2]
        left, top, right, bottom = (_BORDER if mine == its else 0 for mine, its in zip(part, area, strict=True))
        right, bottom = right + -(left + width + right) % 32, bottom + -(top + height + bottom) % 32
        padded = np.asarray(cv2.copyMakeBorder(crop, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
        chances = self._detector.run(None, {"x": normalised(padded)[None]})[0][0, 0]
        return np.asarray(chances, np.float32)[top : top + height, left : left + width]

    def _look(self, rgb: Rgb, part: Box, scale: float, area: Box) -> list[Box]:
        return _boxes(self._chances(rgb, part, scale, area), part, scale)


def _boxes(chances: Plane, part: Box, scale: float) -> list[Box]:
    """The lines in a part of a frame, from what the detector says of its pixels at a scale."""
    x0, y0, x1, y1 = part
    found = []
    for left, top, right, bottom in regions(chances, _TALLEST * scale):
        box = (
            max(x0 + math.floor(left / scale), x0),
            max(y0 + math.floor(top / scale), y0),
            min(x0 + math.ceil(right / scale), x1),
            min(y0 + math.ceil(bottom / scale), y1),
        )
        if box[2] - box[0] > 2 and box[3] - box[1] > 2:
            found.append(box)
    return found


def _hints(chances: Plane, part: Box, scale: float) -> list[Box]:
    """The boxes of a part that are worth a closer look."""
    is_line = (chances > _HINT) & _rises(chances, _TALLEST * scale)
    seen = (is_line | (chances > _BLIND)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(seen, connectivity=8)
    is_hint = stats[:, cv2.CC_STAT_AREA] >= _SPECK
    is_hint[0] = False
    return _parts(is_hint[labels], part, scale)


def _marks(rgb: Rgb, part: Box) -> list[Box]:
    """The marks of a part that stand on quiet ground: their edges do not join to something taller than lines are."""
    x0, y0, x1, y1 = part
    seen = _steps(rgb[y0:y1, x0:x1], _FAINT).astype(np.uint8)
    room = np.ones((_DOWN, _DOWN), np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(seen, room), connectivity=8)
    is_mark = stats[:, cv2.CC_STAT_HEIGHT] <= _COLUMN
    is_mark[0] = False
    return _parts(is_mark[labels], part, 1)


def _parts(seen: NDArray[np.bool_], part: Box, scale: float) -> list[Box]:
    """Boxes on the frame round what was seen in a part at a scale, with room on each side."""
    x0, y0, x1, y1 = part
    room = (2 * math.ceil(_DOWN * scale) + 1, 2 * math.ceil(_ACROSS * scale) + 1)
    wide = cv2.dilate(seen.astype(np.uint8), np.ones(room, np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(wide, connectivity=8)
    found = []
    for left, top, width, height in stats[1:count, :4].tolist():
        right, bottom = math.ceil((left + width) / scale), math.ceil((top + height) / scale)
        found.append((x0 + int(left / scale), y0 + int(top / scale), min(x0 + right, x1), min(y0 + bottom, y1)))
    return found


def _once(boxes: list[Box]) -> list[Box]:
    """Without those of which the better part lies in another, larger one: looked at in two parts that overlap."""
    kept: list[Box] = []
    for box in sorted(boxes, key=_size, reverse=True):
        if not any(_shared(box, other) > _TWICE * _size(box) for other in kept):
            kept.append(box)
    return kept


def _shared(one: Box, two: Box) -> int:
    width, height = min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])
    return max(width, 0) * max(height, 0)


def _is_long(box: Box) -> bool:
    """Whether a box has the shape of a line of some letters."""
    width, height = box[2] - box[0], box[3] - box[1]
    return height <= _TALLEST and width >= max(_SHORT, 1.8 * height)


def _rises(chances: Plane, tallest: float) -> NDArray[np.bool_]:
    """Where a pixel is likelier than every square of pixels, larger than the tallest line, that it lies in."""
    sure = chances.clip(1e-4, 1 - 1e-4)
    logits = np.rint(np.log(sure / (1 - sure)) * _LOGIT + 128).clip(0, 255).astype(np.uint8)
    side = round(1.1 * tallest) | 1
    if min(logits.shape) < side // 2:  # no ground to be seen beside a line
        return np.ones(logits.shape, np.bool_)
    ground = cv2.morphologyEx(logits, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    return np.asarray(cv2.subtract(logits, ground) >= _RISES * _LOGIT, np.bool_)


def _grown(line: Box, part: Box) -> Box:
    """A line with room round it, inside the part."""
    x0, y0, x1, y1 = line
    return (
        max(x0 - _ACROSS, part[0]),
        max(y0 - _DOWN, part[1]),
        min(x1 + _ACROSS, part[2]),
        min(y1 + _DOWN, part[3]),
    )


def _scale(part: Box) -> float:
    return next((scale for most, scale in _SCALES if _size(part) <= most), math.sqrt(_MOST / _size(part)))


def _size(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _within(area: Sequence[int], rows: int, columns: int) -> Box:
    x0, y0, x1, y1 = (int(number) for number in area)
    return max(x0, 0), max(y0, 0), min(x1, columns), min(y1, rows)


def joined(boxes: Sequence[Box]) -> list[Box]:
    """Boxes that overlap become the one box round them where that is no larger than they are together."""
    found: list[Box] = []
    for box in boxes:
        while other := next((one for one in found if _meet(one, box) and _is_close(one, box)), None):
            found.remove(other)
            box = _round(box, other)
        found.append(box)
    return found


def _round(one: Box, two: Box) -> Box:
    return min(one[0], two[0]), min(one[1], two[1]), max(one[2], two[2]), max(one[3], two[3])


def _is_close(one: Box, two: Box) -> bool:
    return _size(_round(one, two)) <= _size(one) + _size(two)


def _meet(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def busy_part(rgb: Rgb, area: Box) -> Box | None:
    """The part of an area in which there is any edge that a letter could make; None for a flat one."""
    x0, y0, x1, y1 = area
    if x1 - x0 < 4 or y1 - y0 < 4:
        return None
    steps = _steps(rgb[y0:y1, x0:x1], _EDGE)
    rows, columns = np.flatnonzero(steps.any(axis=1)), np.flatnonzero(steps.any(axis=0))
    if not len(rows):
        return None
    return (
        max(x0 + int(columns[0]) - 4, x0),
        max(y0 + int(rows[0]) - 4, y0),
        min(x0 + int(columns[-1]) + 5, x1),
        min(y0 + int(rows[-1]) + 5, y1),
    )


def _steps(crop: Rgb, least: int) -> NDArray[np.bool_]:
    """Where neighbours differ by so much, of 255."""
    steps = cv2.morphologyEx(crop, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2)
    return np.asarray(steps >= least, np.bool_)


def stretched(crop: Rgb) -> Rgb:
    """Faint writing spread to the whole range; a crop that has it already stays."""
    low, high = (int(value) for value in np.percentile(crop, (1, 99.8)))
    if high - low >= 150 or high <= low:
        return crop
    table = ((np.arange(256) - low) * (255.0 / (high - low))).clip(0, 255).astype(np.uint8)
    return table[crop]


def normalised(rgb: Rgb) -> Plane:
    """(H, W, 3) uint8 as (3, H, W) of -1..1, blue first, as the models were trained."""
    return np.ascontiguousarray(rgb[:, :, ::-1].transpose(2, 0, 1), np.float32) / np.float32(127.5) - np.float32(1)


def regions(chances: Plane, tallest: float, threshold: float = _PIXEL) -> Iterator[tuple[float, float, float, float]]:
    """x0, y0, x1, y1 of every region of text in the detector's (H, W) answer, grown to the size of the letters.

    The slanting side of a sector and its dark corners come out as regions that no line of letters can be: such a one is
    looked at again with a higher threshold, for writing that touches it, and else left out."""
    sure = (chances > threshold) & _rises(chances, tallest)
    mask = cv2.dilate(sure.astype(np.uint8), np.ones((2, 2), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for number in range(1, count):
        x, y, width, height, size = (int(value) for value in stats[number])
        if min(width, height) < 3:
            continue
        inside = labels[y : y + height, x : x + width] == number
        part = chances[y : y + height, x : x + width]
        if min(width, height) > tallest or (min(width, height) > _SLANT and size < _FULL * width * height):
            if threshold < _SURE:
                within = np.where(inside, part, np.float32(0))
                for left, top, right, bottom in regions(within, tallest, threshold + 0.2):
                    yield x + left, y + top, x + right, y + bottom
            continue
        if float(part[inside].mean()) < _REGION or (threshold > _PIXEL and not _is_line(width, height, size)):
            continue
        grow = _GROW * width * height / (2 * (width + height))
        yield x - grow, y - grow, x + width + grow, y + height + grow


def _is_line(width: int, height: int, size: int) -> bool:
    """Whether a piece of a region that was no line of letters may be one: long, level and filled."""
    return min(width, height) >= _LEAST and width >= 1.5 * height and size >= 0.6 * width * height
