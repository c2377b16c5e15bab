"""What every file that leaves must look like: nothing outside the profile, every identity new, every statement made."""

import re
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from core.deid import profile, values, words
from core.deid.headers import IMPLEMENTATION_CLASS, SOP_CLASSES
from core.deid.pseudonyms import is_standard_uid
from core.deid.unseen import MARKS
from core.dicom.part10 import Part10
from core.errors import Held

_NEW_UID: Final = re.compile(r"2\.25\.(0|[1-9][0-9]{0,38})")
_META: Final = frozenset({0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013})
_META_FORMS: Final = {
    "FileMetaInformationVersion": re.compile(re.escape(str(b"\0\1"))),
    "ImplementationClassUID": re.compile(re.escape(IMPLEMENTATION_CLASS)),
    "ImplementationVersionName": re.compile(r"SONOBANK_\d{1,3}"),
}
_RESEARCH_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_FORMS: Final = {  # by rule, of moved dates and times by VR, and of one statement
    "sex": re.compile(r"[MFO]?"),
    "age": re.compile(r"0[0-8]\dY|090Y"),
    "code": re.compile(r"[A-Z0-9_ ]{0,16}"),
    "DA": re.compile(r"(\d{8})?"),
    "TM": re.compile(r"(\d{6}(\.\d{6})?)?"),
    "DT": re.compile(r"(\d{8}(\d{6}(\.\d{6})?)?)?"),
    "DeidentificationMethod": re.compile(
        "|".join([r"Sonobank \d+; PS3\.15 Annex E [0-9a-e+]{5,32}", *map(re.escape, sorted(MARKS))])
    ),
}
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
    if not all(form.fullmatch(str(part10.file_meta.get(keyword))) for keyword, form in _META_FORMS.items()):
        found.append("file meta ImplementationVersionName")
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
                if rule.rule in {"codes", "written"} and not all(map(values.is_known_code, element.value or ())):
                    found.append(rule.keyword)
                waiting.extend((item, rule.keyword) for item in element.value or ())
            elif _is_wrong(element, rule):
                found.append(rule.keyword)
    return found


def _is_wrong(element: DataElement, rule: profile.Allowed) -> bool:
    """Whether a value has not the form that its rule leaves it in."""
    given = values.parts(element.value)
    texts = [str(one) for one in given if isinstance(one, str | PersonName)]
    if any("\ufffd" in text for text in texts):  # bytes that are no text in the character set that the file names
        return True
    if rule.rule == "words":
        return words.kept(words.described(element.value)) != str(element.value)
    if rule.rule == "empty":
        return bool(given)
    if rule.rule == "uid":
        return not all(map(_is_new, texts))
    if rule.rule == "standard_uid":
        return not all(map(is_standard_uid, texts))
    if rule.rule == "text":
        return not values.is_device_text(texts, str(element.VR))
    form = _FORMS.get(element.keyword) or _FORMS.get(rule.rule if rule.rule != "shift" else str(element.VR))
    return form is not None and not all(form.fullmatch(text) for text in texts)


def _is_new(uid: str) -> bool:
    """Registered by DICOM, or a UUID of ours (version 8) or a random one: any other number might be somebody's."""
    if is_standard_uid(uid):
        return True
    if not _NEW_UID.fullmatch(uid):
        return False
    number = int(uid[5:])
    return number >> 62 & 0x3 == 2 and number >> 76 & 0xF in {4, 8} and number < 1 << 128
