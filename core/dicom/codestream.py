"""What a compressed frame says of itself: its size, samples and depth, read without decoding (T.81, T.87, T.800)."""

import struct
from dataclasses import dataclass
from typing import Final

from core.dicom.pixel_format import PixelFormat
from core.errors import Refused

JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
DCT: Final = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
JPEG_LOSSLESS: Final = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
JPEG_LS: Final = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
JPEG_FAMILY: Final = DCT | JPEG_LOSSLESS | JPEG_LS
JPEG_2000_LOSSY: Final = "1.2.840.10008.1.2.4.91"
JPEG_2000: Final = frozenset({"1.2.840.10008.1.2.4.90", JPEG_2000_LOSSY})
J2K_FAMILY: Final = JPEG_2000 | {f"1.2.840.10008.1.2.4.{last}" for last in (92, 93, 201, 202, 203)}
RLE: Final = "1.2.840.10008.1.2.5"
H264: Final = frozenset(f"1.2.840.10008.1.2.4.{last}{part}" for last in (102, 103, 104) for part in ("", ".1"))

_NO_HEADER = "A compressed frame has no readable header."
_OTHER_SIZE = "A compressed frame has another size than the image says."
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})


@dataclass(frozen=True)
class StreamHeader:
    """`is_jfif` and `adobe_transform` (None without an Adobe segment) say how a DCT stream means its colours."""

    rows: int
    columns: int
    samples: int
    precision: int
    is_signed: bool = False
    is_jfif: bool = False
    adobe_transform: int | None = None


def stream_header(data: bytes, transfer_syntax: str) -> StreamHeader | None:
    """The header of one compressed frame, None for a syntax without one here; Refused where it is broken or cut."""
    try:
        if transfer_syntax in JPEG_FAMILY:
            return _jpeg(data)
        if transfer_syntax in J2K_FAMILY:
            return _j2k(data)
    except (struct.error, IndexError) as error:
        raise Refused(_NO_HEADER) from error
    return None


def check_stream(data: bytes, fmt: PixelFormat, length: int) -> StreamHeader | None:
    """Compare the beginning of a frame of `length` bytes with what the image says of it; raises Refused.

    This comes before decoding, so that no decoder allocates by a size that the image did not name."""
    if fmt.transfer_syntax == RLE:
        _check_rle(data, fmt, length)
    header = stream_header(data, fmt.transfer_syntax)
    if header is None:
        return None
    if (header.rows, header.columns) != (fmt.rows, fmt.columns):
        raise Refused(_OTHER_SIZE)
    if header.samples != fmt.samples:
        raise Refused("A compressed frame has another number of colours than the image says.")
    if header.precision > fmt.bits_allocated:
        raise Refused("A compressed frame has more bits than the image says.")
    return header


def _check_rle(data: bytes, fmt: PixelFormat, length: int) -> None:
    segments = struct.unpack("<I", data[:4])[0] if len(data) >= 64 else 0
    if segments != fmt.samples * fmt.bits_allocated // 8:
        raise Refused(_NO_HEADER)
    if fmt.rows * fmt.columns * segments > 64 * length:  # two bytes make 128 at the most, PS3.5 Annex G
        raise Refused(_OTHER_SIZE)


def _jpeg(data: bytes) -> StreamHeader:
    if data[:2] != b"\xff\xd8":
        raise Refused(_NO_HEADER)
    position, is_jfif, adobe = 2, False, None
    while True:
        if data[position] != 0xFF:
            raise Refused(_NO_HEADER)
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in _ALONE:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _SOF:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", data, position + 4)
            return StreamHeader(rows, columns, samples, precision, False, is_jfif, adobe)
        if marker in {0xD9, 0xDA} or length < 2:
            raise Refused(_NO_HEADER)
        segment = data[position + 4 : position + 2 + length]
        is_jfif = is_jfif or (marker == 0xE0 and segment[:5] == b"JFIF\0")
        if marker == 0xEE and segment[:5] == b"Adobe" and len(segment) >= 12:
            adobe = segment[11]
        position += 2 + length


def _j2k(data: bytes) -> StreamHeader:
    if data[:4] != b"\xff\x4f\xff\x51":
        raise Refused(_NO_HEADER)
    x_size, y_size, x_start, y_start = struct.unpack_from(">IIII", data, 8)
    (samples,) = struct.unpack_from(">H", data, 40)
    depth = data[42]
    if not 0 < samples <= 4 or x_start >= x_size or y_start >= y_size:
        raise Refused(_NO_HEADER)
    for sample in range(samples):
        if data[42 + 3 * sample] != depth or data[43 + 3 * sample : 45 + 3 * sample] != b"\1\1":
            raise Refused("A JPEG 2000 frame has components of different size or depth.")
    return StreamHeader(y_size - y_start, x_size - x_start, samples, (depth & 0x7F) + 1, bool(depth & 0x80))
