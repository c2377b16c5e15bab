"""Huffman tables of a sequential JPEG: lookup, codes, and room for symbols that the encoder left out (T.81 annexes C, F)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from core.deid.jpeg_segments import BROKEN, Unsupported
from core.errors import Refused

EOB: Final = 0x00


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


def _spread(table: Table, values: dict[int, int]) -> list[int]:
    """65,536 entries: the value of the symbol whose code begins those 16 bits, 0 where there is none."""
    found = np.zeros(1 << 16, np.int32)
    code, index = 0, 0
    for length, count in enumerate(table.counts, 1):
        for symbol in table.symbols[index : index + count]:
            if code >> length:
                raise Refused(BROKEN)
            found[code << (16 - length) : (code + 1) << (16 - length)] = values[symbol] + length
            code += 1
        index += count
        code <<= 1
    values_by_bits: list[int] = found.tolist()
    return values_by_bits


@lru_cache(maxsize=64)
def dc_lookup(table: Table) -> list[int]:
    """The next 16 bits -> length of the code + 32 x size of the difference that follows."""
    if any(symbol > 11 for symbol in table.symbols):
        raise Unsupported
    return _spread(table, {symbol: symbol << 5 for symbol in table.symbols})


@lru_cache(maxsize=64)
def ac_lookup(table: Table) -> list[int]:
    """The next 16 bits -> bits to skip (code and value, fewer than 64) + 64 x coefficients passed (64: the block ends)."""
    values: dict[int, int] = {}
    for symbol in table.symbols:
        run, size = symbol >> 4, symbol & 15
        passed = run + 1 if size else 16 if run == 15 else 64
        values[symbol] = size | passed << 6
    return _spread(table, values)


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
