"""Encodes samples as lossless JPEG with first-order prediction, the form of 1.2.840.10008.1.2.4.70 (ITU-T T.81 annex H)."""

import heapq
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.deid import native
from core.deid.jpeg_huffman import Table, codes
from core.deid.jpeg_segments import DHT, EOI, SOI, SOS, Segment
from core.errors import Held

Samples = NDArray[np.uint8] | NDArray[np.uint16]
_SOF3: Final = 0xC3
_LONGEST: Final = 16
_LEFT: Final = 1  # predictor 1: the sample to the left


def encode(samples: Samples, bits: int) -> bytes:
    """(H, W) or (H, W, 3) samples of `bits` (2 to 16) as one interleaved scan with a Huffman table of its own.

    The stream holds SOF3, DHT and SOS and nothing else."""
    rows, columns = samples.shape[:2]
    count = samples.shape[2] if samples.ndim == 3 else 1
    differences = _differences(samples.reshape(rows, columns, count), bits)
    counts = np.zeros(17, np.int64)
    native.call("jpeg_count", differences, len(differences), _SIZES, counts)
    table = _table(counts.tolist())
    components = [bytes((number + 1, 0x11, 0)) for number in range(count)]
    header = struct.pack(">BHHB", bits, rows, columns, count) + b"".join(components)
    chosen = bytes((count,)) + b"".join(bytes((number + 1, 0)) for number in range(count)) + bytes((_LEFT, 0, 0))
    parts = [
        Segment(_SOF3, header),
        Segment(DHT, b"\0" + table.stored),
        Segment(SOS, chosen, _coded(differences, counts, table)),
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


def _table(counts: list[int]) -> Table:
    """A Huffman table for categories that are so frequent, no code longer than 16 bits and none of ones only (T.81 annex K.2)."""
    symbols = [size for size, count in enumerate(counts) if count]
    # one more leaf, the rarest, gets the code of ones that must stay free
    heap: list[tuple[int, int, list[int]]] = [(0, -1, [-1]), *((counts[one], one, [one]) for one in symbols)]
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


def _coded(differences: NDArray[np.uint16], counts: NDArray[np.int64], table: Table) -> bytes:
    """Code and value of every difference, one behind the other, padded with ones and stuffed."""
    known = codes(table)
    bits = sum(int(counts[size]) * (length + size % 16) for size, (_, length) in known.items())
    out = np.empty((bits >> 3) + 9, np.uint8)
    size = native.call("jpeg_pack", differences, len(differences), _per_difference(known), out, len(out))
    if size < 0:
        raise Held("The masked image cannot be stored without loss.")
    return out[:size].tobytes().replace(b"\xff", b"\xff\x00")


def _per_difference(known: dict[int, tuple[int, int]]) -> NDArray[np.int64]:
    """For each difference modulo 2^16 the bits of code and value << 5 | their number, at most 31."""
    coded = np.zeros(1 << 16, np.int64)
    for size, (code, length) in known.items():
        own = np.flatnonzero(size == _SIZES)
        extra = size % 16
        low = np.where(own < 0x8000, own, own + (1 << size) - 1 - (1 << 16)) if extra else np.zeros_like(own)
        coded[own] = (code << extra | low) << 5 | length + extra
    return coded
