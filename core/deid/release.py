"""Puts the new header round the candidate's stream: the same pixel bytes that were confirmed, one valid Part 10 file."""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from pydicom.dataset import Dataset

from core.deid.candidate import ITEM, Index
from core.deid.encode import dataset_bytes, file_head
from core.dicom.guard import encoding_of
from core.errors import Held

_PIECE: Final = 1 << 20
_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"
_UNDEFINED: Final = 0xFFFFFFFF
_CHANGED: Final = "The pixels are no longer those that were confirmed."


@dataclass(frozen=True)
class Written:
    """SHA-256 (hex) and length of a file."""

    sha256: str
    size: int


def build_file(header: Dataset, stream: BinaryIO, index: Index) -> Iterator[bytes]:
    """The pieces of the file: header, Pixel Data element, offset table, and the stream byte by byte as it is.

    Raises Held when the header cannot be written, or at the end when the stream was not the candidate's: a writer
    must not publish what it has until then."""
    yield header_bytes(header)
    yield _opening(index)
    stream.seek(0)
    found, size = hashlib.sha256(), 0
    while piece := stream.read(_PIECE):
        found.update(piece)
        size += len(piece)
        yield piece
    if size != index.stream_size or found.hexdigest() != index.stream_sha256:
        raise Held(_CHANGED)


def write_file(header: Dataset, stream: BinaryIO, index: Index, out: BinaryIO) -> Written:
    """`build_file` into an open file."""
    found, size = hashlib.sha256(), 0
    for piece in build_file(header, stream, index):
        out.write(piece)
        found.update(piece)
        size += len(piece)
    return Written(found.hexdigest(), size)


def header_bytes(header: Dataset) -> bytes:
    """Zero preamble, file meta information and data set without Pixel Data; raises Held for what cannot be written."""
    implicit, little = encoding_of(str(header.file_meta.TransferSyntaxUID))
    try:
        return file_head(header.file_meta) + dataset_bytes(header, implicit=implicit, little=little)
    except (AttributeError, OverflowError, TypeError, ValueError, struct.error) as error:
        raise Held("The new header cannot be written.") from error


def _opening(index: Index) -> bytes:
    """Tag, VR and length of Pixel Data; for encapsulated frames also the basic offset table (PS3.5 section A.4).

    The table is empty where an offset does not fit into its 32 bits; each fragment is one frame all the same. Video
    is one fragment and has no table (section A.4.6)."""
    if index.is_encapsulated:
        starts = [offset - 8 for offset in index.offsets]
        has_table = starts[-1] < 1 << 32 and not index.lead[1]
        table = struct.pack(f"<{len(starts)}I", *starts) if has_table else b""
        head = _PIXEL_DATA + b"OB\0\0" + struct.pack("<I", _UNDEFINED)
        return head + ITEM + struct.pack("<I", len(table)) + table
    if index.stream_size >= _UNDEFINED:
        raise Held("The image is too large for one file.")
    length = struct.pack("<I", index.stream_size)
    if encoding_of(index.format.transfer_syntax)[0]:
        return _PIXEL_DATA + length
    vr = b"OW\0\0" if index.format.bits_allocated > 8 else b"OB\0\0"
    return _PIXEL_DATA + vr + length
