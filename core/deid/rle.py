"""Cuts RLE frames to what their image needs, so that nothing rides behind a segment (PS3.5 annex G)."""

import struct
from typing import Final

from core.dicom.pixel_format import PixelFormat
from core.errors import Refused

_BROKEN: Final = "A frame of the image cannot be decoded."
_HEADER: Final = struct.Struct("<16I")


def clean(data: bytes, fmt: PixelFormat) -> bytes:
    """The same coded runs without unused bytes between and behind the segments; each segment even, as G.3.1 wants.

    Raises Refused for a header that does not fit the image or a segment that is too short."""
    if len(data) < _HEADER.size:
        raise Refused(_BROKEN)
    count, *offsets = _HEADER.unpack(data[: _HEADER.size])
    if count != fmt.samples * fmt.bits_allocated // 8:
        raise Refused(_BROKEN)
    ends = [*offsets[1:count], len(data)]
    segments: list[bytes] = []
    for start, end in zip(offsets[:count], ends, strict=True):
        if not _HEADER.size <= start < end <= len(data):
            raise Refused(_BROKEN)
        segment = _cut(data[start:end], fmt.rows * fmt.columns)
        segments.append(segment + b"\0" * (len(segment) % 2))
    starts = [_HEADER.size]
    for segment in segments[:-1]:
        starts.append(starts[-1] + len(segment))
    return _HEADER.pack(count, *starts, *[0] * (15 - count)) + b"".join(segments)


def _cut(segment: bytes, needed: int) -> bytes:
    """The runs that give `needed` bytes, do-nothing runs (128) taken out."""
    position, made, since, parts = 0, 0, 0, []
    while made < needed:
        if position >= len(segment):
            raise Refused(_BROKEN)
        run = segment[position]
        if run == 128:
            parts.append(segment[since:position])
            position += 1
            since = position
        elif run < 128:
            made += run + 1
            position += run + 2
        else:
            made += 257 - run
            position += 2
    if made != needed or position > len(segment):
        raise Refused(_BROKEN)
    return b"".join([*parts, segment[since:position]])
