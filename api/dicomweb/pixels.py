"""Frames of a stored instance: as they are stored, uncompressed, or as a picture; decoding happens in the sandbox only."""

from array import array
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from core.dicom.codestream import DCT, H264, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, RLE
from core.dicom.display import palette_of
from core.dicom.guard import DEFLATED, NATIVE, encoding_of
from core.dicom.part10 import frame_bytes, open_part10
from core.dicom.pixel_format import PixelFormat
from core.errors import NotFound
from core.node import Node
from core.queries.archive import Stored
from core.store import PIECE, Store

DECODABLE: Final = frozenset({*NATIVE, RLE, *DCT, *JPEG_LOSSLESS, *JPEG_LS, *JPEG_2000, *H264})
_DTYPES: Final = {(8, 0): "u1", (8, 1): "i1", (16, 0): "<u2", (16, 1): "<i2"}


class BlobFile:
    """A blob as a file that can be sought; a piece of 1 MiB is held."""

    def __init__(self, store: Store, sha256: str, size: int) -> None:
        self._store, self._sha256, self._size = store, sha256, size
        self._at = self._from = 0
        self._held = b""

    def seek(self, offset: int, /) -> int:
        self._at = offset
        return offset

    def read(self, size: int, /) -> bytes:
        start = self._at - self._from
        if not 0 <= start < len(self._held):
            length = min(max(size, PIECE), self._size - self._at)
            if length <= 0:
                return b""
            self._held = b"".join(self._store.pieces(self._sha256, self._at, length))
            self._from, start = self._at, 0
        found = self._held[start : start + size]
        self._at += len(found)
        return found


def blob_file(node: Node, stored: Stored) -> BlobFile:
    return BlobFile(node.store, stored.sha256, stored.size)


def check_frame(stored: Stored, index: int) -> None:
    """Raises NotFound for a frame (from 0) that the instance does not have, and for an instance without frames."""
    if not stored.pixel or not 0 <= index < len(stored.ranges):
        raise NotFound("The instance has no such frame.")


def frame_size(stored: Stored, index: int) -> int:
    return sum(length for _, length in stored.ranges[index])


def stored_frame(node: Node, stored: Stored, index: int) -> Iterator[bytes]:
    """Frame `index` (from 0) as it is stored, its fragments joined; of the file only these ranges are read.

    8-bit samples come in their own order even where the file keeps them in big-endian words."""
    if stored.transfer_syntax == DEFLATED or stored.are_words_swapped:
        file = blob_file(node, stored)
        yield frame_bytes(file, open_part10(file, stored.size), index)
        return
    for offset, length in stored.ranges[index]:
        yield from node.store.pieces(stored.sha256, offset, length)


def plain_frame(node: Node, stored: Stored, index: int) -> bytes:
    """The samples of frame `index` (from 0) without compression, little endian (PS3.5 section A.2).

    A native frame keeps its colour space and plane order; of a compressed one they are what `decoded_format` says."""
    fmt, data = stored.format, b"".join(stored_frame(node, stored, index))
    if stored.transfer_syntax not in NATIVE:
        head, blobs = node.sandbox.call("core.dicom.frames:sandboxed_decode", {"fmt": asdict(fmt)}, [data])
        wanted = _DTYPES[fmt.bits_allocated, fmt.pixel_representation]
        samples = np.frombuffer(blobs[0], np.dtype(str(head["dtype"])).newbyteorder("<"))
        return samples.astype(wanted, copy=False).tobytes()
    if fmt.bits_allocated == 16 and not encoding_of(stored.transfer_syntax)[1]:
        words = array("H", data)
        words.byteswap()
        return words.tobytes()
    return data


def plain_size(fmt: PixelFormat) -> int:
    """Length of what `plain_frame` gives."""
    if fmt.transfer_syntax in NATIVE:
        return fmt.frame_bytes
    return fmt.rows * fmt.columns * fmt.samples * fmt.bits_allocated // 8


def picture(node: Node, stored: Stored, index: int, options: dict[str, Any]) -> bytes:
    """Frame `index` (from 0) as JPEG or PNG; `options` as in core.dicom.frames.sandboxed_render. Raises Refused."""
    fmt = stored.format
    params = {"fmt": asdict(fmt), "window": stored.window, **options}
    blobs = [b"".join(stored_frame(node, stored, index))]
    if fmt.photometric == "PALETTE COLOR":
        file = blob_file(node, stored)
        palette = palette_of(open_part10(file, stored.size).dataset)
        if palette is not None:
            params["palette"] = {"first": palette.first, "dtype": palette.lut.dtype.name}
            blobs.append(palette.lut.tobytes())
    return node.sandbox.call("core.dicom.frames:sandboxed_render", params, blobs)[1][0]
