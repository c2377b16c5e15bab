"""Reads a finished file again and looks for whatever must not be in it. It says where, never what."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from core.deid import profile, values
from core.deid.batches import batches
from core.deid.channels import check_channels
from core.deid.headers import METHOD
from core.deid.search import Search
from core.deid.structure import check_structure
from core.deid.unseen import MARKS
from core.dicom.frame_ranges import MORE_FRAMES
from core.dicom.guard import Layout, check, encoding_of
from core.dicom.h264 import FOREIGN, pictures, split
from core.dicom.part10 import Part10, frame_bytes, open_part10
from core.dicom.pixel_format import PixelFormat
from core.errors import Held, Refused
from core.sandbox import Caller

__all__ = ["Leak", "check_released", "check_structure", "find_leaks", "frames_decode", "uids_are_new", "whole_words"]

NON_PIXEL: Final = "non-pixel bytes"
_TABLES: Final = frozenset({0x00281201, 0x00281202, 0x00281203, 0x00283006})
_SHORT_TABLE: Final = 32  # bytes; one so short is searched as text too
_UIDS: Final = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
Decode = Callable[[bytes, PixelFormat], object]


@dataclass(frozen=True)
class Leak:
    """A place where a value of the patient remains: the keyword or tag of an attribute, or `non-pixel bytes`."""

    where: str


def whole_words(needles: Sequence[str]) -> int:
    """How many of them are so short that they are looked for as whole words only (under 4 ASCII, 3 other letters)."""
    return Search(needles).whole_words


def find_leaks(source: BinaryIO | bytes, needles: Sequence[str]) -> list[Leak]:
    """Every place of a Part 10 file where one of these values is left, in whatever encoding or disguise.

    Looked at are all decoded texts (file meta information too) and all bytes outside the pixel data; in the entries of
    colour and lookup tables, which are numbers, long values only. Raises Refused for a file that cannot be read."""
    fp, size = _sized(source)
    part10 = open_part10(fp, size)
    return _leaks(fp, size, part10, Search(needles))


def check_released(
    source: BinaryIO,
    size: int,
    needles: Sequence[str] | Search,
    original: Dataset | None = None,
    decode: Decode | None = None,
    *,
    is_candidate: bool = False,
) -> None:
    """The last gate before a file leaves; raises Held naming attributes only, Refused for a file that is not readable.

    `needles`: the patient's values, or a `Search` for them that was made once for many files of the patient.
    `original`: its UIDs must be gone. `decode` is called for every frame, as `core.dicom.frames.decode_stored`.
    `is_candidate`: see `core.deid.structure.check_structure`."""
    part10 = open_part10(source, size)
    source.seek(0)
    if any(source.read(128)):
        raise Held("The preamble of the file is not empty.")
    check_structure(part10, is_candidate=is_candidate)
    if part10.pixel is None:
        raise Held("The file has no picture.")
    found = _leaks(source, size, part10, needles if isinstance(needles, Search) else Search(needles))
    if original is not None:
        found += _leaks(source, size, part10, Search(list(_uids(original))))
    if found:
        places = ", ".join(dict.fromkeys(leak.where for leak in found))
        raise Held(f"Identifying values remain in: {places}.")
    _frames_are_known(source, part10)
    for number in range(len(part10.frames)):
        data = frame_bytes(source, part10, number)
        check_channels(data, part10.pixel.transfer_syntax)
        if decode is not None:
            decode(data, part10.pixel)


def uids_are_new(header: Dataset, original: Dataset) -> None:
    """Raises Held unless every identity of the original was replaced in the new header."""
    old = {str(value) for value in _uids(original)}
    if kept := [keyword for keyword in _UIDS if str(header.get(keyword)) in old]:
        raise Held(f"These still are the original's: {', '.join(kept)}.")


def frames_decode(source: BinaryIO, part10: Part10, sandbox: Caller) -> None:
    """Decode every frame in the sandbox and look for hidden channels; raises Refused or Held for the first bad one."""
    if part10.pixel is None:
        raise Refused("The image has no pixel data.")
    _frames_are_known(source, part10)
    fields = {name: getattr(part10.pixel, name) for name in PixelFormat.__dataclass_fields__}
    frames = (frame_bytes(source, part10, number) for number in range(len(part10.frames)))
    for batch in batches(frames, part10.pixel):
        sandbox.call("core.deid.frame_check:sandboxed_check", {"fmt": fields}, batch)


def _frames_are_known(source: BinaryIO, part10: Part10) -> None:
    """Of a video, which is one stream: its frames are found, and between two key frames there are no pictures but theirs."""
    if not part10.stream:
        return
    if part10.is_one_stream:
        raise Held(FOREIGN)
    groups: dict[int, list[int]] = {}
    for number, (_, (begin, _)) in enumerate(part10.frames):
        groups.setdefault(begin, []).append(number)
    for numbers in groups.values():
        longest = max(numbers, key=lambda number: part10.frames[number][1][1])
        if len(pictures(split(frame_bytes(source, part10, longest))[1])) != len(numbers):
            raise Held(MORE_FRAMES)


def _sized(source: BinaryIO | bytes) -> tuple[BinaryIO, int]:
    if isinstance(source, bytes):
        return BytesIO(source), len(source)
    return source, source.seek(0, 2)


def _leaks(fp: BinaryIO, size: int, part10: Part10, search: Search) -> list[Leak]:
    found: list[Leak] = []
    raw, tables = _non_pixel(fp, size, part10)
    found += [Leak(keyword) for keyword, entries in tables if search.in_table(entries)]
    for element, texts, searchable in _texts(part10):
        if any(search.in_text(text) for text in searchable):
            found.append(Leak(element.keyword or str(element.tag)))
        if texts != searchable and (coded := _coded(element, part10.transfer_syntax)) in raw:
            raw = raw.replace(coded, b"\0\0") + "\n".join(["\0", *searchable]).encode()
    if search.in_bytes(raw):
        found.append(Leak(NON_PIXEL))
    return list(dict.fromkeys(found))


def _texts(part10: Part10) -> Iterator[tuple[DataElement, list[str], list[str]]]:
    """(element, its texts, what of them is to be searched: all but what a public list says of every patient)."""
    device = values.device_names(part10.dataset)
    waiting: list[Dataset] = [part10.file_meta, part10.dataset]
    while waiting:
        current = waiting.pop()
        is_public_item = "CodeValue" in current and values.is_public_code(current)
        for element in current:
            if element.VR == "SQ":
                waiting.extend(element.value or ())
                continue
            value = element.value
            given = value if isinstance(value, MultiValue | list) else [value]
            texts = [str(one) for one in given if element.VR in {"DS", "IS"} or isinstance(one, str | PersonName)]
            yield element, texts, [] if is_public_item else [_searchable(element, text, device) for text in texts]


def _searchable(element: DataElement, text: str, device: Sequence[str]) -> str:
    if element.VR == "CS":
        return "" if values.is_public_term(text) else text
    if element.keyword == "DeidentificationMethod":
        return "" if text in MARKS else text.replace(METHOD, "")
    rule = profile.allowed(int(element.tag))
    return values.without(text, device) if rule is not None and rule.rule == "text" else text


def _coded(element: DataElement, syntax: str) -> bytes:
    """A text element as this system writes it."""
    value = element.value
    text = "\\".join(map(str, value)) if isinstance(value, MultiValue | list) else str(value)
    data = text.encode() + b" " * (len(text.encode()) % 2)
    tag = struct.pack("<HH", element.tag >> 16, element.tag & 0xFFFF)
    if encoding_of(syntax)[0] and element.tag >> 16 != 2:
        return tag + struct.pack("<I", len(data)) + data
    return tag + str(element.VR).encode() + struct.pack("<H", len(data)) + data


def _non_pixel(fp: BinaryIO, size: int, part10: Part10) -> tuple[bytes, list[tuple[str, bytes]]]:
    """All bytes but the frames and the entries of tables, and (keyword, entries) of the tables."""
    layout = check(fp, size)
    end = layout.pixel_offset if layout.pixel_tag is not None else layout.header_end
    if part10.transfer_syntax == "1.2.840.10008.1.2.1.99":
        raise Held("A deflated file is not what this system writes.")
    fp.seek(0)
    head = fp.read(end)
    tables = list(_tables(part10))
    for _, entries in tables:
        if len(entries) > _SHORT_TABLE:
            head = head.replace(entries, b"\0\0")
    return b"\0\0".join([head, *_after(fp, size, layout)]), tables


def _tables(part10: Part10) -> Iterator[tuple[str, bytes]]:
    """The colour tables at the top level and the lookup tables in their sequences; numbers, not bytes of text."""
    items = [part10.dataset]
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        items += part10.dataset.get(keyword) or ()
    for item in items:
        for tag in _TABLES & {int(tag) for tag in item.keys()}:  # noqa: SIM118 - iteration would convert
            value = item[tag].value
            if isinstance(value, list | MultiValue):  # numbers, as they are in the file
                value = b"".join(struct.pack("<H", int(one) & 0xFFFF) for one in value)
            if isinstance(value, bytes) and value:
                yield item[tag].keyword, value


def _after(fp: BinaryIO, size: int, layout: Layout) -> Iterator[bytes]:
    if layout.pixel_tag is None:
        return
    position = layout.pixel_offset
    for offset, length in layout.fragments or ((layout.pixel_offset, layout.pixel_length),):
        fp.seek(position)
        yield fp.read(offset - position)
        position = offset + length
    fp.seek(position)
    yield fp.read(size - position)


def _uids(dataset: Dataset) -> Iterator[str]:
    for keyword in _UIDS:
        if value := dataset.get(keyword):
            yield str(value)
