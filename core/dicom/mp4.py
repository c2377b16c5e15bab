"""The one form of an MP4 file that is written here: one H.264 track and nothing else (ISO/IEC 14496-12 and -15).

PS3.5 section 8.2.7 wants video in MPEG-TS or MP4. A file read here must be, byte for byte, what is written here: so nothing
can ride along in it."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from core.dicom.h264 import sets_of
from core.errors import Refused

MOST_FRAMES: Final = 100_000
MOST_HEAD: Final = 2 << 20
_BROKEN: Final = "The video container is broken."
_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_BRAND: Final = b"isom\0\0\2\0isomiso2avc1mp41"
_NESTED: Final = {b"moov": 0, b"trak": 0, b"edts": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8, b"avc1": 78}


@dataclass(frozen=True)
class Movie:
    """`sizes` of the samples and `keys`, the key frames (from 0), in the order of the stream; `shown[k]` is the sample
    that frame k shows; `config` the AVCDecoderConfigurationRecord; `rate` frames a second as a fraction."""

    columns: int
    rows: int
    rate: tuple[int, int]
    config: bytes
    sizes: tuple[int, ...]
    keys: tuple[int, ...]
    shown: tuple[int, ...]

    def head(self) -> bytes:
        """All that comes before the samples."""
        return _head(self, len(_head(self, 0)))

    def lead(self) -> tuple[int, int]:
        """(offset, length) of the box of the configuration."""
        return self.head().index(b"avcC" + self.config) - 4, 8 + len(self.config)

    def frames(self) -> list[tuple[int, int]]:
        """Per frame as shown: (offset, length) of its samples, from the key frame before it up to its own."""
        start = len(self.head())
        ends, begins, keys = list[int](), list[int](), set(self.keys)
        for number, size in enumerate(self.sizes):
            begins.append(start if number in keys or not begins else begins[-1])
            start += size
            ends.append(start)
        return [(begins[sample], ends[sample] - begins[sample]) for sample in self.shown]


def _box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + name + content


def _numbers(name: bytes, values: Sequence[int], *before: int) -> bytes:
    """A full box of 32-bit numbers: version and flags 0, then `before`, then the values."""
    return _box(name, struct.pack(f">I{len(before)}I{len(values)}I", 0, *before, *values))


def _head(movie: Movie, offset: int) -> bytes:
    (scale, ticks), length = movie.rate, len(movie.sizes) * movie.rate[1]
    late = _late(movie)
    edit = [_box(b"edts", _box(b"elst", struct.pack(">5I", 0, 1, length, late * ticks, 0x10000)))] if late else []
    size = struct.pack(">II", movie.columns << 16, movie.rows << 16)
    mvhd = struct.pack(">6IH10x", 0, 0, 0, scale, length, 0x10000, 0x100) + _MATRIX + bytes(24) + struct.pack(">I", 2)
    tkhd = struct.pack(">6I16x", 3, 0, 0, 1, 0, length) + _MATRIX + size
    mdhd = struct.pack(">5IHH", 0, 0, 0, scale, length, 0x55C4, 0)  # language: none
    mdia = _box(b"mdia", _box(b"mdhd", mdhd), _HDLR, _box(b"minf", _VMHD, _DINF, _table(movie, offset, late)))
    moov = _box(b"moov", _box(b"mvhd", mvhd), _box(b"trak", _box(b"tkhd", tkhd), *edit, mdia))
    return _box(b"ftyp", _BRAND) + moov + struct.pack(">I", 8 + sum(movie.sizes)) + b"mdat"


def _table(movie: Movie, offset: int, late: int) -> bytes:
    """The sample table: all samples in one chunk at `offset`."""
    count, ticks = len(movie.sizes), movie.rate[1]
    entry = struct.pack(">6xH16xHHII4xH32xHH", 1, movie.columns, movie.rows, 72 << 16, 72 << 16, 1, 24, 0xFFFF)
    parts = [
        _box(b"stsd", struct.pack(">II", 0, 1), _box(b"avc1", entry, _box(b"avcC", movie.config))),
        _numbers(b"stts", (count, ticks), 1),
        _numbers(b"stss", [key + 1 for key in movie.keys], len(movie.keys)),
    ]
    if late:
        offsets = ((at - sample + late) * ticks for sample, at in enumerate(_places(movie.shown)))
        parts.append(_numbers(b"ctts", [number for offset in offsets for number in (1, offset)], count))
    parts += [
        _numbers(b"stsc", (1, count, 1), 1),
        _numbers(b"stsz", movie.sizes, 0, count),
        _numbers(b"stco", (offset,), 1),
    ]
    return _box(b"stbl", *parts)


def _places(shown: Sequence[int]) -> list[int]:
    """Per sample the frame that it shows."""
    places = [0] * len(shown)
    for frame, sample in enumerate(shown):
        places[sample] = frame
    return places


def _late(movie: Movie) -> int:
    """By how many frames the picture lags behind the stream, so that none is shown before it was read."""
    return max(sample - at for sample, at in enumerate(_places(movie.shown)))


_HDLR: Final = _box(b"hdlr", bytes(8), b"vide", bytes(13))
_VMHD: Final = _box(b"vmhd", struct.pack(">I8x", 1))
_DINF: Final = _box(b"dinf", _box(b"dref", struct.pack(">II", 0, 1), _box(b"url ", b"\0\0\0\1")))


def is_ours(start: bytes) -> bool:
    """Whether a file that begins so may be of the form that is written here."""
    return start[:40] == _box(b"ftyp", _BRAND) + start[32:36] + b"moov"


def head_size(start: bytes) -> int:
    """The length of all that comes before the samples, from the first 40 bytes."""
    return 32 + int.from_bytes(start[32:36], "big") + 8


def read_head(head: bytes) -> Movie | None:
    """The movie whose head this is, None for any other; no number in it is used before the whole was made again."""
    try:
        found = dict(_boxes(head, 0, len(head) - 8))
        scale, ticks = struct.unpack_from(">12xI", found[b"mdhd"])[0], struct.unpack_from(">12xI", found[b"stts"])[0]
        sizes = _table_of(found[b"stsz"], 12)
        shown = list(range(len(sizes)))
        if b"ctts" in found:
            offsets = _table_of(found[b"ctts"], 8)[1::2]
            shown.sort(key=lambda sample: sample + offsets[sample] // ticks)
        columns, rows = struct.unpack_from(">24xHH", found[b"avc1"])
        keys = tuple(number - 1 for number in _table_of(found[b"stss"], 8))
        movie = Movie(columns, rows, (scale, ticks), found[b"avcC"], sizes, keys, tuple(shown))
        sets_of(movie.config)
        is_same = 0 < len(sizes) <= MOST_FRAMES and keys[:1] == (0,) and movie.head() == head
    except (KeyError, IndexError, ValueError, ZeroDivisionError, struct.error, Refused):
        return None
    return movie if is_same else None


def _table_of(content: bytes, start: int) -> tuple[int, ...]:
    return struct.unpack(f">{(len(content) - start) // 4}I", content[start:])


def _boxes(data: bytes, position: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of every box, those inside others too."""
    while position + 8 <= end:
        length, name = struct.unpack_from(">I4s", data, position)
        if not 8 <= length <= end - position or depth > len(_NESTED):
            raise Refused(_BROKEN)
        yield name, data[position + 8 : position + length]
        if name in _NESTED:
            yield from _boxes(data, position + 8 + _NESTED[name], position + length, depth + 1)
        position += length
