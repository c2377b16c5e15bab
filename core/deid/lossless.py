"""Encodes samples without loss: uncompressed, RLE, JPEG lossless, JPEG-LS and JPEG 2000 as DICOM stores them (PS3.5 annexes A and G)."""

from dataclasses import replace
from typing import Final

import jpeg_ls
import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import encode_buffer as encode_j2k
from rle.utils import encode_pixel_data as encode_rle

from core.deid import j2k, jpeg_lossless
from core.dicom.codestream import RLE
from core.dicom.display import Frame, decoded_photometric
from core.dicom.guard import NATIVE, encoding_of
from core.dicom.pixel_format import PixelFormat
from core.errors import Held, Refused

EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
JPEG_LOSSLESS_SV1: Final = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
_CANNOT: Final = "The masked image cannot be stored without loss."
_INTERLEAVED: Final = 2
_RGB: Final = 1


def encode(samples: Frame, fmt: PixelFormat, syntax: str) -> tuple[bytes, PixelFormat]:
    """(one frame in `syntax`, its new format); `samples` as `decode_stored` gives them for a frame of `fmt`.

    Raises Held when the encoder refuses."""
    try:
        if syntax in NATIVE:
            return _native(samples, fmt, syntax)
        if syntax == RLE:
            return _rle(samples, fmt), fmt
        if syntax == JPEG_LS_LOSSLESS:
            return _jpeg_ls(samples, fmt)
        if syntax == JPEG_LOSSLESS_SV1:
            return _jpeg_lossless(samples, fmt)
        return _jpeg_2000(samples, fmt, syntax)
    except (ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise Held(_CANNOT) from error


def native_syntax(syntax: str) -> str:
    """Uncompressed stays implicit or explicit little endian; big endian and deflated become explicit little endian."""
    return IMPLICIT_LITTLE if encoding_of(syntax) == (True, True) else EXPLICIT_LITTLE


def _unsigned(samples: Frame, bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The bit pattern of the samples; above `bits` all zero."""
    pattern = samples.astype("<i2").view("<u2") if samples.dtype == np.int16 else samples
    if bits < 8 * pattern.itemsize:
        pattern = pattern & pattern.dtype.type((1 << bits) - 1)
    return np.ascontiguousarray(pattern.astype(np.uint8 if bits <= 8 else "<u2"))


def _allocated(samples: NDArray[np.generic], fmt: PixelFormat) -> bytes:
    """Row by row, colour by pixel, in bytes or little endian words as `bits_allocated` wants."""
    kind = "<i2" if samples.dtype == np.int16 else "<u2"
    if fmt.bits_allocated == 8:
        return samples.astype("i1" if samples.dtype == np.int16 else "u1").tobytes()
    return samples.astype(kind).tobytes()


def _native(samples: Frame, fmt: PixelFormat, syntax: str) -> tuple[bytes, PixelFormat]:
    new = replace(fmt, transfer_syntax=syntax)
    if fmt.photometric == "YBR_FULL_422":
        pairs = samples.reshape(-1, 2, 3)
        packed = np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], axis=1)
        return packed.tobytes(), new
    planes = samples.transpose(2, 0, 1) if fmt.samples == 3 and fmt.planar else samples
    return _allocated(planes, fmt), new


def _rle(samples: Frame, fmt: PixelFormat) -> bytes:
    data: bytes = encode_rle(
        _allocated(samples, fmt),
        rows=fmt.rows,
        columns=fmt.columns,
        samples_per_pixel=fmt.samples,
        bits_allocated=fmt.bits_allocated,
        byteorder="<",
    )
    return data


def _depth(samples: Frame, fmt: PixelFormat) -> int:
    """Bits a sample; a stream may hold more than the image says are stored."""
    if samples.dtype == np.int16:
        return fmt.bits_stored
    return max(fmt.bits_stored, int(samples.max(initial=0)).bit_length(), 2)


def _jpeg_ls(samples: Frame, fmt: PixelFormat) -> tuple[bytes, PixelFormat]:
    bits = _depth(samples, fmt)
    if bits > fmt.bits_allocated:
        raise Refused(_CANNOT)
    data = jpeg_ls.encode_buffer(
        _unsigned(samples, bits).tobytes(), fmt.rows, fmt.columns, fmt.samples, bits,
        interleave_mode=_INTERLEAVED if fmt.samples == 3 else 0,
    )  # fmt: skip
    photometric = decoded_photometric(fmt)
    return bytes(data), replace(fmt, transfer_syntax=JPEG_LS_LOSSLESS, photometric=photometric, planar=0)


def _jpeg_lossless(samples: Frame, fmt: PixelFormat) -> tuple[bytes, PixelFormat]:
    bits = _depth(samples, fmt)
    if bits > fmt.bits_allocated:
        raise Refused(_CANNOT)
    data = jpeg_lossless.encode(_unsigned(samples, bits), bits)
    return data, replace(fmt, transfer_syntax=JPEG_LOSSLESS_SV1, photometric=decoded_photometric(fmt), planar=0)


def _jpeg_2000(samples: Frame, fmt: PixelFormat, syntax: str) -> tuple[bytes, PixelFormat]:
    photometric = decoded_photometric(fmt)
    is_transformed = photometric == "RGB" and fmt.photometric != "RGB"
    bits = _depth(samples, fmt)
    data: bytes = encode_j2k(
        _unsigned(samples, bits).tobytes(), fmt.columns, fmt.rows, fmt.samples, bits, False,
        photometric_interpretation=_RGB if is_transformed else 0, use_mct=is_transformed,
    )  # fmt: skip
    photometric = "YBR_RCT" if is_transformed else photometric
    return j2k.clean(data), replace(fmt, transfer_syntax=syntax, photometric=photometric, planar=0)
