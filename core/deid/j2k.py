"""Drops comments and bytes behind the image from a JPEG 2000 codestream without touching its coded data (T.800 annex A)."""

import struct
from collections.abc import Iterator
from typing import Final

from core.errors import Refused

_BROKEN: Final = "A JPEG 2000 frame is broken."
_SOC, _SOT, _SOD, _EOC = b"\xff\x4f", 0xFF90, 0xFF93, b"\xff\xd9"
_COM, _COD = 0xFF64, 0xFF52
# Lengths of tile parts and packets: pointers that a decoder can do without, and that would be wrong after a cut.
_POINTERS: Final = frozenset({0xFF55, 0xFF57, 0xFF58})


def clean(data: bytes) -> bytes:
    """The same codestream with only what decodes the image; raises Refused for anything else, as a JP2 file is."""
    if data[:2] != _SOC:
        raise Refused(_BROKEN)
    head, position = _header(data, 2, _SOT)
    parts = [_SOC, head]
    while data[position : position + 2] != _EOC:
        part, position = _tile_part(data, position)
        parts.append(part)
    return b"".join([*parts, _EOC])


def is_reversible(data: bytes) -> bool:
    """Whether the main header names the reversible 5-3 transform; raises Refused when it names none."""
    position = 2
    while position + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == _COD and position + 14 <= len(data):
            return data[position + 13] == 1
        if marker == _SOT:
            break
        position += 2 + length
    raise Refused(_BROKEN)


def _header(data: bytes, position: int, until: int) -> tuple[bytes, int]:
    """The segments up to the marker `until` that may stay, and where it stands."""
    kept: list[bytes] = []
    while True:
        if position + 4 > len(data):
            raise Refused(_BROKEN)
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == until:
            return b"".join(kept), position
        end = position + 2 + length
        if marker < 0xFF00 or length < 2 or end > len(data) or marker == _SOT:
            raise Refused(_BROKEN)
        if marker != _COM and marker not in _POINTERS:
            kept.append(data[position:end])
        position = end


def _tile_part(data: bytes, position: int) -> tuple[bytes, int]:
    """One tile part with its length set anew, and where the next one begins."""
    if position + 12 > len(data) or struct.unpack_from(">HH", data, position) != (_SOT, 10):
        raise Refused(_BROKEN)
    tile, length, part, parts = struct.unpack_from(">HIBB", data, position + 4)
    head, start = _header(data, position + 12, _SOD)
    end = position + length if length else data.find(_EOC, start)
    if not start + 2 <= end <= len(data) - 2:
        raise Refused(_BROKEN)
    coded = data[start:end]
    new = struct.pack(">HHHIBB", _SOT, 10, tile, 12 + len(head) + len(coded), part, parts)
    return new + head + coded, end


def shortened(data: bytes) -> Iterator[bytes]:
    """For each tile part of a clean codestream the stream without the last byte of its coded data.

    Bytes 00 and 80 at its end do not count: empty packets, which change nothing. A decoder needs every other byte, so
    a stream that decodes as before carries something behind its last packet."""
    _, position = _header(data, 2, _SOT)
    while data[position : position + 2] != _EOC:
        (length,) = struct.unpack_from(">I", data, position + 6)
        end = position + length
        needed = data[position:end].rstrip(b"\0\x80")[:-1]
        if len(needed) > 12:
            part = needed[:6] + struct.pack(">I", len(needed)) + needed[10:]
            yield data[:position] + part + data[end:]
        position = end
