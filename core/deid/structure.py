"""What every file that leaves must look like: nothing outside the profile, every identity new, every statement made."""

import re
from typing import Final

from pydicom.dataset import Dataset

from core.deid import profile, values
from core.deid.headers import SOP_CLASSES
from core.deid.pseudonyms import is_standard_uid
from core.deid.unseen import MARKS
from core.dicom.part10 import Part10
from core.errors import Held

_NEW_UID: Final = re.compile(r"2\.25\.(0|[1-9][0-9]{0,38})")
_META: Final = frozenset({0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013})
_RESEARCH_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_STATED: Final = {
    "PatientIdentityRemoved": "YES",
    "BurnedInAnnotation": "NO",
    "LongitudinalTemporalInformationModified": "MODIFIED",
    "SpecificCharacterSet": "ISO_IR 192",
}


def check_structure(part10: Part10, *, is_candidate: bool = False) -> None:
    """Raises Held, naming attributes only, unless the file has the form of what this system releases.

    `is_candidate`: the file must say that no person has looked at it; else it must not."""
    found = faults(part10, is_candidate=is_candidate)
    if found:
        raise Held(f"The file may not leave: {', '.join(found)}.")


def faults(part10: Part10, *, is_candidate: bool = False) -> list[str]:
    """Every attribute that is wrong, once, in the order of the file."""
    dataset = part10.dataset
    found = [f"file meta {tag}" for tag in part10.file_meta.keys() if int(tag) not in _META]  # noqa: SIM118
    if bool(MARKS & {str(one) for one in values.parts(dataset.get("DeidentificationMethod"))}) != is_candidate:
        found.append("DeidentificationMethod")
    found += _walked(dataset)
    found += [keyword for keyword, value in _STATED.items() if str(dataset.get(keyword)) != value]
    if str(dataset.get("SOPClassUID")) not in SOP_CLASSES:
        found.append("SOPClassUID")
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not _is_new(str(dataset.get(keyword) or "")):
            found.append(keyword)
    person = str(dataset.get("PatientID") or "")
    if not _RESEARCH_ID.fullmatch(person) or str(dataset.get("PatientName")) != person:
        found.append("PatientID")
    if str(part10.file_meta.get("MediaStorageSOPInstanceUID")) != str(dataset.get("SOPInstanceUID")):
        found.append("MediaStorageSOPInstanceUID")
    if part10.trailing_bytes:
        found.append("bytes after the last element")
    codes = {str(item.get("CodeValue")) for item in dataset.get("DeidentificationMethodCodeSequence") or ()}
    if not {profile.BASIC, profile.CLEAN_PIXELS} <= codes:
        found.append("DeidentificationMethodCodeSequence")
    return list(dict.fromkeys(found))


def _walked(dataset: Dataset) -> list[str]:
    """Attributes that the profile does not allow where they stand, and values that it would not have left."""
    found: list[str] = []
    waiting: list[tuple[Dataset, str]] = [(dataset, "")]
    while waiting:
        current, parent = waiting.pop()
        for element in current:
            rule = profile.allowed(int(element.tag), parent)
            if rule is None or str(element.VR) not in rule.vrs:
                found.append(element.keyword or f"({element.tag >> 16:04X},{element.tag & 0xFFFF:04X})")
            elif element.VR == "SQ":
                waiting.extend((item, rule.keyword) for item in element.value or ())
            elif any(isinstance(one, str) and "\ufffd" in one for one in values.parts(element.value)):
                found.append(rule.keyword)  # bytes that are no text in the character set that the file names
            elif rule.rule == "empty" and values.parts(element.value):
                found.append(rule.keyword)
            elif rule.rule == "uid" and not all(_is_new(str(one)) for one in values.parts(element.value)):
                found.append(element.keyword)
            elif rule.rule == "age" and not re.fullmatch(r"0[0-8]\dY|090Y", str(element.value)):
                found.append(rule.keyword)
    return found


def _is_new(uid: str) -> bool:
    return bool(_NEW_UID.fullmatch(uid)) or is_standard_uid(uid)
