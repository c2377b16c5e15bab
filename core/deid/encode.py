"""Writes a new header as bytes (PS3.5 section 7, PS3.10 section 7.1): only the value representations that may leave."""

import struct
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from core.deid import values

_TEXTS: Final = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UI".split())
_NUMBERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_BYTES: Final = frozenset({"OB", "OW"})
_GROUP_LENGTH: Final = struct.Struct("<HH2sHI")


def file_head(meta: Dataset) -> bytes:
    """A zero preamble, the mark and the file meta information with its length, always explicit VR little endian."""
    elements = dataset_bytes(meta, implicit=False, little=True)
    return bytes(128) + b"DICM" + _GROUP_LENGTH.pack(2, 0, b"UL", 4, len(elements)) + elements


def dataset_bytes(dataset: Dataset, *, implicit: bool, little: bool) -> bytes:
    """Every element in the order of its tag, sequences with their lengths; texts in UTF-8.

    Raises ValueError, TypeError or struct.error for a value that its value representation cannot hold."""
    head = _heads(implicit, little)
    out = bytearray()
    for tag in sorted(int(tag) for tag in dataset.keys()):  # noqa: SIM118 - iteration would convert
        if tag == 0x00020000:  # the length of the file meta information is written anew
            continue
        element = dataset[tag]
        vr = str(element.VR)
        if vr == "SQ":
            value = b"".join(_item(item, implicit, little) for item in element.value or ())
        else:
            value = _value(element, vr, "<" if little else ">")
        out += head(tag, vr, len(value))
        out += value
    return bytes(out)


def _item(item: Dataset, implicit: bool, little: bool) -> bytes:
    """One item of a sequence; the nesting of what leaves is that of the allow-list, three levels."""
    content = dataset_bytes(item, implicit=implicit, little=little)
    return struct.pack("<HHI" if little else ">HHI", 0xFFFE, 0xE000, len(content)) + content


@cache
def _heads(implicit: bool, little: bool) -> Callable[[int, str, int], bytes]:
    order = "<" if little else ">"
    plain, short, long = (struct.Struct(order + form) for form in ("HHI", "HH2sH", "HH2sHI"))

    def head(tag: int, vr: str, length: int) -> bytes:
        if implicit:
            return plain.pack(tag >> 16, tag & 0xFFFF, length)
        if vr in _BYTES or vr == "SQ":
            return long.pack(tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
        return short.pack(tag >> 16, tag & 0xFFFF, vr.encode(), length)

    return head


def _value(element: DataElement, vr: str, order: str) -> bytes:
    if vr in _BYTES:
        data = bytes(element.value or b"")
        return data + b"\0" * (len(data) % 2)
    given = values.parts(element.value)
    if vr in _TEXTS:
        data = "\\".join(map(_text, given)).encode()
        return data + (b"\0" if vr == "UI" else b" ") * (len(data) % 2)
    if vr == "AT":
        return b"".join(struct.pack(order + "HH", int(tag) >> 16, int(tag) & 0xFFFF) for tag in given)
    if vr not in _NUMBERS:
        raise ValueError("This value representation is not written.")
    return struct.pack(f"{order}{len(given)}{_NUMBERS[vr]}", *given)


def _text(one: Any) -> str:  # noqa: ANN401 - a text, a number with its text, or a name
    if isinstance(one, bytes):
        raise TypeError("A text is not bytes.")
    if isinstance(one, str | PersonName):
        return str(one)
    return str(getattr(one, "original_string", one))
