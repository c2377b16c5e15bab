"""Huffman tables of a sequential JPEG: lookup, codes, and room for symbols that the encoder left out (T.81 annexes C, F)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.deid.jpeg_segments import BROKEN, Unsupported
from core.errors import Refused

EOB: Final = 0x00
WINDOW: Final = 13  # bits looked up at once: several codes, and still a table that fits the processor's cache
ENDED: Final = 128
Numbers = NDArray[np.int32]


@dataclass(frozen=True)
class Table:
    """`counts`: codes of each length 1 to 16; `symbols` in code order."""

    counts: tuple[int, ...]
    symbols: tuple[int, ...]

    @property
    def stored(self) -> bytes:
        return bytes(self.counts) + bytes(self.symbols)


def read_tables(payload: bytes) -> dict[int, Table]:
    """The tables of one DHT segment by class and destination (0x00 first DC, 0x10 first AC)."""
    found: dict[int, Table] = {}
    position = 0
    while position < len(payload):
        counts = tuple(payload[position + 1 : position + 17])
        end = position + 17 + sum(counts)
        if len(counts) != 16 or end > len(payload):
            raise Refused(BROKEN)
        found[payload[position]] = Table(counts, tuple(payload[position + 17 : end]))
        position = end
    return found


@lru_cache(maxsize=64)
def codes(table: Table) -> dict[int, tuple[int, int]]:
    """symbol -> (code, length in bits)."""
    found: dict[int, tuple[int, int]] = {}
    code, index = 0, 0
    for length, count in enumerate(table.counts, 1):
        for symbol in table.symbols[index : index + count]:
            if code >> length:
                raise Refused(BROKEN)
            found.setdefault(symbol, (code, length))
            code += 1
        index += count
        code <<= 1
    return found


@lru_cache(maxsize=64)
def bounds(table: Table) -> tuple[list[int], list[int]]:
    """(where each code begins among all 16-bit patterns, ascending and closed by the first pattern without a code,
    length << 8 | symbol of each code)."""
    begins, known = [0], []
    code, index = 0, 0
    for length, count in enumerate(table.counts, 1):
        for symbol in table.symbols[index : index + count]:
            if code >> length:
                raise Refused(BROKEN)
            code += 1
            begins.append(code << (16 - length))
            known.append(length << 8 | symbol)
        index += count
        code <<= 1
    return begins, known


def _short_codes(table: Table) -> tuple[Numbers, Numbers]:
    """For every pattern of WINDOW bits the length and the symbol of the code that it begins with; 0, 0 for a longer one."""
    lengths, symbols = np.zeros(1 << WINDOW, np.int32), np.zeros(1 << WINDOW, np.int32)
    begins, known = bounds(table)
    for begin, end, one in zip(begins, begins[1:], known, strict=False):
        if one >> 8 <= WINDOW:
            where = slice(begin >> (16 - WINDOW), end >> (16 - WINDOW))
            lengths[where], symbols[where] = one >> 8, one & 255
    return lengths, symbols


def _with_ac(bits: Numbers, passed: Numbers, table: Table) -> None:
    """Add to each pattern's steps the AC codes that follow and lie in the window too; their values may reach beyond it."""
    lengths, symbols = _short_codes(table)
    sizes = symbols & 15
    steps = np.where(sizes > 0, (symbols >> 4) + 1, np.where(symbols == 0xF0, 16, ENDED))
    patterns = np.arange(1 << WINDOW)
    for _ in range(WINDOW):
        following = patterns << np.minimum(bits, WINDOW) & (1 << WINDOW) - 1
        more = lengths[following]
        fits = (passed < 64) & (more > 0) & (bits + more <= WINDOW) & (bits >= 0)
        if not fits.any():
            return
        bits += np.where(fits, more + sizes[following], 0)
        passed += np.where(fits, steps[following], 0)


@lru_cache(maxsize=64)
def ac_steps(table: Table) -> list[tuple[int, int] | None]:
    """The next WINDOW bits -> (bits to skip, coefficients passed and ENDED at the end of the block); None: look closer."""
    bits, passed = np.zeros(1 << WINDOW, np.int32), np.zeros(1 << WINDOW, np.int32)
    _with_ac(bits, passed, table)
    shared: dict[tuple[int, int], tuple[int, int]] = {}
    steps = zip(bits.tolist(), passed.tolist(), strict=True)
    return [shared.setdefault(step, step) if step[0] else None for step in steps]


@lru_cache(maxsize=64)
def block_steps(dc: Table, ac: Table) -> list[tuple[int, int, int] | None]:
    """As `ac_steps` from the beginning of a block, and the DC difference; the DC counts as passed."""
    if any(symbol > 11 for symbol in dc.symbols):
        raise Unsupported
    lengths, sizes = _short_codes(dc)
    bits = lengths + sizes
    is_known = (lengths > 0) & (bits <= WINDOW)
    values = np.arange(1 << WINDOW) >> np.where(is_known, WINDOW - bits, 0) & (1 << sizes) - 1
    values = np.where((sizes > 0) & (values >> np.maximum(sizes - 1, 0) == 0), values - (1 << sizes) + 1, values)
    bits = np.where(is_known, bits, -1).astype(np.int32)
    passed = np.ones_like(bits)
    _with_ac(bits, passed, ac)
    shared: dict[tuple[int, int, int], tuple[int, int, int]] = {}
    steps = zip(bits.tolist(), passed.tolist(), values.tolist(), strict=True)
    return [shared.setdefault(step, step) if step[0] > 0 else None for step in steps]


def extended(table: Table, needed: range | tuple[int, ...]) -> Table:
    """The table with the needed symbols; those it lacks get longer codes, so that every existing code stays.

    One code, all ones, stays free as T.81 wants. Raises Unsupported when there is no room."""
    missing = [symbol for symbol in needed if symbol not in table.symbols]
    if not missing:
        return table
    counts = list(table.counts)
    free = (1 << 16) - sum(count << (16 - length) for length, count in enumerate(counts, 1))
    length = max((length for length, count in enumerate(counts, 1) if count), default=1)
    for _ in missing:
        while length <= 16 and free - (1 << (16 - length)) < 1:
            length += 1
        if length > 16:
            raise Unsupported
        counts[length - 1] += 1
        free -= 1 << (16 - length)
    return Table(tuple(counts), table.symbols + tuple(missing))
