"""Walks a Part 10 file without recursion and without trusting a length, before other code reads it (PS3.5, PS3.10)."""

import struct
from dataclasses import dataclass
from typing import Final

from pydicom.config import IGNORE
from pydicom.uid import UID

from core.dicom.advice import JPEG_XL, advice
from core.dicom.walk import (
    ITEM,
    ITEM_END,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    Inflated,
    Pieces,
    Source,
    Walk,
    inflated_size,
)
from core.errors import Refused

MAX_FILE: Final = 4 << 30
MAX_FRAGMENTS: Final = 250_000
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
NATIVE: Final = {  # uid -> (implicit VR, little endian), PS3.5 Annex A
    "1.2.840.10008.1.2": (True, True),
    "1.2.840.10008.1.2.1": (False, True),
    DEFLATED: (False, True),
    "1.2.840.10008.1.2.2": (False, False),
}
PIXEL_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, PIXEL_DATA})
_META_START = 132


@dataclass(frozen=True)
class Layout:
    """Where things lie in a Part 10 file. Offsets count from the first byte; those of a deflated file count in the
    inflated one (the part before `dataset_offset` is never deflated).

    `header_end` is the end of the elements before the pixel data, `elements` their number at the top level;
    `fragments` are (offset, length) of the values without the basic offset table; the tables hold what the file says,
    unchecked. `trailing_bytes` lie after the last element that can be understood."""

    transfer_syntax: str
    size: int
    dataset_offset: int
    header_end: int
    elements: int
    pixel_tag: int | None
    pixel_vr: str
    pixel_offset: int
    pixel_length: int
    fragments: tuple[tuple[int, int], ...]
    basic_offsets: tuple[int, ...]
    extended_offsets: tuple[int, ...]
    extended_lengths: tuple[int, ...]
    trailing_bytes: int


def encoding_of(transfer_syntax: str) -> tuple[bool, bool]:
    """(implicit VR, little endian) of a data set in this syntax; everything encapsulated is explicit little endian."""
    return NATIVE.get(transfer_syntax, (False, True))


def check(fp: Source, size: int) -> Layout:
    """Walk the whole file of `size` bytes once and say where its pixel data lie; raises Refused.

    Nothing is allocated by a length that the file names before that length was found to lie inside the file."""
    if size > MAX_FILE:
        raise Refused("The file is larger than 4 GiB.")
    reader = Pieces(fp, size)
    if size < _META_START or reader.take(128, 4) != b"DICM":
        raise Refused("This is not a DICOM file: the DICM mark is missing.")
    syntax, start = _meta(reader, size)
    leftover = 0
    if syntax == DEFLATED:
        inner, leftover = inflated_size(fp, start, size)
        size = start + inner
        reader = Pieces(Inflated(fp, start), size)
    return _TopLevel(reader, syntax, start, size).layout(leftover)


def _meta(reader: Pieces, size: int) -> tuple[str, int]:
    """The transfer syntax and the offset of the first byte after the file meta information (PS3.10 section 7.1)."""
    walk = Walk(reader, implicit=False, little=True)
    position, syntax = _META_START, ""
    while position + 8 <= size and struct.unpack("<H", reader.take(position, 2))[0] == 2:
        tag, _, length, value = walk.element(position, False, size, nested=False)
        if length == UNDEFINED:
            raise Refused("The file meta information is broken.")
        if tag == 0x00020010 and length <= 64:
            syntax = reader.take(value, length).decode("ascii", "replace").strip(" \0")
        position = value + length
    if not syntax:
        raise Refused("The file does not name its transfer syntax.")
    if advice(syntax) == JPEG_XL:  # a syntax that pydicom does not know
        raise Refused(JPEG_XL)
    if syntax not in NATIVE and not _is_encapsulated(syntax):
        raise Refused("The file names a transfer syntax that is not known here.")
    return syntax, position


def _is_encapsulated(syntax: str) -> bool:
    if not (syntax.startswith("1.2.840.10008.1.2.4.") or syntax in {"1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"}):
        return False
    uid = UID(syntax, validation_mode=IGNORE)
    return uid.type == "Transfer Syntax" and "JPIP" not in uid.name


class _TopLevel:
    """One pass over the top-level data set."""

    def __init__(self, reader: Pieces, syntax: str, start: int, size: int) -> None:
        self._implicit, little = encoding_of(syntax)
        self._walk = Walk(reader, implicit=self._implicit, little=little)
        self._order = "<" if little else ">"
        self._take, self._syntax, self._start, self._size = reader.take, syntax, start, size
        self._tables: dict[int, tuple[int, ...]] = {}
        self._fragments: list[tuple[int, int]] = []

    def layout(self, leftover: int) -> Layout:
        position, elements = self._start, 0
        pixel_tag, pixel_vr, pixel_offset, pixel_end = None, "", 0, 0
        while position < self._size and not self._is_padding(position):
            tag, vr, length, value = self._walk.element(position, self._implicit, self._size, nested=False)
            if tag in PIXEL_TAGS:
                pixel_tag, pixel_vr, pixel_offset = tag, vr.decode("ascii"), value
                pixel_end = self._pixels(tag, length, value)
                break
            if tag in {ITEM, ITEM_END}:
                raise Refused("The sequences of the file are broken.")
            if tag in {0x7FE00001, 0x7FE00002}:
                self._table(tag, "Q", value, length)
            elements += tag >> 16 != 0xFFFE
            position = self._walk.after(tag, vr, length, value, self._implicit, self._size)
        trailing = self._size - position if pixel_tag is None else self._trailing(pixel_tag, pixel_end)
        pixel_length = pixel_end - pixel_offset - (8 if self._fragments else 0)
        return Layout(
            self._syntax, self._size, self._start, position, elements, pixel_tag, pixel_vr, pixel_offset, pixel_length,
            tuple(self._fragments[1:]), self._tables.get(0, ()), self._tables.get(0x7FE00001, ()),
            self._tables.get(0x7FE00002, ()), trailing + leftover,
        )  # fmt: skip

    def _is_padding(self, position: int) -> bool:
        """Zeros where a tag should be: filling after the last element, not an element."""
        return self._take(position, min(8, self._size - position)).strip(b"\0") == b""

    def _pixels(self, tag: int, length: int, value: int) -> int:
        encapsulated = self._syntax not in NATIVE
        if encapsulated != (length == UNDEFINED) or (encapsulated and tag != PIXEL_DATA):
            raise Refused("The pixel data are not written in the transfer syntax that the file names.")
        if not encapsulated:
            return value + length
        end = self._walk.fragments(value, self._size, self._fragment)
        if not self._fragments:
            raise Refused("The pixel data have no offset table.")
        self._table(0, "I", *self._fragments[0])
        return end

    def _fragment(self, offset: int, length: int) -> None:
        self._fragments.append((offset, length))
        if len(self._fragments) > MAX_FRAGMENTS:
            raise Refused("The pixel data are cut into too many fragments.")

    def _table(self, key: int, code: str, offset: int, length: int) -> None:
        width = 4 if code == "I" else 8
        if length == UNDEFINED or length % width or length > width * MAX_FRAGMENTS:
            raise Refused("The offset table of the pixel data is broken.")
        self._tables[key] = struct.unpack(f"{self._order}{length // width}{code}", self._take(offset, length))

    def _trailing(self, last_tag: int, position: int) -> int:
        """Bytes after the last element that can be understood, from the end of the pixel data on."""
        while position < self._size:
            try:
                tag, vr, length, value = self._walk.element(position, self._implicit, self._size, nested=False)
                if tag <= last_tag or tag in {ITEM, ITEM_END}:
                    break
                end = self._walk.after(tag, vr, length, value, self._implicit, self._size)
            except Refused:
                break
            last_tag, position = (last_tag if tag == SEQUENCE_END else tag), end
        return self._size - position
