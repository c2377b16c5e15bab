"""Encodes samples as lossless JPEG with first-order prediction, the form of 1.2.840.10008.1.2.4.70 (ITU-T T.81 annex H)."""

import heapq
import struct
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.deid.jpeg_huffman import Table, codes
from core.deid.jpeg_segments import DHT, EOI, SOI, SOS, Segment

Samples = NDArray[np.uint8] | NDArray[np.uint16]
_Pairs = Callable[[NDArray[np.uint16]], tuple[NDArray[np.uint64], NDArray[np.uint8]]]
_SOF3: Final = 0xC3
_LONGEST: Final = 16
_AT_ONCE: Final = 1 << 16  # even; small enough that what is made of them stays in the processor's cache
_MANY: Final = 1 << 19
_LEFT: Final = 1  # predictor 1: the sample to the left


def encode(samples: Samples, bits: int) -> bytes:
    """(H, W) or (H, W, 3) samples of `bits` (2 to 16) as one interleaved scan with a Huffman table of its own.

    The stream holds SOF3, DHT and SOS and nothing else."""
    rows, columns = samples.shape[:2]
    count = samples.shape[2] if samples.ndim == 3 else 1
    differences = _differences(samples.reshape(rows, columns, count), bits)
    counts = np.bincount(differences, minlength=1 << 16)
    table = _table(np.bincount(_SIZES, counts, 17).tolist())
    components = [bytes((number + 1, 0x11, 0)) for number in range(count)]
    header = struct.pack(">BHHB", bits, rows, columns, count) + b"".join(components)
    chosen = bytes((count,)) + b"".join(bytes((number + 1, 0)) for number in range(count)) + bytes((_LEFT, 0, 0))
    parts = [
        Segment(_SOF3, header),
        Segment(DHT, b"\0" + table.stored),
        Segment(SOS, chosen, _coded(differences, counts, table, bits)),
    ]
    return b"".join([SOI, *(part.stored for part in parts), EOI])


def _sizes() -> NDArray[np.uint8]:
    """The category of each difference modulo 2^16: how many bits its value takes (T.81 table H.2)."""
    signed = np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int32)
    sizes: NDArray[np.uint8] = np.ceil(np.log2(np.abs(signed) + 1)).astype(np.uint8)
    sizes[0x8000] = 16  # it has no further bits
    return sizes


_SIZES: Final = _sizes()


def _differences(samples: Samples, bits: int) -> NDArray[np.uint16]:
    """Each sample less its prediction modulo 2^16, in scan order; a row begins from the sample above (T.81 H.1.2.1)."""
    wide = samples.astype(np.uint16)
    differences = wide.copy()
    differences[:, 1:] -= wide[:, :-1]
    differences[1:, 0] -= wide[:-1, 0]
    differences[0, 0] -= np.uint16(1 << (bits - 1))
    return differences.ravel()


def _table(counts: list[float]) -> Table:
    """A Huffman table for categories that are so frequent, no code longer than 16 bits and none of ones only (T.81 annex K.2)."""
    symbols = [size for size, count in enumerate(counts) if count]
    # one more leaf, the rarest, gets the code of ones that must stay free
    heap: list[tuple[int, int, list[int]]] = [(0, -1, [-1]), *((int(counts[one]), one, [one]) for one in symbols)]
    heapq.heapify(heap)
    depth = dict.fromkeys([-1, *symbols], 0)
    while len(heap) > 1:
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        for leaf in first[2] + second[2]:
            depth[leaf] += 1
        heapq.heappush(heap, (first[0] + second[0], min(first[1], second[1]), first[2] + second[2]))
    lengths = [0] * 33
    for leaf in depth.values():
        lengths[leaf] += 1
    for length in range(32, _LONGEST, -1):
        while lengths[length]:  # T.81 figure K.3
            shorter = next(one for one in range(length - 2, 0, -1) if lengths[one])
            lengths[length] -= 2
            lengths[length - 1] += 1
            lengths[shorter + 1] += 2
            lengths[shorter] -= 1
    longest = max(length for length in range(_LONGEST + 1) if lengths[length])
    lengths[longest] -= 1
    order = sorted(symbols, key=lambda one: (depth[one], one))
    return Table(tuple(lengths[1 : _LONGEST + 1]), tuple(order))


def _coded(differences: NDArray[np.uint16], counts: NDArray[np.intp], table: Table, bits: int) -> bytes:
    """Code and value of every difference, one behind the other, padded with ones and stuffed."""
    values, lengths = _per_difference(table)
    total = int(counts @ lengths.astype(np.int64))
    out, position = np.zeros((total >> 6) + 2, np.uint64), 0
    pairs = (_doubly if bits <= 8 and len(differences) > _MANY else _singly)(values, lengths)
    if len(differences) % 2:
        differences = np.append(differences, np.uint16(0))  # falls behind the end, where it is padded over
    for start in range(0, len(differences), _AT_ONCE):
        position = _pack(out, position, *pairs(differences[start : start + _AT_ONCE]))
    data = bytearray(out.astype(">u8").tobytes()[: -(-total // 8)])
    if total % 8:
        data[-1] |= (1 << (8 - total % 8)) - 1
    return bytes(data).replace(b"\xff", b"\xff\x00")


def _per_difference(table: Table) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """For each difference modulo 2^16 its bits and how many they are, at most 31."""
    values, lengths = np.zeros(1 << 16, np.uint32), np.zeros(1 << 16, np.uint8)
    for size, (code, length) in codes(table).items():
        own = np.flatnonzero(size == _SIZES)
        extra = size % 16
        low = np.where(own < 0x8000, own, own + (1 << size) - 1 - (1 << 16)) if extra else np.zeros_like(own)
        values[own], lengths[own] = code << extra | low, length + extra
    return values, lengths


def _singly(values: NDArray[np.uint32], lengths: NDArray[np.uint8]) -> _Pairs:
    """The bits of two differences as one number, and how many they are: from the table of one difference."""

    def pairs(some: NDArray[np.uint16]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
        first, second = some[::2], some[1::2]
        return values[first].astype(np.uint64) << lengths[second] | values[second], lengths[first] + lengths[second]

    return pairs


def _doubly(values: NDArray[np.uint32], lengths: NDArray[np.uint8]) -> _Pairs:
    """As `_singly`, from a table of every two differences of samples of 8 bits; it pays for itself in a large image."""
    numbers = np.arange(512)
    own = np.where(numbers < 256, numbers, numbers - 512).astype(np.int16).view(np.uint16)
    bits, sizes = values[own], lengths[own]
    both, lengths_of_both = (bits[:, None].astype(np.uint64) << sizes | bits).ravel(), (sizes[:, None] + sizes).ravel()

    def pairs(some: NDArray[np.uint16]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
        number = (some[::2] & 511).astype(np.intp) << 9 | some[1::2] & 511
        return both.take(number), lengths_of_both.take(number)

    return pairs


def _pack(out: NDArray[np.uint64], position: int, pairs: NDArray[np.uint64], sizes: NDArray[np.uint8]) -> int:
    """Put the low bits of the pairs into `out` from bit `position` on; returns where they end."""
    ends = np.cumsum(sizes, dtype=np.int64) + position
    starts = ends - sizes
    words = starts >> 6
    room = 64 - (starts & 63).astype(np.int8) - sizes.astype(np.int8)  # negative: the rest goes into the next word
    spilt = np.flatnonzero(room < 0)
    over = -room[spilt].astype(np.int64)
    here = pairs << np.maximum(room, 0).view(np.uint8)
    here[spilt] = pairs[spilt] >> over.astype(np.uint64)
    firsts = np.flatnonzero(np.diff(words, prepend=-1))
    out[words[firsts]] |= np.bitwise_or.reduceat(here, firsts)
    out[words[spilt] + 1] |= pairs[spilt] << (64 - over).astype(np.uint64)
    return int(ends[-1])
