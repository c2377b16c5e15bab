"""Blackens rectangles in one stored frame, in the colour space in which it is stored; everything else stays as it was."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.deid import j2k, j2k_lossy, jpeg, jpeg_segments, rle
from core.deid.channels import HIDDEN
from core.deid.lossless import JPEG_2000_LOSSLESS, JPEG_LOSSLESS_SV1, JPEG_LS_LOSSLESS, encode, native_syntax
from core.deid.masks import Rect
from core.dicom.advice import advice
from core.dicom.codestream import DCT, JPEG_2000, JPEG_2000_LOSSY, JPEG_LOSSLESS, JPEG_LS, RLE, stream_header
from core.dicom.display import Frame, decoded_photometric
from core.dicom.frames import decode_stored
from core.dicom.guard import NATIVE
from core.dicom.pixel_format import PixelFormat
from core.errors import Held, Refused

__all__ = ["Masked", "mask_frame", "output_syntax"]

IN_PLACE: Final = "blocks blackened in place"
LOSSLESS: Final = "stored again without loss"
RECODED: Final = "coded again with loss"
UNTOUCHED: Final = "coded data untouched"
_SUPPORTED: Final = frozenset(NATIVE) | DCT | JPEG_LOSSLESS | JPEG_LS | JPEG_2000 | {RLE}
_INEXACT: Final = "The image cannot be masked exactly."


@dataclass(frozen=True, eq=False)
class Masked:
    """`data` in `format`; `decoded` are its samples as `decode_stored` gives them; `method` says how it was made.

    `boxes`, x0 y0 x1 y1 with exclusive ends, are what is really black: JPEG blocks and 4:2:2 pairs widen a rectangle.
    `is_lossy`: the image went through lossy compression at some time; None when only its header can say."""

    data: bytes
    format: PixelFormat
    decoded: Frame
    boxes: tuple[jpeg.Box, ...]
    method: str
    is_lossy: bool | None


def output_syntax(fmt: PixelFormat, is_masked: bool = True) -> str:
    """The transfer syntax that a frame comes back in; raises Held when there is no way to mask this one.

    JPEG that cannot be masked in place (progressive …) comes back as lossless JPEG 2000 instead: see `mask_frame`.
    The syntax for lossy JPEG 2000 allows reversible streams as well (PS3.5 A.4.4), so it always stays."""
    syntax = fmt.transfer_syntax
    if syntax not in _SUPPORTED:
        raise Held(advice(syntax))
    if syntax in NATIVE:
        return native_syntax(syntax)
    if syntax in DCT or syntax in JPEG_2000 or syntax == RLE or not is_masked:
        return syntax
    return JPEG_LOSSLESS_SV1 if syntax in JPEG_LOSSLESS else JPEG_LS_LOSSLESS


def mask_frame(data: bytes, fmt: PixelFormat, rects: Sequence[Rect], fill: int | None = None) -> Masked:
    """Black out `rects` (pixels of the stored frame) and drop what is no image; `fill` is the palette's darkest index.

    Without a rectangle inside the image no coded data change. The result was decoded and compared: all else is
    bit-identical (subsampled JPEG: but for the chroma of one pixel around the black, as decoders smooth it; a still in
    lossy JPEG 2000: within 45 dB, see `j2k_lossy`).
    Raises Refused for a frame that does not decode, Held for one that cannot be masked."""
    boxes = tuple(box for rect in rects if (box := _box(rect, fmt)) is not None)
    output_syntax(fmt, bool(boxes))
    original = decode_stored(data, fmt)
    is_lossy = _is_lossy(data, fmt)
    if not boxes:
        return _cleaned(data, fmt, original, is_lossy)
    if fmt.transfer_syntax in DCT and fmt.photometric != "PALETTE COLOR":
        try:
            return _spliced(data, fmt, boxes, original)
        except jpeg.Unsupported:
            return _stored_again(fmt, boxes, original, JPEG_2000_LOSSLESS, None, is_lossy=True)
    if is_lossy and fmt.transfer_syntax == JPEG_2000_LOSSY and fmt.frames == 1 and not fmt.pixel_representation:
        recoded = _recoded(fmt, boxes, original, len(data))
        if recoded is not None:
            return recoded
    return _stored_again(fmt, boxes, original, output_syntax(fmt), fill, is_lossy=is_lossy)


def _box(rect: Rect, fmt: PixelFormat) -> jpeg.Box | None:
    x0, y0 = max(rect.x, 0), max(rect.y, 0)
    x1, y1 = min(rect.x + rect.width, fmt.columns), min(rect.y + rect.height, fmt.rows)
    if fmt.transfer_syntax in NATIVE and fmt.photometric == "YBR_FULL_422":
        x0, x1 = x0 // 2 * 2, -(-x1 // 2) * 2  # two pixels share their chroma
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _is_lossy(data: bytes, fmt: PixelFormat) -> bool | None:
    if fmt.transfer_syntax in DCT or fmt.transfer_syntax == "1.2.840.10008.1.2.4.81":
        return True
    if fmt.transfer_syntax == JPEG_2000_LOSSY and not j2k.is_reversible(data):
        return True
    return None


def _black(fmt: PixelFormat, fill: int | None) -> tuple[int, ...]:
    """Black in the colour space of the decoded samples."""
    photometric, bits = decoded_photometric(fmt), fmt.bits_stored
    if photometric == "PALETTE COLOR":
        if fill is None or not 0 <= fill < 1 << bits:
            raise Held("The colour palette of the image has no black that can be used.")
        return (fill,)
    if photometric == "YBR_FULL":
        return (0, 1 << (bits - 1), 1 << (bits - 1))
    lowest = -(1 << (bits - 1)) if fmt.pixel_representation else 0
    if photometric == "MONOCHROME1":
        return (lowest + (1 << bits) - 1,)
    if photometric in {"MONOCHROME2", "RGB"}:
        return (lowest,) * fmt.samples
    raise Held("Images in this colour space cannot be masked.")


def _painted(samples: Frame, boxes: Sequence[jpeg.Box], black: tuple[int, ...]) -> Frame:
    painted = samples.copy()
    for x0, y0, x1, y1 in boxes:
        painted[y0:y1, x0:x1] = black if len(black) > 1 else black[0]
    return painted


def _stored_again(
    fmt: PixelFormat, boxes: tuple[jpeg.Box, ...], original: Frame, syntax: str, fill: int | None, is_lossy: bool | None
) -> Masked:
    painted = _painted(original, boxes, _black(fmt, fill))
    data, new = encode(painted, fmt, syntax)
    decoded = decode_stored(data, new)
    if decoded.dtype != painted.dtype or not np.array_equal(decoded, painted):
        raise Held(_INEXACT)
    return Masked(data, new, decoded, boxes, LOSSLESS, is_lossy)


def _recoded(fmt: PixelFormat, boxes: tuple[jpeg.Box, ...], original: Frame, size: int) -> Masked | None:
    """A still only: the frames of a cine must all be stored in one way, and which one is open until the last."""
    if fmt.photometric == "PALETTE COLOR":
        return None
    black, wide = _black(fmt, None), j2k_lossy.grown(boxes, fmt)
    found = j2k_lossy.recoded(_painted(original, wide, black), fmt, boxes, black, size)
    return Masked(*found, wide, RECODED, is_lossy=True) if found is not None else None


def _spliced(data: bytes, fmt: PixelFormat, boxes: tuple[jpeg.Box, ...], original: Frame) -> Masked:
    is_rgb, is_white = _is_rgb(data, fmt), fmt.photometric == "MONOCHROME1"
    spliced, snapped = jpeg.splice(data, boxes, is_rgb=is_rgb, is_white_black=is_white)
    decoded = decode_stored(spliced, fmt)
    if not _is_exact(original, decoded, boxes, snapped, 255 if is_white else 0):
        raise Held(_INEXACT)
    return Masked(spliced, fmt, decoded, tuple(snapped), IN_PLACE, is_lossy=True)


def _is_rgb(data: bytes, fmt: PixelFormat) -> bool:
    """Whether a colour JPEG holds RGB; judged as `decode_stored` does."""
    header = stream_header(data, fmt.transfer_syntax)
    if fmt.samples == 1 or header is None:
        return False
    if header.adobe_transform is not None:
        return header.adobe_transform == 0
    return fmt.photometric == "RGB" and not header.is_jfif


def _is_exact(
    original: Frame, decoded: Frame, boxes: Sequence[jpeg.Box], snapped: Sequence[jpeg.Box], black: int
) -> bool:
    differs = original != decoded
    for x0, y0, x1, y1 in snapped:
        differs[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = False
    return not differs.any() and all((decoded[y0:y1, x0:x1] == black).all() for x0, y0, x1, y1 in boxes)


def _cleaned(data: bytes, fmt: PixelFormat, original: Frame, is_lossy: bool | None) -> Masked:
    """No rectangle: the coded data stay, hidden channels go."""
    syntax = fmt.transfer_syntax
    if syntax in NATIVE:
        new_data, new = encode(original, fmt, native_syntax(syntax))
    else:
        cleaner: Callable[[bytes], bytes] = jpeg_segments.clean
        if syntax in JPEG_2000:
            cleaner = j2k.clean
        new_data, new = rle.clean(data, fmt) if syntax == RLE else cleaner(data), fmt
    decoded = decode_stored(new_data, new)
    if not np.array_equal(decoded, original):
        raise Held(_INEXACT)
    if syntax in JPEG_2000 and any(_decodes_to(one, fmt, original) for one in j2k.shortened(new_data)):
        raise Held(HIDDEN)
    return Masked(new_data, new, decoded, (), UNTOUCHED, is_lossy)


def _decodes_to(data: bytes, fmt: PixelFormat, frame: Frame) -> bool:
    try:
        return np.array_equal(decode_stored(data, fmt), frame)
    except Refused:
        return False
