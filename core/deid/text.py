"""Finds and reads text that is burned into a picture, with the detector and recogniser that the RapidOCR wheel carries.

The models run in onnxruntime directly, on one thread: several children side by side use the cores better than one with
several threads. `core.deid.text_line` has the limits that a sandbox of readers needs."""

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from core.deid.text_find import Finder, normalised, stretched
from core.deid.text_line import Box, Text
from core.dicom.display import Rgb, to_rgb
from core.dicom.frames import decode_stored, sent_palette
from core.dicom.pixel_format import PixelFormat

Plane = NDArray[np.float32]

_DETECTOR, _RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
_LINE = 48  # rows of a line as the recogniser was trained
_NARROW = 0.85  # of its own width: a line is read as well, and faster
_WEAK = 0.9  # a line that was read with less is read once more at its own width
_WIDEST_LINE = 2400
_WHOLE = 0.6  # of the frame: a box over more than this is no text


class TextReader:
    """The two models, loaded once; about 450 MB resident while it works."""

    def __init__(self) -> None:
        self._finder = Finder(_session(_DETECTOR, has_arena=False))
        self._recogniser = _session(_RECOGNISER, has_arena=True)
        characters = self._recogniser.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._characters = ["", *characters, " "]  # index 0 is "no character"

    def read(self, rgb: Rgb, areas: Sequence[Sequence[int]] | None = None, frame: int = 1) -> list[Text]:
        """The lines of text in an (H, W, 3) uint8 picture, of the areas only (x0, y0, x1, y1) or of all of it."""
        rows, columns = rgb.shape[:2]
        boxes: list[Box] = []
        for area in areas if areas is not None else [(0, 0, columns, rows)]:
            boxes += self._finder.find(rgb, area)
        boxes = [box for box in boxes if _size(box) <= _WHOLE * rows * columns]
        return [Text(frame, box, *self._said(rgb, box)) for box in boxes]

    def _said(self, rgb: Rgb, box: Box) -> tuple[str, float]:
        """The words in a box and how sure the recogniser is."""
        first = self._recognised(_line(rgb, box, _NARROW))
        if first[1] >= _WEAK:
            return first
        return max(first, self._recognised(_line(rgb, box, 1)), key=lambda said: said[1])

    def _recognised(self, line: Rgb) -> tuple[str, float]:
        batch = np.zeros((1, 3, _LINE, max(64, -(-line.shape[1] // 8) * 8)), np.float32)
        batch[0, :, :, : line.shape[1]] = normalised(line)
        return self._words(np.asarray(self._recogniser.run(None, {"x": batch})[0][0], np.float32))

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
    """Load the models: the sandbox calls this while files can still be read."""
    reader()


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


def _session(name: str, has_arena: bool) -> onnxruntime.InferenceSession:
    """A model; an arena keeps the memory of one run for the next, which is faster and, with large pictures, too much."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = has_arena
    return onnxruntime.InferenceSession(_models() / name, options, providers=["CPUExecutionProvider"])


def _size(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _line(rgb: Rgb, box: Box, narrow: float) -> Rgb:
    """The picture in a box, 48 rows high, as wide as that makes it or narrower; text that runs down is turned."""
    x0, y0, x1, y1 = box
    crop = rgb[y0:y1, x0:x1]
    if crop.shape[0] > 1.5 * crop.shape[1]:
        crop = np.rot90(crop)
    crop = stretched(np.ascontiguousarray(crop))
    width = min(max(round(crop.shape[1] * _LINE / crop.shape[0] * narrow), 8), _WIDEST_LINE)
    return np.asarray(cv2.resize(crop, (width, _LINE), interpolation=cv2.INTER_CUBIC), np.uint8)
