"""Finds and reads text that is burned into a picture, with the detector and recogniser that the RapidOCR wheel carries.

The models run in onnxruntime directly, on one thread: several children side by side use the cores better than one with
several threads. Measured address space: 0.75 GiB for 1024 x 768 pixels, 1.05 GiB for the largest picture; one frame takes
about a second of a core. `core.deid.text_line` has the limits that a sandbox of readers needs."""

import importlib.util
import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from core.deid.text_line import STUMP, Box, Text
from core.deid.text_strokes import cut_lines, rows_of_strokes
from core.dicom.display import Rgb, to_rgb
from core.dicom.frames import decode_stored, sent_palette
from core.dicom.pixel_format import PixelFormat

Plane = NDArray[np.float32]

_DETECTOR, _RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
_PIXEL, _REGION = 0.3, 0.5  # how sure the detector is of a pixel, and of a region on average
_GROW = 1.6  # regions come out shrunk: area x this / perimeter is put back on each side
_LINE = 48  # rows of a line as the recogniser was trained
_WIDEST_LINE = 2400
_BATCH = 6
_SURE = 0.7  # the highest of the thresholds
_SLANT, _FULL = 40, 0.4  # a region wider and higher than this, of which less than this part is filled, is no line
_TALLEST = 40  # pixels of the frame: higher and wider than this before it is grown is no line either
_LEAST = 6
_SURELY, _LETTERS = 0.75, 3
_WHOLE = 0.6  # of the frame: a box over more than this is no text
_BORDER = 12  # pixels round a crop: text at its very edge is else missed
_TILE = 16
_EDGE = 20  # least step between neighbours, of 255, that a letter could make
_MOST = (
    2_500_000  # pixels of an area that are looked at, which is what TEXT_MEMORY is for: larger ones are made smaller
)
_SCALES = ((160_000, 2.0), (500_000, 1.5), (_MOST, 1.0))  # pixels of an area, and how much larger it is looked at


class TextReader:
    """The two models, loaded once; about 450 MB resident while it works."""

    def __init__(self) -> None:
        folder = _models()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        providers = ["CPUExecutionProvider"]
        self._detector = onnxruntime.InferenceSession(folder / _DETECTOR, options, providers=providers)
        self._recogniser = onnxruntime.InferenceSession(folder / _RECOGNISER, options, providers=providers)
        characters = self._recogniser.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._characters = ["", *characters, " "]  # index 0 is "no character"

    def read(self, rgb: Rgb, areas: Sequence[Sequence[int]] | None = None, frame: int = 1) -> list[Text]:
        """The lines of text in an (H, W, 3) uint8 picture, of the areas only (x0, y0, x1, y1) or of all of it."""
        rows, columns = rgb.shape[:2]
        whole = [_within(area, rows, columns) for area in areas] if areas is not None else [(0, 0, columns, rows)]
        boxes: list[Box] = []
        for area in whole:
            for part in _busy_parts(rgb, area):
                boxes += self._find(rgb, part)
        texts = self._read_boxes(rgb, boxes, frame)
        read = [text.box for text in texts if text.is_read]  # a box that says nothing may be tissue round a name
        again = [box for area in whole for part in rows_of_strokes(rgb, area, read) for box in self._find(rgb, part)]
        new = dict.fromkeys(box for box in again if not any(_meet(box, other) for other in read))
        texts += [text for text in self._read_boxes(rgb, list(new), frame) if _is_surely_read(text)]
        stumps = dict.fromkeys(box for area in whole for box in cut_lines(rgb, area))
        return texts + [Text(frame, box, "", STUMP) for box in stumps if not any(_meet(box, one.box) for one in texts)]

    def _read_boxes(self, rgb: Rgb, boxes: Sequence[Box], frame: int) -> list[Text]:
        boxes = [box for box in boxes if _size(box) <= _WHOLE * rgb.shape[0] * rgb.shape[1]]
        said = self._recognise([_line(rgb, box) for box in boxes])
        return [Text(frame, box, *words) for box, words in zip(boxes, said, strict=True)]

    def _find(self, rgb: Rgb, part: Box) -> list[Box]:
        x0, y0, x1, y1 = part
        scale = next((scale for most, scale in _SCALES if _size(part) <= most), math.sqrt(_MOST / _size(part)))
        crop = _stretched(rgb[y0:y1, x0:x1])
        if scale != 1:
            crop = np.asarray(cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
        height, width = crop.shape[:2]
        right, bottom = -(width + 2 * _BORDER) % 32 + _BORDER, -(height + 2 * _BORDER) % 32 + _BORDER
        padded = np.asarray(cv2.copyMakeBorder(crop, _BORDER, bottom, _BORDER, right, cv2.BORDER_REPLICATE), np.uint8)
        chances = self._detector.run(None, {"x": _normalised(padded)[None]})[0][0, 0]
        found = []
        for left, top, right_end, bottom_end in _regions(np.asarray(chances, np.float32), _TALLEST * scale):
            box = (
                max(x0 + math.floor((left - _BORDER) / scale), x0),
                max(y0 + math.floor((top - _BORDER) / scale), y0),
                min(x0 + math.ceil((right_end - _BORDER) / scale), x1),
                min(y0 + math.ceil((bottom_end - _BORDER) / scale), y1),
            )
            if box[2] - box[0] > 2 and box[3] - box[1] > 2:
                found.append(box)
        return found

    def _recognise(self, lines: list[Rgb]) -> list[tuple[str, float]]:
        said: list[tuple[str, float]] = [("", 0.0)] * len(lines)
        order = sorted(range(len(lines)), key=lambda number: lines[number].shape[1])
        for start in range(0, len(order), _BATCH):
            numbers = order[start : start + _BATCH]
            widest = max(64, *(lines[number].shape[1] for number in numbers))
            batch = np.zeros((len(numbers), 3, _LINE, widest), np.float32)
            for row, number in enumerate(numbers):
                batch[row, :, :, : lines[number].shape[1]] = _normalised(lines[number])
            for number, chances in zip(numbers, self._recogniser.run(None, {"x": batch})[0], strict=True):
                said[number] = self._words(np.asarray(chances, np.float32))
        return said

    def _words(self, chances: Plane) -> tuple[str, float]:
        """(steps, characters) to text: repeats are one character, index 0 parts them."""
        best = chances.argmax(axis=1)
        is_new = np.concatenate(([True], best[1:] != best[:-1])) & (best != 0)
        if not is_new.any():
            return "", 0.0
        words = "".join(self._characters[index] for index in best[is_new])
        return words.strip(), round(float(chances.max(axis=1)[is_new].mean()), 4)


@cache
def reader() -> TextReader:
    """The one reader of this process."""
    return TextReader()


def prepare() -> None:
    """Load the models and read a picture once: the sandbox calls this while files can still be read."""
    picture = np.zeros((64, 160, 3), np.uint8)
    cv2.putText(picture, "prepare", (8, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2)
    reader().read(picture)


def sandboxed_read(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: the text on stored frames.

    Params: `fmt` (the fields of PixelFormat), `frames` (the frames' numbers, from 1, one blob each), `palette`
    {first, dtype} with its lut as the last blob, or none, `areas` [[x0, y0, x1, y1], ...] or none for the whole frame.
    Returns `texts`: [{frame, box, words, score}]. Raises Refused for a frame that cannot be decoded."""
    fmt = PixelFormat(**params["fmt"])
    palette = sent_palette(params.get("palette"), blobs[-1])
    texts = []
    for number, blob in zip(params["frames"], blobs, strict=False):
        rgb = to_rgb(decode_stored(blob, fmt), fmt, palette)
        found = reader().read(rgb, params.get("areas"), int(number))
        texts += [{"frame": t.frame, "box": list(t.box), "words": t.words, "score": t.score} for t in found]
    return {"texts": texts}, []


def _models() -> Path:
    """Where the wheel keeps its models; the package itself is not imported, it logs and wants to download."""
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise RuntimeError("The package rapidocr, which carries the models that read text, is not installed.")
    return Path(spec.origin).parent / "models"


def _size(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _meet(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _is_surely_read(text: Text) -> bool:
    """Of a closer look only what are letters beyond doubt counts, for it looks at tissue."""
    return text.score >= _SURELY and sum(letter.isalnum() for letter in text.words) >= _LETTERS


def _within(area: Sequence[int], rows: int, columns: int) -> Box:
    x0, y0, x1, y1 = (int(number) for number in area)
    return max(x0, 0), max(y0, 0), min(x1, columns), min(y1, rows)


def _busy_parts(rgb: Rgb, area: Box) -> Iterator[Box]:
    """The part of an area in which there is any edge that a letter could make; nothing for a flat one."""
    x0, y0, x1, y1 = area
    if x1 - x0 < 4 or y1 - y0 < 4:
        return
    crop = rgb[y0:y1, x0:x1]
    steps = cv2.morphologyEx(crop, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2) >= _EDGE
    rows, columns = np.flatnonzero(steps.any(axis=1)), np.flatnonzero(steps.any(axis=0))
    if len(rows) and len(columns):
        yield (
            max(x0 + int(columns[0]) - 4, x0),
            max(y0 + int(rows[0]) - 4, y0),
            min(x0 + int(columns[-1]) + 5, x1),
            min(y0 + int(rows[-1]) + 5, y1),
        )


def _stretched(crop: Rgb) -> Rgb:
    """Faint writing spread to the whole range; a crop that has it already stays."""
    low, high = (int(value) for value in np.percentile(crop, (1, 99.8)))
    if high - low >= 150 or high <= low:
        return crop
    table = ((np.arange(256) - low) * (255.0 / (high - low))).clip(0, 255).astype(np.uint8)
    return table[crop]


def _normalised(rgb: Rgb) -> Plane:
    """(H, W, 3) uint8 as (3, H, W) of -1..1, blue first, as the models were trained."""
    return np.ascontiguousarray(rgb[:, :, ::-1].transpose(2, 0, 1), np.float32) / np.float32(127.5) - np.float32(1)


def _regions(chances: Plane, tallest: float, threshold: float = _PIXEL) -> Iterator[tuple[float, float, float, float]]:
    """x0, y0, x1, y1 of every region of text in the detector's (H, W) answer, grown to the size of the letters.

    The slanting side of a sector and its dark corners come out as regions that no line of letters can be: such a one is
    looked at again with a higher threshold, for writing that touches it, and else left out."""
    mask = cv2.dilate((chances > threshold).astype(np.uint8), np.ones((2, 2), np.uint8))
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
                for left, top, right, bottom in _regions(within, tallest, threshold + 0.2):
                    yield x + left, y + top, x + right, y + bottom
            continue
        if float(part[inside].mean()) < _REGION or (threshold > _PIXEL and not _is_line(width, height, size)):
            continue
        grow = _GROW * width * height / (2 * (width + height))
        yield x - grow, y - grow, x + width + grow, y + height + grow


def _is_line(width: int, height: int, size: int) -> bool:
    """Whether a piece of a region that was no line of letters may be one: long, level and filled."""
    return min(width, height) >= _LEAST and width >= 1.5 * height and size >= 0.6 * width * height


def _line(rgb: Rgb, box: Box) -> Rgb:
    """The picture in a box, 48 rows high; text that runs down is turned."""
    x0, y0, x1, y1 = box
    crop = rgb[y0:y1, x0:x1]
    if crop.shape[0] > 1.5 * crop.shape[1]:
        crop = np.rot90(crop)
    crop = _stretched(np.ascontiguousarray(crop))
    width = min(max(round(crop.shape[1] * _LINE / crop.shape[0]), 8), _WIDEST_LINE)
    return np.asarray(cv2.resize(crop, (width, _LINE), interpolation=cv2.INTER_CUBIC), np.uint8)
