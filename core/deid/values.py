"""Judges single values that may stay: their form is checked, and a patient's own value in them stops everything."""

import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import format_number_as_ds

from core.deid.mask_rules import catalogue
from core.deid.profile import method_codes
from core.deid.search import Search, plain
from core.errors import Held

MOST_VALUES: Final = 65_536
_NUMBER: Final = re.compile(r"[ ]*[+-]?[0-9.]{1,16}(?:[eE][+-]?[0-9]{1,3})?[ ]*")
_CODE: Final = re.compile(r"[A-Z0-9_ ]{0,16}")
_MODE: Final = re.compile(r"[0-9A-F]{4}")  # the fourth value of Image Type, PS3.3 C.8.5.6.1.1
_TEXT: Final = re.compile(r"[A-Za-z0-9 ._,;:/()+#&%*=\[\]'\"<>|@!?~-]*")
_LENGTHS: Final = {"LO": 64, "SH": 16, "CS": 16}
# Schemes whose meanings are printed in a standard; a private one (99…) can say anything.
_SCHEMES: Final = frozenset(
    {"DCM", "SRT", "SCT", "SNM3", "99SDM", "LN", "UCUM", "FMA", "RADLEX", "UMLS", "NCIt", "I10", "ICDO3", "ACR"}
)
_SEXES: Final = frozenset({"M", "F", "O"})
_DAYS: Final = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
TOP_AGE: Final = 90


def held(keyword: str) -> Held:
    return Held(f"{keyword} holds a value that may not leave; a person must look.")


def parts(value: Any) -> list[Any]:  # noqa: ANN401 - what pydicom has there
    """The values of an element, one or many, none where it is empty."""
    if value is None or value == "" or (isinstance(value, bytes) and not value):
        return []
    return list(value) if isinstance(value, MultiValue | list | tuple) else [value]


def number(element: DataElement, search: Search) -> Any:  # noqa: ANN401 - numbers or their texts
    """Numbers as they are; None when one is none. Raises Held for a patient's number in a text VR (DS, IS)."""
    values = parts(element.value)
    if not values or len(values) > MOST_VALUES:
        return None
    if element.VR in {"DS", "IS"}:
        texts = [str(value) for value in values]
        if not all(_NUMBER.fullmatch(text) for text in texts):
            return None
        if any(search.in_text(text) for text in texts):
            raise held(element.keyword)
        texts = [_fitted(text.strip(), str(element.VR)) for text in texts]
        return texts if len(texts) > 1 else texts[0]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return None
    return values if len(values) > 1 else values[0]


def code(element: DataElement, search: Search) -> Any:  # noqa: ANN401 - one or many texts
    """Coded strings in capitals, empty where one is none; None when nothing is left of them."""
    given = [str(value).strip(" \0").upper() for value in parts(element.value)]
    values = [value if _CODE.fullmatch(value) else "" for value in given]
    if not any(values):
        return None
    if any(search.in_text(value) for value in values if not is_public_term(value)):
        raise held(element.keyword)
    return values if len(values) > 1 else values[0]


def text(element: DataElement, search: Search, device: Sequence[str]) -> Any:  # noqa: ANN401 - one or many texts
    """Short texts of a device. Raises Held for letters, lengths or values that do not belong there.

    `device`: see `device_names`."""
    values = [str(value).strip(" \0") for value in parts(element.value)]
    if not is_device_text(values, str(element.VR)):
        raise held(element.keyword)
    for value in values:
        if search.in_text(without(value, device)):
            raise held(element.keyword)
    return (values if len(values) > 1 else values[0]) if values else None


def is_device_text(texts: Sequence[str], vr: str) -> bool:
    """Whether these have the length and the letters of what a scanner writes about itself."""
    longest = _LENGTHS.get(vr, 0)
    return all(len(text) <= longest and _TEXT.fullmatch(text) for text in texts)


def sex(element: DataElement) -> str:
    value = str(element.value or "").strip(" \0").upper()
    return value if value in _SEXES else ""


def age(element: DataElement) -> str | None:
    """Whole years, nnnY, cut at 90."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", str(element.value or "").strip(" \0").upper())
    if match is None:
        return None
    years = int(int(match[1]) * _DAYS[match[2]] / _DAYS["Y"] + 1e-9)
    return f"{min(years, TOP_AGE):03d}Y"


def age_between(birth: str, study: str) -> str | None:
    """As `age`, from two DA values, where the scanner wrote no age."""
    if not (re.fullmatch(r"\d{8}", birth) and re.fullmatch(r"\d{8}", study)):
        return None
    years = int(study[:4]) - int(birth[:4]) - (study[4:] < birth[4:])
    return f"{min(years, TOP_AGE):03d}Y" if years >= 0 else None


def _fitted(text: str, vr: str) -> str:
    """A decimal string of at most 16 letters, as PS3.5 section 6.2 wants it."""
    return str(format_number_as_ds(float(text))) if vr == "DS" and len(text) > 16 else text


def is_public_term(value: str) -> bool:
    """A defined term of DICOM, or a mode number: it says nothing of a patient who is called Mary, though in PRIMARY."""
    return value in _terms() or bool(_MODE.fullmatch(value))


@cache
def _terms() -> frozenset[str]:
    lines = (Path(__file__).parent / "data" / "us_terms.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def device_names(dataset: Dataset) -> tuple[str, ...]:
    """Maker and model of the image, each only where the mask catalogue knows it by this very name.

    Stations are often called like their scanner: then the name in the header says nothing of the place."""
    found = (str(dataset.get(keyword) or "").strip() for keyword in ("Manufacturer", "ManufacturerModelName"))
    return tuple(name for name in found if plain(name) in _device_names())


def without(value: str, names: Sequence[str]) -> str:
    """The text with these names taken out."""
    for name in names:
        value = re.sub(re.escape(name), " ", value, flags=re.IGNORECASE)
    return value


@cache
def _device_names() -> frozenset[str]:
    patterns = (pattern for rule in catalogue() for pattern in (rule.manufacturer, rule.model))
    return frozenset(plain(word.strip("~=^ ")) for pattern in patterns for word in pattern.split("|")) - {""}


def is_public_code(item: Dataset) -> bool:
    """Whether code, scheme and meaning stand in DICOM's own lists (PS3.16) together."""
    scheme, value = str(item.get("CodingSchemeDesignator") or ""), str(item.get("CodeValue") or "")
    return (scheme, value, str(item.get("CodeMeaning") or "")) in _public_codes()


@cache
def _public_codes() -> frozenset[tuple[str, str, str]]:
    from pydicom.sr._concepts_dict import concepts  # large: loads when the first coded item comes

    lists = cast("dict[str, dict[str, dict[str, tuple[str, list[int]]]]]", concepts)
    found = {
        (scheme, value, entry[0])
        for scheme, keywords in lists.items()
        for values in keywords.values()
        for value, entry in values.items()
    }
    return frozenset(found | {("DCM", value, meaning) for value, meaning in method_codes().items()})


def is_known_code(item: Dataset) -> bool:
    """Whether an item of a code sequence has a value, a meaning and a scheme whose meanings are public."""
    scheme = str(item.get("CodingSchemeDesignator") or "").strip()
    return scheme in _SCHEMES and bool(item.get("CodeValue")) and bool(item.get("CodeMeaning"))


def lut_item(item: Dataset) -> bool:
    """Whether a lookup table holds exactly the entries that it says, and nothing behind them."""
    descriptor, data = parts(item.get("LUTDescriptor")), item.get("LUTData")
    if len(descriptor) != 3 or data is None:
        return False
    entries, bits = int(descriptor[0]) or 65_536, int(descriptor[2])
    if isinstance(data, bytes):
        return len(data) in {entries * 2, entries + entries % 2 if bits <= 8 else entries * 2}
    return len(parts(data)) == entries and all(isinstance(one, int) for one in parts(data))


def pointers(element: DataElement, kept: Sequence[int]) -> list[int] | None:
    """Attribute tags, only those that are in the new header."""
    tags = [int(tag) for tag in parts(element.value)]
    return tags if tags and all(tag in kept for tag in tags) else None
