"""Blackens whole MCUs in the coded data of one JPEG scan; the bits of every other block are copied (T.81 annex F)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.deid.jpeg_huffman import EOB, Table, ac_lookup, codes, dc_lookup
from core.deid.jpeg_segments import BROKEN, Unsupported
from core.errors import Refused

Bits = NDArray[np.uint8]
_RESTARTS: Final = range(0xD0, 0xD8)


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
    """One restart interval: a position in bits and the DC prediction of each component."""

    def __init__(self, entropy: bytes, scan: Scan, is_whole: bool) -> None:
        data = entropy.replace(b"\xff\x00", b"\xff")
        self._scan, self._is_whole = scan, is_whole
        self._bits: Bits = np.unpackbits(np.frombuffer(data, np.uint8))
        padded = np.frombuffer(data + b"\xff" * 8, np.uint8).astype(np.int64)
        self._words: list[int] = (padded[:-3] << 24 | padded[1:-2] << 16 | padded[2:-1] << 8 | padded[3:]).tolist()
        self._blocks = [(index, dc_lookup(scan.dc[index]), ac_lookup(scan.ac[index])) for index in scan.blocks]
        self._position = 0
        self._dc = [0] * len(scan.dc)
        self._out: list[Bits] = []

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
        if self._position > len(self._bits):
            raise Refused(BROKEN)
        return self._packed(copied, mcu == len(flags))

    def _skip(self, count: int) -> None:
        """Pass `count` MCUs."""
        words, position, dc = self._words, self._position, self._dc
        for _ in range(count):
            for component, dc_table, ac_table in self._blocks:
                entry = dc_table[words[position >> 3] >> 16 - (position & 7) & 0xFFFF]
                if not entry:
                    raise Refused(BROKEN)
                position += entry & 31
                size = entry >> 5
                if size:
                    value = words[position >> 3] >> 32 - (position & 7) - size & (1 << size) - 1
                    dc[component] += value if value >> size - 1 else value - (1 << size) + 1
                    position += size
                passed = 1
                while passed < 64:
                    entry = ac_table[words[position >> 3] >> 16 - (position & 7) & 0xFFFF]
                    if not entry:
                        raise Refused(BROKEN)
                    position += entry & 63
                    passed += entry >> 6
        self._position = position

    def _black(self, count: int) -> None:
        """Write `count` black MCUs: the first one leads the DC to black, the rest stay there."""
        first, steady, seen = "", "", set()
        for component in self._scan.blocks:
            end = _written(codes(self._scan.ac[component])[EOB])
            difference = 0 if component in seen else self._scan.black[component] - self._dc[component]
            seen.add(component)
            first += self._difference(component, difference) + end
            steady += self._difference(component, 0) + end
        self._out.append(_bits(first))
        if count > 1:
            self._out.append(np.tile(_bits(steady), count - 1))

    def _rejoin(self) -> int:
        """Copy the first MCU after black ones with new DC differences; returns where plain copying goes on."""
        blocks, copied, seen = self._blocks, self._position, set()
        for block in blocks:
            component = block[0]
            before = self._position
            entry = block[1][self._words[before >> 3] >> 16 - (before & 7) & 0xFFFF]
            self._blocks = [block]
            self._skip(1)
            if component in seen:
                continue
            seen.add(component)
            after = before + (entry & 31) + (entry >> 5)
            self._out.append(self._bits[copied:before])
            self._out.append(_bits(self._difference(component, self._dc[component] - self._scan.black[component])))
            copied = after
        self._blocks = blocks
        return copied

    def _difference(self, component: int, value: int) -> str:
        size = abs(value).bit_length()
        code = codes(self._scan.dc[component]).get(size)
        if code is None:
            raise Unsupported
        extra = value if value >= 0 else value + (1 << size) - 1
        return _written(code) + (f"{extra:0{size}b}" if size else "")

    def _packed(self, copied: int, is_at_end: bool) -> bytes:
        """The bits written plus those from `copied` on, padded with ones to whole bytes and stuffed."""
        tail = self._bits[copied:]
        if self._is_whole or is_at_end:
            tail = self._bits[copied : self._position]
            if len(self._bits) - self._position >= 8:
                raise Refused(BROKEN)
        bits = np.concatenate([*self._out, tail])
        excess = len(bits) % 8
        if excess and not self._is_whole and not is_at_end and tail[-excess:].all():
            bits = bits[:-excess]
        bits = np.concatenate([bits, np.ones(-len(bits) % 8, np.uint8)])
        return np.packbits(bits).tobytes().replace(b"\xff", b"\xff\x00")


def _written(code: tuple[int, int]) -> str:
    return f"{code[0]:0{code[1]}b}"


def _bits(text: str) -> Bits:
    return np.frombuffer(text.encode(), np.uint8) - 48


def snapped_flags(
    rects: Sequence[tuple[int, int, int, int]], rows: int, columns: int, height: int, width: int
) -> NDArray[np.bool_]:
    """One flag for each of `rows` x `columns` units of `height` x `width` pixels that a rectangle x0 y0 x1 y1 touches."""
    flags = np.zeros((rows, columns), np.bool_)
    for x0, y0, x1, y1 in rects:
        flags[y0 // height : -(-y1 // height), x0 // width : -(-x1 // width)] = True
    return flags
