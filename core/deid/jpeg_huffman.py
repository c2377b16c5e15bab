"""Huffman tables of a sequential JPEG: lookup, codes, and room for symbols that the encoder left out (T.81 annexes C, F)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

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
    for symbol, code, length in _all_codes(table):
        found.setdefault(symbol, (code, length))
    return found


def _all_codes(table: Table) -> Iterator[tuple[int, int, int]]:
    """(symbol, code, length in bits), the codes ascending; raises Refused when there are more than fit."""
    code, index = 0, 0
    for length, count in enumerate(table.counts, 1):
        for symbol in table.symbols[index : index + count]:
            if code >> length:
                raise Refused(BROKEN)
            yield symbol, code, length
            code += 1
        index += count
        code <<= 1


@lru_cache(maxsize=64)
def lookup(table: Table) -> NDArray[np.uint16]:
    """For any 16 bits the code that they begin with: its length << 8 | its symbol, 0 where there is none."""
    found = np.zeros(1 << 16, np.uint16)
    for symbol, code, length in _all_codes(table):
        found[code << (16 - length) : (code + 1) << (16 - length)] = length << 8 | symbol
    return found


def dc_codes(table: Table) -> NDArray[np.int64]:
    """(12, 2): (code, length in bits) of each size of a DC difference, length 0 where the table lacks it."""
    known = codes(table)
    return np.array([known.get(size, (0, 0)) for size in range(12)], np.int64)


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
