"""Blackens whole MCUs in the coded data of one JPEG scan; the bits of every other block are copied (T.81 annex F)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.deid import native
from core.deid.jpeg_huffman import EOB, Table, codes, dc_codes, lookup
from core.deid.jpeg_segments import BROKEN, Unsupported
from core.deid.native_source import AHEAD, MISSING, ROOM, WINDOW
from core.errors import Refused

_RESTARTS: Final = range(0xD0, 0xD8)
_STUFFED: Final = b"\xff\x00"


@dataclass(frozen=True)
class Scan:
    """`blocks`: for each block of an MCU the index of its component; per component its tables and black DC value."""

    blocks: tuple[int, ...]
    dc: tuple[Table, ...]
    ac: tuple[Table, ...]
    black: tuple[int, ...]
    restart_interval: int


def blacken(entropy: bytes, masked: NDArray[np.bool_], scan: Scan) -> bytes:
    """`masked`: one flag an MCU in scan order. Raises Refused where the data are broken, Unsupported at odd restarts."""
    step = scan.restart_interval or len(masked)
    intervals = _intervals(entropy) if scan.restart_interval else [entropy]
    if len(intervals) != -(-len(masked) // step):
        raise Unsupported
    if any(symbol > 11 for table in scan.dc for symbol in table.symbols):
        raise Unsupported
    walk = _walk(scan)
    out: list[bytes] = []
    for number, interval in enumerate(intervals):
        flags = masked[number * step : (number + 1) * step]
        out.append(walk.blackened(interval, flags) if flags.any() else interval)
        out.append(bytes((0xFF, _RESTARTS[number % 8])))
    return b"".join(out[:-1])


def _intervals(entropy: bytes) -> list[bytes]:
    """The coded data between restart markers."""
    cuts, position = [0], entropy.find(b"\xff")
    while 0 <= position < len(entropy) - 1:
        if entropy[position + 1] in _RESTARTS:
            cuts.append(position + 2)
        position = entropy.find(b"\xff", position + 2)
    ends = [cut - 2 for cut in cuts[1:]] + [len(entropy)]
    return [entropy[start:end] for start, end in zip(cuts, ends, strict=True)]


class _Walk:
    """The tables of one scan as `core.deid.native_source.walk` wants them."""

    def __init__(self, scan: Scan) -> None:
        self._blocks = np.array(scan.blocks, np.int64)
        self._dc, self._ac = (np.stack([lookup(table) for table in tables]) for tables in (scan.dc, scan.ac))
        self._steps = np.stack([_steps(table) for table in scan.ac])
        self._black = np.array(scan.black, np.int64)
        self._codes = np.stack([dc_codes(table) for table in scan.dc])
        self._ends = np.array([codes(table)[EOB] for table in scan.ac], np.int64)

    def blackened(self, entropy: bytes, flags: NDArray[np.bool_]) -> bytes:
        """One restart interval, the last byte filled with ones."""
        plain = entropy.replace(_STUFFED, b"\xff")
        length, components = 8 * len(plain), len(self._black)
        if 2 * len(flags) * len(self._blocks) > length:  # a block takes two bits at least
            raise Refused(BROKEN)
        data = np.frombuffer(plain + b"\xff" * AHEAD, np.uint8)
        out = np.zeros(len(data) + ROOM * len(self._blocks) * int(flags.sum()) + 8, np.uint8)
        bits = native.call(
            "jpeg_walk", data, len(data), length, np.ascontiguousarray(flags), len(flags), self._blocks,
            len(self._blocks), self._dc, self._ac, self._steps, self._black, self._codes, self._ends,
            np.zeros((2, components), np.int64), components, out, len(out),
        )  # fmt: skip
        if bits < 0:
            raise Unsupported if bits == MISSING else Refused(BROKEN)
        size = -(-bits // 8)
        if bits % 8:
            out[size - 1] |= 0xFF >> bits % 8
        return out[:size].tobytes().replace(b"\xff", _STUFFED)


@lru_cache(maxsize=8)
def _walk(scan: Scan) -> _Walk:
    """Most often all frames of a cine have the same tables."""
    return _Walk(scan)


@lru_cache(maxsize=64)
def _steps(table: Table) -> NDArray[np.uint16]:
    found = np.empty(1 << WINDOW, np.uint16)
    native.call("jpeg_join", lookup(table), found)
    return found


def snapped_flags(
    rects: Sequence[tuple[int, int, int, int]], rows: int, columns: int, height: int, width: int
) -> NDArray[np.bool_]:
    """One flag for each of `rows` x `columns` units of `height` x `width` pixels that a rectangle x0 y0 x1 y1 touches."""
    flags = np.zeros((rows, columns), np.bool_)
    for x0, y0, x1, y1 in rects:
        flags[y0 // height : -(-y1 // height), x0 // width : -(-x1 // width)] = True
    return flags
