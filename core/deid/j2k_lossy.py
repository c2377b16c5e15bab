"""Stores a masked image as lossy JPEG 2000 again where it was so before: no larger, and hardly different (T.800, PS3.5 A.4.4)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from openjpeg.utils import encode_buffer

from core.deid import j2k
from core.dicom.display import Frame, decoded_photometric
from core.dicom.frames import decode_stored
from core.dicom.pixel_format import PixelFormat
from core.errors import Held

_Box = tuple[int, int, int, int]
LEAST_PSNR: Final = 45.0  # dB, outside the black, against the decoded source
MOST_GROWTH: Final = 1.05
_AIM: Final = 1.03  # the encoder lands a little beside the size that it is asked for
_RING: Final = 8  # pixels around a rectangle that become black too: the wavelets spread the edge over them
_DARK: Final = 1 / 32  # of the range: how far black may be off inside a rectangle


def grown(boxes: Sequence[_Box], fmt: PixelFormat) -> tuple[_Box, ...]:
    """The boxes x0 y0 x1 y1 (ends exclusive) with a ring around them, cut at the image."""
    return tuple(
        (max(x0 - _RING, 0), max(y0 - _RING, 0), min(x1 + _RING, fmt.columns), min(y1 + _RING, fmt.rows))
        for x0, y0, x1, y1 in boxes
    )


def encode(painted: Frame, fmt: PixelFormat, size: int) -> tuple[bytes, PixelFormat]:
    """(a stream of about `size` bytes with the irreversible transform, its format); raises Held when there is none."""
    is_transformed = decoded_photometric(fmt) == "RGB" and fmt.photometric != "RGB"
    ratio = max(painted.nbytes / (size * _AIM), 1.0)
    try:
        data: bytes = encode_buffer(
            np.ascontiguousarray(painted).tobytes(), fmt.columns, fmt.rows, fmt.samples, fmt.bits_stored, False,
            photometric_interpretation=int(is_transformed), use_mct=is_transformed, compression_ratios=[ratio],
        )  # fmt: skip
    except (ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise Held("The masked image cannot be stored without loss.") from error
    photometric = "YBR_ICT" if is_transformed else decoded_photometric(fmt)
    return j2k.clean(data), replace(fmt, photometric=photometric, planar=0)


def recoded(
    painted: Frame, fmt: PixelFormat, boxes: Sequence[_Box], black: tuple[int, ...], size: int
) -> tuple[bytes, PixelFormat, Frame] | None:
    """(stream, its format, its samples) of an image whose `grown` boxes are painted black; `size` is the source's.

    None where the result would be larger than 1.05 times that, differ more than 45 dB allow, or not be black."""
    data, new = encode(painted, fmt, size)
    if len(data) > MOST_GROWTH * size:
        return None
    decoded = decode_stored(data, new)
    peak = (1 << fmt.bits_stored) - 1
    off = np.abs(decoded.astype(np.int32) - painted)
    if any((np.abs(decoded[y0:y1, x0:x1].astype(np.int32) - black) > peak * _DARK).any() for x0, y0, x1, y1 in boxes):
        return None
    outside = np.ones(painted.shape[:2], np.bool_)
    for x0, y0, x1, y1 in grown(boxes, fmt):
        outside[y0:y1, x0:x1] = False
    squares = off[outside].astype(np.float64) ** 2
    mean = float(squares.mean()) if squares.size else 0.0
    return (data, new, decoded) if mean <= peak**2 / 10 ** (LEAST_PSNR / 10) else None
