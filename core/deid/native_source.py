"""Walks the Huffman code of one JPEG restart interval and blackens MCUs in it, and writes that of lossless JPEG (T.81 annexes F, H).

Plain functions that `core.deid.native_build` turns into machine code; they know nothing but this file, numbers and arrays."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

BROKEN, MISSING = -1, -2
WINDOW: Final = 13  # bits looked up at once: several codes, and still a table that fits the processor's nearest cache
ENDED: Final = 128
AHEAD: Final = 16  # bytes behind the coded data that the walk may look at
ROOM: Final = 10  # bytes, at most, that a black block and the new difference behind it take
_WORD: Final = 64  # bits: more than is put at once
_ENTRY: Final = 8  # an entry is the length of a code << 8 | its symbol
_STEP, _MOST = 5, 31  # a step is the coefficients passed << 5 | the bits taken
_ZEROS: Final = 0xF0  # sixteen zeros, the only symbol without a value behind which the block goes on

Bytes = NDArray[np.uint8]
Tables = NDArray[np.uint16]
Numbers = NDArray[np.int64]


def bits_at(data: Bytes, position: int) -> np.uint64:
    """The bits from `position` on at the top of a word: at least 57, those behind them zero."""
    first, word = np.uint64(position >> 3), np.uint64(0)
    for index in range(8):
        word = word << np.uint64(8) | np.uint64(data[first + np.uint64(index)])
    return word << np.uint64(position & 7)


def look(data: Bytes, position: int, count: int) -> int:
    """The next `count` bits, at most 31."""
    return np.int64(bits_at(data, position) >> np.uint64(33)) >> (31 - count)


def put(out: Bytes, at: int, value: int, count: int) -> int:
    """Write `count` bits from bit `at` on; returns where they end."""
    while count > 0:
        room = 8 - (at & 7)
        some = min(room, count)
        out[at >> 3] |= np.uint8(((value >> (count - some)) & ((1 << some) - 1)) << (room - some))
        at += some
        count -= some
    return at


def copy(data: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Copy the bits from `start` to `end` behind bit `at`; returns where they end."""
    some = min(-at & 7, end - start)
    at = put(out, at, look(data, start, some), some)
    start += some
    whole, shift, first, to = (end - start) >> 3, start & 7, start >> 3, at >> 3
    for index in range(whole):
        pair = np.int64(data[first + index]) << 8 | np.int64(data[first + index + 1])
        out[to + index] = np.uint8((pair >> (8 - shift)) & 255)
    start += whole << 3
    return put(out, at + (whole << 3), look(data, start, end - start), end - start)


def put_difference(out: Bytes, at: int, value: int, codes: Numbers) -> int:
    """Write a DC difference; returns where it ends, -1 where the table has no code for its size."""
    size, rest = 0, abs(value)
    while rest:
        rest >>= 1
        size += 1
    if size >= len(codes) or not codes[size, 1]:
        return -1
    at = put(out, at, codes[size, 0], codes[size, 1])
    return put(out, at, value if value >= 0 else value + (1 << size) - 1, size)


def dc(data: Bytes, position: int, table: Tables) -> tuple[int, int]:
    """(where it ends, the difference) of the DC code here; the end is -1 where there is none."""
    entry = np.int64(table[look(data, position, 16)])
    size = entry & 255
    if not entry:
        return -1, 0
    position += entry >> _ENTRY
    value = look(data, position, size)
    return position + size, value if not size or value >> (size - 1) else value - (1 << size) + 1


def join(table: Tables, steps: Tables) -> int:
    """Fill `steps`: for WINDOW bits how many bits the AC codes in them and their values take, at most 31, and << 5 how many
    coefficients they pass, ENDED more at the end of a block; 0 where the first code is longer or unknown."""
    for pattern in range(len(steps)):
        bits, passed = 0, 0
        while passed < ENDED:
            entry = np.int64(table[(pattern << (16 - WINDOW + bits)) & 0xFFFF])
            length, size = entry >> _ENTRY, entry & 15
            if not entry or bits + length > WINDOW or bits + length + size > _MOST or passed >= 64:
                break
            bits += length + size
            passed += ENDED if not size and entry & 255 != _ZEROS else ((entry >> 4) & 15) + 1
            if bits >= WINDOW:
                break
        steps[pattern] = passed << _STEP | bits
    return 0


def ac(data: Bytes, position: int, length: int, table: Tables, steps: Tables) -> int:
    """Where the AC codes of the block end; -1 where they are broken. Codes are taken some at a time."""
    passed, begin = 1, position
    while passed < 64:
        word, left = bits_at(data, position), 57
        while left > _MOST and passed < 64:
            step = np.int64(steps[word >> np.uint64(64 - WINDOW)])
            if not step:
                return ac_singly(data, begin, length, table)
            bits = step & _MOST
            word, passed = word << np.uint64(bits), passed + (step >> _STEP)
            left, position = left - bits, position + bits
        if position > length:
            return -1
    is_whole = passed == 64 or ENDED < passed < ENDED + 64
    return position if is_whole else ac_singly(data, begin, length, table)  # it took codes of the next block too


def ac_singly(data: Bytes, position: int, length: int, table: Tables) -> int:
    """As `ac`, code by code."""
    passed = 1
    while passed < 64:
        entry = np.int64(table[look(data, position, 16)]) if position <= length else 0
        if not entry:
            return -1
        size = entry & 15
        position += (entry >> _ENTRY) + size
        if not size and entry & 255 != _ZEROS:
            break
        passed += ((entry >> 4) & 15) + 1
    return position


def walk(
    data: Bytes, length: int, masked: NDArray[np.bool_], blocks: Numbers, dc_tables: Tables, ac_tables: Tables,
    steps: Tables, black: Numbers, codes: Numbers, ends: Numbers, predictions: Numbers, out: Bytes,
) -> int:  # fmt: skip
    """Bits written into `out`, BROKEN or MISSING, of `length` bits of `data`, which goes on for AHEAD bytes.

    `masked`: one flag an MCU; `blocks`: the component of each block of an MCU. Per component: `dc_tables`, `ac_tables`
    (an entry for any 16 bits), `steps` (of `join`), the `black` DC value, `codes` ((code, length) of each size of a difference), `ends`
    ((code, length) of the end of a block) and two `predictions`, of what is read and written, zeros. `out`: zeros."""
    position, at, copied, most = 0, 0, 0, 8 * len(out) - _WORD
    for mcu in range(len(masked)):
        for one in blocks:
            begin, is_black = position, masked[mcu]
            values, difference = dc(data, begin, dc_tables[one]) if begin <= length else (-1, 0)
            position = ac(data, values, length, ac_tables[one], steps[one]) if values >= 0 else -1
            if position < 0 or at + position - copied > most:
                return BROKEN
            is_same = predictions[0, one] == predictions[1, one]
            predictions[0, one] += difference
            if is_same and not is_black:
                predictions[1, one] = predictions[0, one]
                continue
            wanted = black[one] if is_black else predictions[0, one]
            at = put_difference(out, copy(data, copied, begin, out, at), wanted - predictions[1, one], codes[one])
            if at < 0:
                return MISSING
            if is_black:
                at = put(out, at, ends[one, 0], ends[one, 1])
            predictions[1, one], copied = wanted, position if is_black else values
    if position > length or length - position >= 8 or at + position - copied > most:
        return BROKEN
    return copy(data, copied, position, out, at)


def count(differences: Tables, sizes: Bytes, counts: Numbers) -> int:
    """Add to `counts` how many differences there are of each of the `sizes` that they have."""
    for one in differences:
        counts[sizes[one]] += 1
    return 0


def pack(differences: Tables, coded: Numbers, out: Bytes) -> int:
    """Write for every difference what `coded` has for it, bits << 5 | their number, at most 31; returns the bytes they take.

    The last byte is filled with ones. `out` is 8 bytes longer than the bits; -1 where it is not."""
    word, held, at = np.uint64(0), 0, 0
    for one in differences:
        entry = coded[one]
        length = entry & 31
        word = word << np.uint64(length) | np.uint64(entry >> 5)
        held += length
        if held >= 32:
            if at + 8 > len(out):
                return BROKEN
            held -= 32
            some = np.int64((word >> np.uint64(held)) & np.uint64(0xFFFFFFFF))
            for shift in (24, 16, 8, 0):
                out[at] = np.uint8((some >> shift) & 255)
                at += 1
    if at + 8 > len(out):
        return BROKEN
    while held > 0:
        ones = max(8 - held, 0)
        last = np.int64(word & np.uint64(0xFFFFFFFF)) & ((1 << held) - 1)
        out[at] = np.uint8(((last << ones | (1 << ones) - 1) >> max(held - 8, 0)) & 255)
        held -= 8
        at += 1
    return at
