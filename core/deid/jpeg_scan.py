"""Blackens whole MCUs in the coded data of one JPEG scan; the bits of every other block are copied (T.81 annex F)."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.deid.jpeg_huffman import ENDED, EOB, WINDOW, Table, ac_steps, block_steps, bounds, codes
from core.deid.jpeg_segments import BROKEN, Unsupported
from core.errors import Refused

_RESTARTS: Final = range(0xD0, 0xD8)
_WHOLE: Final = frozenset((64, *range(ENDED + 1, ENDED + 64)))  # what a block passes
_BIT: Final = bytes.maketrans(b"01", b"\0\1")
_AT_ONCE: Final = 16
_PIECE: Final = 1 << 14  # bytes; more than the longest MCU
_LONGEST_MCU: Final = 12_000  # bytes: 48 blocks of 64 coefficients of 26 bits and a little


@dataclass(frozen=True)
class Scan:
    """`blocks`: for each block of an MCU the index of its component; per component its tables and black DC value."""

    blocks: tuple[int, ...]
    dc: tuple[Table, ...]
    ac: tuple[Table, ...]
    black: tuple[int, ...]
    restart_interval: int


def blacken(entropy: bytes, masked: NDArray[np.bool_], scan: Scan, is_whole: bool) -> bytes:
    """`masked`: one flag an MCU in scan order. Raises Refused where the data are broken, Unsupported at odd restarts.

    Without `is_whole` the walk ends behind the last masked MCU and takes one bits at the very end for padding: faster,
    nearly always right, and to be checked by decoding."""
    step = scan.restart_interval or len(masked)
    intervals = _intervals(entropy) if scan.restart_interval else [entropy]
    if len(intervals) != -(-len(masked) // step):
        raise Unsupported
    out: list[bytes] = []
    for number, interval in enumerate(intervals):
        flags = masked[number * step : (number + 1) * step]
        out.append(_Interval(interval, scan, is_whole).blackened(flags) if flags.any() else interval)
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


class _Interval:
    """One restart interval: a position in bits and the DC prediction of each component.

    `_bits`, one byte a bit, and `_windows`, for each bit the next WINDOW bits, are made as far as the walk has come."""

    def __init__(self, entropy: bytes, scan: Scan, is_whole: bool) -> None:
        data = entropy.replace(b"\xff\x00", b"\xff")
        self._scan, self._is_whole = scan, is_whole
        self._length = len(data) * 8
        self._data = data + b"\xff" * 8
        self._bits = bytearray()
        self._windows = np.empty((len(data) + 6, 8), np.uint16)
        self._filled = 0
        self._blocks = [
            (index, block_steps(scan.dc[index], scan.ac[index]), ac_steps(scan.ac[index])) for index in scan.blocks
        ]
        self._codes = [codes(table) for table in scan.dc]
        self._dc_bounds, self._ac = [bounds(table) for table in scan.dc], [bounds(table) for table in scan.ac]
        self._ends = [_written(codes(table)[EOB]) for table in scan.ac]
        self._steady = b"".join(self._difference(index, 0) + self._ends[index] for index in scan.blocks)
        self._many_steady = self._steady * _AT_ONCE
        self._position = 0
        self._dc = [0] * len(scan.dc)
        self._out: list[bytes | bytearray] = []

    def blackened(self, flags: NDArray[np.bool_]) -> bytes:
        edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])))).tolist()
        mcu, copied = 0, 0
        try:
            for start, stop in zip(edges[::2], edges[1::2], strict=True):
                self._skip(start - mcu)
                self._out.append(self._bits[copied : self._position])
                self._black(stop - start)
                self._skip(stop - start)
                mcu, copied = stop, self._position
                if stop < len(flags):
                    copied, mcu = self._rejoin(), stop + 1
            if self._is_whole:
                self._skip(len(flags) - mcu)
        except IndexError as error:
            raise Refused(BROKEN) from error
        if self._position > self._length:
            raise Refused(BROKEN)
        return self._packed(copied, mcu == len(flags))

    def _skip(self, count: int) -> None:
        """Pass `count` MCUs; runs of MCUs that change nothing, as those beside the fan, are compared at once."""
        windows, position, dc, limit = self._windows.reshape(-1).data, self._position, self._dc, self._fill(0)
        bits, many, steady = self._bits, self._many_steady, len(self._steady)
        while count:
            began = position
            if began >= limit:
                limit = self._fill(began)
            for component, block, ac in self._blocks:
                start = position
                entry = block[windows[position]]
                if entry:
                    length, passed, difference = entry
                    position += length
                else:
                    position, difference = self._dc_difference(component, position)
                    passed = 1
                while passed < 64:
                    length, more = ac[windows[position]] or self._long(component, position)
                    position += length
                    passed += more
                if passed not in _WHOLE:
                    position = self._one_by_one(component, start)
                dc[component] += difference
            count -= 1
            if position - began == steady:
                while count >= _AT_ONCE and bits.startswith(many, position):
                    position += len(many)
                    count -= _AT_ONCE
        self._position = position

    def _fill(self, position: int) -> int:
        """Have windows for the MCU at `position` and many more; returns the position that is to be asked for next."""
        while position >= self._filled:
            first, size = len(self._bits) >> 3, len(self._windows)
            end = min(first + _PIECE, size)
            some = np.frombuffer(self._data[first : end + 2], np.uint8)
            self._bits += np.unpackbits(some[: end - first]).data
            words = some.astype(np.uint32)
            words = words[:-2] << np.uint32(16) | words[1:-1] << np.uint32(8) | words[2:]
            for offset in range(8):
                self._windows[first:end, offset] = words >> (24 - WINDOW - offset) & ((1 << WINDOW) - 1)
            self._filled = (end - _LONGEST_MCU) << 3 if end < size else size << 3
            if end == size:
                break
        return self._filled

    def _long(self, component: int, position: int) -> tuple[int, int]:
        """One AC code, also one that is longer than the window; as an entry of `ac_steps`."""
        length, symbol = self._code(self._ac[component], position)
        passed = (symbol >> 4) + 1 if symbol & 15 or symbol == 0xF0 else ENDED
        return length + (symbol & 15), passed

    def _one_by_one(self, component: int, position: int) -> int:
        """Pass one block code by code, for it ends with its last coefficient, without a mark; returns its end."""
        position, _ = self._dc_difference(component, position)
        passed = 1
        while passed < 64:
            length, more = self._long(component, position)
            position += length
            passed += more
        return position

    def _dc_difference(self, component: int, position: int) -> tuple[int, int]:
        """(where its bits end, the difference)."""
        length, size = self._code(self._dc_bounds[component], position)
        position += length
        value = self._word(position) >> 24 - (position & 7) - size & (1 << size) - 1
        return position + size, value if not size or value >> size - 1 else value - (1 << size) + 1

    def _code(self, table: tuple[list[int], list[int]], position: int) -> tuple[int, int]:
        begins, known = table
        found = bisect_right(begins, self._word(position) >> 8 - (position & 7) & 0xFFFF) - 1
        if found >= len(known):
            raise Refused(BROKEN)
        return known[found] >> 8, known[found] & 255

    def _word(self, position: int) -> int:
        """The byte that holds this bit and the two behind it."""
        first = position >> 3
        if first + 3 > len(self._data):
            raise Refused(BROKEN)
        return int.from_bytes(self._data[first : first + 3], "big")

    def _black(self, count: int) -> None:
        """Write `count` black MCUs: the first one leads the DC to black, the rest stay there."""
        seen = set()
        for component in self._scan.blocks:
            difference = 0 if component in seen else self._scan.black[component] - self._dc[component]
            seen.add(component)
            self._out += (self._difference(component, difference), self._ends[component])
        self._out.append(self._steady * (count - 1))

    def _rejoin(self) -> int:
        """Copy the first MCU after black ones with new DC differences; returns where plain copying goes on."""
        blocks, copied, seen = self._blocks, self._position, set()
        for block in blocks:
            component, before = block[0], self._position
            after, _ = self._dc_difference(component, before)
            self._blocks = [block]
            self._skip(1)
            if component in seen:
                continue
            seen.add(component)
            self._out.append(self._bits[copied:before])
            self._out.append(self._difference(component, self._dc[component] - self._scan.black[component]))
            copied = after
        self._blocks = blocks
        return copied

    def _difference(self, component: int, value: int) -> bytes:
        size = abs(value).bit_length()
        code = self._codes[component].get(size)
        if code is None:
            raise Unsupported
        extra = value if value >= 0 else value + (1 << size) - 1
        return _written((code[0] << size | extra, code[1] + size))

    def _packed(self, copied: int, is_at_end: bool) -> bytes:
        """The bits written plus those from `copied` on, padded with ones to whole bytes and stuffed."""
        is_walked = self._is_whole or is_at_end
        if is_walked and self._length - self._position >= 8:
            raise Refused(BROKEN)
        end = self._position if is_walked else self._length
        written = np.frombuffer(b"".join(self._out), np.uint8)
        excess = (len(written) + end - copied) % 8
        ones = (1 << excess) - 1
        if not is_walked and excess <= end - copied and self._data[end - 1 >> 3] & ones == ones:
            end -= excess  # the padding of old
        first = min(copied + -len(written) % 8, end)  # from here on what is copied makes whole bytes
        between = np.unpackbits(np.frombuffer(self._data, np.uint8, 2, copied >> 3))[copied & 7 :][: first - copied]
        padding = np.ones(-(len(written) + first - copied) % 8, np.uint8)
        head = np.packbits(np.concatenate((written, between, padding)))
        return (head.tobytes() + _shifted(self._data, first, end)).replace(b"\xff", b"\xff\x00")


def _shifted(data: bytes, start: int, end: int) -> bytes:
    """The bits from `start` to `end` as bytes, the last one padded with ones; `data` has a byte more."""
    size, shift = (end - start + 7) >> 3, start & 7
    some = np.frombuffer(data, np.uint8, size + 1, start >> 3)
    moved = some[:-1] << shift | some[1:] >> (8 - shift)
    if size:
        moved[-1] |= 0xFF >> ((end - start - 1) % 8 + 1)
    return moved.tobytes()


def _written(code: tuple[int, int]) -> bytes:
    """The bits of (value, length), one byte a bit."""
    return f"{code[0]:0{code[1]}b}".encode().translate(_BIT)


def snapped_flags(
    rects: Sequence[tuple[int, int, int, int]], rows: int, columns: int, height: int, width: int
) -> NDArray[np.bool_]:
    """One flag for each of `rows` x `columns` units of `height` x `width` pixels that a rectangle x0 y0 x1 y1 touches."""
    flags = np.zeros((rows, columns), np.bool_)
    for x0, y0, x1, y1 in rects:
        flags[y0 // height : -(-y1 // height), x0 // width : -(-x1 // width)] = True
    return flags
