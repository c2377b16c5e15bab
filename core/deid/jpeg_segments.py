"""Takes a JPEG or JPEG-LS stream apart into its segments and drops what carries no image (ITU-T T.81 annex B, T.87)."""

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from core.errors import Refused

SOI: Final = b"\xff\xd8"
EOI: Final = b"\xff\xd9"
DHT, SOS, DQT, DNL, DRI, COM = 0xC4, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE
_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_LS_MARKER: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
BROKEN: Final = "A JPEG frame is broken."
# SOF without the arithmetic and hierarchical ones, tables, restart interval, JPEG-LS frame and parameters.
_IMAGE: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3, DHT, SOS, DQT, DRI, 0xF7, 0xF8})
# What JFIF says beside "this is YCbCr" is set to one value, so that it carries nothing.
_JFIF: Final = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"


class Unsupported(Refused):
    """This kind of JPEG cannot be masked in place."""


class Segment(NamedTuple):
    """`payload` without marker and length; `entropy` is the coded data behind a start of scan, restart markers kept."""

    marker: int
    payload: bytes
    entropy: bytes = b""

    @property
    def stored(self) -> bytes:
        return struct.pack(">BBH", 0xFF, self.marker, len(self.payload) + 2) + self.payload + self.entropy


def segments(data: bytes) -> Iterator[Segment]:
    """Every segment up to the end of the image; raises Refused for a stream that is cut or broken."""
    if data[:2] != SOI:
        raise Refused(BROKEN)
    position, is_ls = 2, False
    while True:
        while data[position : position + 2] == b"\xff\xff":
            position += 1
        if len(data) < position + 2 or data[position] != 0xFF:
            raise Refused(BROKEN)
        marker = data[position + 1]
        if marker == EOI[1]:
            return
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + length
        if length < 2 or end > len(data):
            raise Refused(BROKEN)
        payload, position = data[position + 4 : end], end
        is_ls = is_ls or marker == 0xF7
        if marker == SOS:
            position = _entropy_end(data, end, is_ls)
        yield Segment(marker, payload, data[end:position])


def _entropy_end(data: bytes, start: int, is_ls: bool) -> int:
    """Where the next marker that is no restart begins; in JPEG-LS a byte above 7F makes a marker, else any but 00."""
    found = (_LS_MARKER if is_ls else _MARKER).search(data, start)
    if found is None:
        raise Refused(BROKEN)
    return found.start()


def kept(segment: Segment) -> bytes | None:
    """The segment as it may stay, None where it goes: comments, thumbnails, Exif and every application's own data.

    Of JFIF, Adobe (APP14) and the colour transform of JPEG-LS (APP8) what is kept is what a decoder needs, rebuilt.
    Raises Unsupported for segments whose use is not known here."""
    marker, payload = segment.marker, segment.payload
    if marker in _IMAGE:
        return segment.stored
    if marker == 0xE0 and payload[:5] == _JFIF[:5]:
        return Segment(marker, _JFIF).stored
    if marker == 0xEE and payload[:5] == b"Adobe" and len(payload) >= 12:
        return Segment(marker, b"Adobe\0\x64\0\0\0\0" + payload[11:12]).stored
    if marker == 0xE8 and payload[:4] == b"mrfx" and len(payload) == 5:
        return segment.stored
    if 0xE0 <= marker <= 0xEF or marker == COM:
        return None
    raise Unsupported


def clean(data: bytes) -> bytes:
    """The same coded image without hidden channels: nothing in APPn, no comment, nothing after the end of the image.

    A stream that has none comes back as it is. Raises Refused, or Unsupported for segments that are not known here."""
    parts = [part for segment in segments(data) if (part := kept(segment)) is not None]
    return b"".join([SOI, *parts, EOI])
