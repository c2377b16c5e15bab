"""The DICOM JSON model (PS3.18 Annex F), written and read."""

import base64
import math
from array import array
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from core.dicom.quiet import PARSER_ERRORS, quietly
from core.errors import Malformed

INLINE_LIMIT: Final = 1024
MAX_DEPTH: Final = 32
_BINARY: Final = {"OB": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8, "UN": 1}  # VR -> bytes a word
_NUMBERS: Final = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_NOT_JSON_MODEL = "The metadata are not in the DICOM JSON model."
_LARGEST_EXACT = 1 << 53

BulkUri = Callable[[str], str]


def to_json(ds: Dataset, bulk_uri: BulkUri | None, pixel_vr: str | None = None) -> dict[str, Any]:
    """The data set as JSON-able dicts, in UTF-8 whatever its character set was.

    `bulk_uri(path)` gives the URI of a binary value longer than 1 KiB and of pixel data, by its path ("7FE00010", or
    "00400275/0/00091001" inside an item, counted from 0); without it every value is inline. `pixel_vr` adds pixel data
    that the data set itself does not hold. Group lengths are left out."""
    out: dict[str, Any] = {}
    waiting = [(ds, out, "")]
    while waiting:
        current, target, path = waiting.pop()
        is_little = _is_little(current, ds)
        for element in current:
            if element.tag.element == 0 or element.tag.group == 0xFFFE:
                continue
            key = f"{int(element.tag):08X}"
            if element.VR == "SQ":
                items: list[dict[str, Any]] = [{} for _ in element.value]
                target[key] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
                waiting += [(sub, items[at], f"{path}{key}/{at}/") for at, sub in enumerate(element.value)]
            else:
                target[key] = _element(element, f"{path}{key}", bulk_uri, is_little)
    if "00080005" in out:
        out["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    if pixel_vr is not None and bulk_uri is not None:
        out["7FE00010"] = {"vr": pixel_vr, "BulkDataURI": bulk_uri("7FE00010")}
    return dict(sorted(out.items()))


def _is_little(ds: Dataset, root: Dataset) -> bool:
    for one in (ds, root):
        if one.original_encoding[1] is not None:
            return bool(one.original_encoding[1])
    return True


def _element(element: DataElement, path: str, bulk_uri: BulkUri | None, is_little: bool) -> dict[str, Any]:
    vr = str(element.VR)
    value = element.value
    if vr in _BINARY or isinstance(value, bytes):
        vr = vr if vr in _BINARY else "UN"  # an ambiguous VR that nothing in the file settles
        return {"vr": vr, **_binary(bytes(value or b""), _BINARY[vr], int(element.tag), path, bulk_uri, is_little)}
    if value is None or value == "" or (isinstance(value, MultiValue | list) and not value):
        return {"vr": vr}
    values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    return {"vr": vr, "Value": [_value(vr, one) for one in values]}


def _binary(value: bytes, width: int, tag: int, path: str, bulk_uri: BulkUri | None, is_little: bool) -> dict[str, str]:
    if bulk_uri is not None and (len(value) > INLINE_LIMIT or tag in _PIXELS):
        return {"BulkDataURI": bulk_uri(path)}
    if not value:
        return {}
    if not is_little and width > 1 and len(value) % width == 0:  # inline values are little endian, PS3.18 F.2.7
        words = array(_CODES[width], value)
        words.byteswap()
        value = words.tobytes()
    return {"InlineBinary": base64.b64encode(value).decode("ascii")}


def _value(vr: str, value: Any) -> Any:  # noqa: ANN401 - what pydicom has there, what JSON may hold
    if vr == "PN":
        return _person_name(value)
    if vr == "AT":
        return f"{int(value):08X}"
    if vr in _NUMBERS:
        return _number(vr, value)
    return str(value) or None if value is not None else None


def _person_name(value: Any) -> dict[str, str] | None:  # noqa: ANN401 - what pydicom has there
    name = value if isinstance(value, PersonName) else PersonName(str(value))
    groups = {"Alphabetic": name.alphabetic, "Ideographic": name.ideographic, "Phonetic": name.phonetic}
    return {key: text for key, text in groups.items() if text} or None


def _number(vr: str, value: Any) -> int | float | str | None:  # noqa: ANN401 - what pydicom has there
    if value is None or value == "":
        return None
    try:
        number = int(value) if isinstance(value, int) else float(value)
    except ValueError:
        return str(value)  # F.2.3 allows text for DS and IS, and nothing better is known
    if isinstance(number, float):
        if not math.isfinite(number):
            return None
        number = int(number) if vr not in {"FD", "FL"} and number.is_integer() else number
    return number if isinstance(number, float) or abs(number) <= _LARGEST_EXACT else str(value)


def from_json(model: Mapping[str, Any], bulk: Callable[[str], bytes] | None = None) -> Dataset:
    """A data set from its JSON model; `bulk(uri)` fetches what is not inline. Raises Malformed.

    Without `bulk` an element with a BulkDataURI is left out."""
    _check(model)
    handler = None if bulk is None else lambda _tag, _vr, uri: bulk(uri)
    wanted = dict(model) if bulk is not None else _without_bulk(model)
    try:
        with quietly():
            ds = Dataset.from_json(wanted, handler)
    except PARSER_ERRORS as error:
        raise Malformed(_NOT_JSON_MODEL) from error
    ds.set_original_encoding(False, True, "utf-8")
    return ds


def _check(model: Mapping[str, Any]) -> None:
    """Shape and depth, so that pydicom's own recursive reader meets nothing it was not made for."""
    waiting: list[tuple[Any, int]] = [(model, 0)]
    while waiting:
        current, depth = waiting.pop()
        if not isinstance(current, Mapping) or depth > MAX_DEPTH:
            raise Malformed(_NOT_JSON_MODEL)
        for key, element in current.items():
            if not isinstance(element, Mapping) or not isinstance(element.get("vr"), str) or len(str(key)) != 8:
                raise Malformed(_NOT_JSON_MODEL)
            value = element.get("Value", [])
            if not isinstance(value, list):
                raise Malformed(_NOT_JSON_MODEL)
            if element["vr"] == "SQ":
                waiting += [(item, depth + 1) for item in value]
            if element["vr"] == "PN" and not all(name is None or isinstance(name, Mapping) for name in value):
                raise Malformed(_NOT_JSON_MODEL)
            try:
                base64.b64decode(element.get("InlineBinary", ""), validate=True)
            except (TypeError, ValueError) as error:
                raise Malformed(_NOT_JSON_MODEL) from error


def _without_bulk(model: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    waiting = [(model, out)]
    while waiting:
        current, target = waiting.pop()
        for key, element in current.items():
            if "BulkDataURI" in element:
                continue
            target[key] = dict(element)
            if element["vr"] == "SQ" and element.get("Value"):
                items: list[dict[str, Any]] = [{} for _ in element["Value"]]
                target[key]["Value"] = items
                waiting += list(zip(element["Value"], items, strict=True))
    return out
