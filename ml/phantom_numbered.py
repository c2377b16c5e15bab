"""Cines whose every frame carries its number, as a bar code that a program reads from a screenshot and as digits.

A test can so tell which frame a canvas shows: `read_number` finds the code at any place, drawn from half to twice its
size, after JPEG, and after a window that keeps bright brighter than dark. The code is one row of 40 modules: a mark
that begins it, 16 bits of the number, 8 bits that check them, a mark that ends it."""

from dataclasses import replace
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.encaps import generate_frames

from core.errors import Malformed
from ml.phantom import PhantomStudy, Truth, make_study
from ml.phantom_dicom import store_cine
from ml.phantom_screens import BurnedText, font

Picture = NDArray[np.uint8]
LARGEST: Final = 2**16 - 1
BEGIN: Final = (1, 1, 3, 1, 1)  # widths in modules: bright, dark, bright, dark, bright
END: Final = (1, 1, 1, 1, 3)
MARK: Final = 7
BITS: Final = 24
MODULES: Final = MARK + 1 + BITS + 1 + MARK
MODULE_PX: Final = 8
HEIGHT_PX: Final = 32
DIGITS_PX: Final = 24
# Bright and dark as JPEG and a scaled canvas leave room for; the levels at which a row is cut in two.
BRIGHT, DARK = 235, 16
LEVELS: Final = (125, 80, 170)
FEWEST_ROWS: Final = 3


def numbered_study(seed: int, device: str, frames: int, domain: str = "liver", *, digits: bool = True) -> PhantomStudy:
    """A study of one cine, alike in all frames but for the numbers, from 1, at the top left of its ultrasound region.

    Raises Malformed as `make_study`, and for more than 65,535 frames."""
    if not 1 <= frames <= LARGEST:
        raise Malformed("A numbered cine has 1 to 65,535 frames.")
    study = make_study(seed, domain, device, 0, 1)
    cine = study.instances[0]
    picture = simplejpeg.decode_jpeg(next(generate_frames(cine.dataset.PixelData, number_of_frames=1)))
    region = cine.dataset.SequenceOfUltrasoundRegions[0]
    x, y = int(region.RegionLocationMinX0) + MODULE_PX, int(region.RegionLocationMinY0) + MODULE_PX
    screens = [stamped(picture, number, x, y, digits=digits) for number in range(1, frames + 1)]
    dataset = store_cine(cine.dataset, screens, float(cine.dataset.FrameTime))
    below = y + HEIGHT_PX + 2 * MODULE_PX
    words = (BurnedText("technical", f"{frames:05d}", (x, below, 4 * DIGITS_PX, DIGITS_PX)),) if digits else ()
    truth = Truth(cine.truth.code, cine.truth.boxes * frames, cine.truth.mm_per_px)
    made = replace(cine, dataset=dataset, truth=truth, texts=(*cine.texts, *words))
    return replace(study, instances=(made,))


def stamped(picture: Picture, number: int, x: int, y: int, *, digits: bool = True) -> Picture:
    """A copy of a (rows, columns, 3) picture with the code, its quiet edge round it, at x, y and the digits below it."""
    code = np.repeat(_modules(number), MODULE_PX)
    left, top, edge = x - MODULE_PX, y - MODULE_PX, 2 * MODULE_PX
    wide, high = len(code) + edge, HEIGHT_PX + edge
    rows, columns = picture.shape[:2]
    if left < 0 or top < 0 or left + wide > columns or top + high + DIGITS_PX > rows:
        raise Malformed("The picture is too small for its number.")
    copy = picture.copy()
    copy[top : top + high, left : left + wide] = DARK
    copy[y : y + HEIGHT_PX, x : x + len(code)] = np.where(code, BRIGHT, DARK).astype(np.uint8)[None, :, None]
    if digits:
        band = Image.fromarray(copy[top + high : top + high + DIGITS_PX, left : left + 5 * DIGITS_PX])
        draw = ImageDraw.Draw(band)
        draw.rectangle((0, 0, *band.size), fill=(DARK,) * 3)
        draw.text((MODULE_PX, -4), f"{number:05d}", fill=(BRIGHT,) * 3, font=font(DIGITS_PX))
        copy[top + high : top + high + DIGITS_PX, left : left + band.width] = np.asarray(band)
    return copy


def read_number(rgb: Picture) -> int:
    """The number on a (rows, columns, 3) or (rows, columns) picture of any kind.

    Raises Malformed when three rows do not carry the same code, or rows carry two."""
    grey = rgb if rgb.ndim == 2 else rgb[..., 1]
    for level in LEVELS:
        votes: dict[int, int] = {}
        for row in (grey > level)[::4]:
            number = _read_row(row)
            if number is not None:
                votes[number] = votes.get(number, 0) + 1
        sure = [number for number, count in votes.items() if count >= FEWEST_ROWS]
        if len(sure) > 1:
            raise Malformed("The picture carries two numbers.")
        if sure:
            return sure[0]
    raise Malformed("The picture carries no number.")


def _modules(number: int) -> NDArray[np.bool_]:
    """(40,) bright or dark."""
    if not 0 <= number <= LARGEST:
        raise Malformed("The number does not fit its code.")
    word = number << 8 | _check(number)
    bits = [bool(word >> place & 1) for place in range(BITS - 1, -1, -1)]
    return np.array([*_mark(BEGIN), False, *bits, False, *_mark(END)])


def _mark(widths: tuple[int, ...]) -> list[bool]:
    return [index % 2 == 0 for index, width in enumerate(widths) for _ in range(width)]


def _check(number: int) -> int:
    """CRC-8 (polynomial 0x07) of the two bytes of the number, begun with 0xFF so that zero is no code of zeros."""
    crc = 0xFF
    for byte in number.to_bytes(2, "big"):
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


def _read_row(row: NDArray[np.bool_]) -> int | None:
    """The number that a row of bright and dark pixels carries, if it does."""
    edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=0))
    if len(edges) < 12:
        return None
    begins, ends = _marks(edges, BEGIN), _marks(edges, END)
    for first in begins:
        for last in ends:
            start, stop = edges[first], edges[last + len(END)]
            module = (stop - start) / MODULES
            one, other = edges[first + 5] - start, stop - edges[last]
            if module < 2 or abs(one / module - MARK) > 1 or abs(other / module - MARK) > 1:
                continue
            middles = start + (np.arange(MODULES) + 0.5) * module
            seen = row[middles.astype(np.int64)]
            word = int("".join("1" if bit else "0" for bit in seen[MARK + 1 : MARK + 1 + BITS]), 2)
            if _check(word >> 8) == word & 0xFF:
                return word >> 8
    return None


def _marks(edges: NDArray[np.int64], widths: tuple[int, ...]) -> NDArray[np.int64]:
    """Where in the list of edges five runs, the first of them bright, have these widths in modules."""
    runs = np.lib.stride_tricks.sliding_window_view(np.diff(edges), len(widths)).astype(np.float64)
    module = runs.sum(axis=1, keepdims=True) / MARK
    fits = (np.abs(runs / module - np.array(widths)) < 0.5).all(axis=1)
    fits[1::2] = False  # a row begins dark, so that every second run is bright
    return np.flatnonzero(fits)
