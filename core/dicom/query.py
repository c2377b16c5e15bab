"""QIDO-RS terms: what a search asks for, taken apart and checked (PS3.18 section 8.3.4, PS3.4 C.2.2.2)."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from core.errors import Malformed

Level = Literal["study", "series", "instance"]
Kind = Literal["exact", "wildcard", "range", "uid-list", "empty"]

STUDY: Final = frozenset({
    "StudyDate", "StudyTime", "AccessionNumber", "ModalitiesInStudy", "ReferringPhysicianName", "PatientName",
    "PatientID", "StudyInstanceUID", "StudyID", "StudyDescription", "PatientBirthDate", "PatientSex",
})  # fmt: skip
SERIES: Final = frozenset({
    "Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime", "RequestAttributesSequence.ScheduledProcedureStepID",
    "RequestAttributesSequence.RequestedProcedureID",
})  # fmt: skip
INSTANCE: Final = frozenset({"SOPClassUID", "SOPInstanceUID", "InstanceNumber"})
MATCHABLE: Final[dict[Level, frozenset[str]]] = {
    "study": STUDY, "series": STUDY | SERIES, "instance": STUDY | SERIES | INSTANCE,
}  # fmt: skip
MAX_TERMS: Final = 64
MAX_VALUE: Final = 1024

_IGNORED = frozenset({"accept", "charset"})
_WILD = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_MOMENT = {
    "DA": re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", re.ASCII),
    "TM": re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?", re.ASCII),
    "DT": re.compile(r"\d{4}(\d\d){0,5}(\.\d{1,6})?([+]\d{4}|[-](0\d|1[0-2])\d\d)?", re.ASCII),
}
_UID = re.compile(r"[0-9.]{1,64}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NUMERIC = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})


@dataclass(frozen=True)
class Match:
    """One attribute to match. `keyword` is the path ("RequestAttributesSequence.RequestedProcedureID") or a private
    tag in hex. `value`: the text; for a range (from, to), either may be ""; for uid-list the UIDs; for empty ""."""

    keyword: str
    vr: str
    kind: Kind
    value: str | tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """A checked search. `includefield` None stands for all. `unsupported` names what exists in DICOM and was asked
    for but cannot be matched at this level: the answer carries Warning 299 (PS3.18 section 8.3.4.6)."""

    level: Level
    matches: tuple[Match, ...]
    includefield: tuple[str, ...] | None
    limit: int | None
    offset: int
    fuzzymatching: bool
    unsupported: tuple[str, ...]


def parse(level: Level, items: Iterable[tuple[str, str]], matchable: Collection[str] | None = None) -> Query:
    """The query of percent-decoded (key, value) pairs; raises Malformed for what no search may say.

    `matchable` are the keyword paths that can be matched, by default those that PS3.18 table 10.6.1-5 requires."""
    known = MATCHABLE[level] if matchable is None else matchable
    matches: list[Match] = []
    unsupported: list[str] = []
    fields: list[str] = []
    single: dict[str, str] = {}
    for number, (key, value) in enumerate(items):
        if number >= MAX_TERMS or len(value) > MAX_VALUE:
            raise Malformed("The search has too many or too long terms.")
        if key in {"limit", "offset", "fuzzymatching"}:
            if key in single:
                raise Malformed(f"The parameter {key} is there twice.")
            single[key] = value
        elif key == "includefield":
            fields += [field.strip() for field in value.split(",") if field.strip()]
        elif key not in _IGNORED:
            path, vr = attribute(key)
            if path in known:
                matches.append(_match(path, vr, value))
            elif path not in unsupported:
                unsupported.append(path)
    wants_all = "all" in fields
    return Query(
        level,
        tuple(matches),
        None if wants_all else tuple(dict.fromkeys(attribute(field)[0] for field in fields)),
        _whole("limit", single["limit"]) if "limit" in single else None,
        _whole("offset", single.get("offset", "0")),
        _flag(single.get("fuzzymatching", "false")),
        tuple(unsupported),
    )


def attribute(text: str) -> tuple[str, str]:
    """(keyword path, VR of its last attribute) of keywords or eight-digit tags, dotted through sequences.

    Private attributes keep their tag in hex and have VR UN. Raises Malformed for what is no attribute."""
    path: list[str] = []
    vr = "SQ"
    for step in text.split("."):
        if vr != "SQ" or len(path) >= 8:
            raise Malformed("The search names an attribute that does not exist.")
        keyword, vr = _step(step)
        path.append(keyword)
    return ".".join(path), vr


def _step(step: str) -> tuple[str, str]:
    tag = int(step, 16) if re.fullmatch(r"[0-9A-Fa-f]{8}", step) else tag_for_keyword(step)
    if tag is not None and (tag >> 16) % 2:
        return f"{tag:08X}", "UN"
    keyword = keyword_for_tag(tag) if tag is not None else ""
    if tag is None or not keyword:
        raise Malformed("The search names an attribute that does not exist.")
    return keyword, dictionary_VR(tag).split(" ")[0]


def _match(path: str, vr: str, value: str) -> Match:
    text = value.strip(" ")
    if not text or not text.strip("*"):
        return Match(path, vr, "empty", "")
    if vr == "UI":
        return _uids(path, text)
    if vr in _MOMENT:
        return _moment(path, vr, text)
    if vr in _NUMERIC and not _NUMBER.fullmatch(text):
        raise Malformed(f"The value of {path} must be a number.")
    if vr in _WILD and ("*" in text or "?" in text):
        return Match(path, vr, "wildcard", text)
    return Match(path, vr, "exact", text)


def _uids(path: str, text: str) -> Match:
    uids = tuple(uid for uid in re.split(r"[,\\]", text) if uid)
    if not uids or not all(_UID.fullmatch(uid) for uid in uids):
        raise Malformed(f"The value of {path} is not a UID.")
    return Match(path, "UI", "exact", uids[0]) if len(uids) == 1 else Match(path, "UI", "uid-list", uids)


def _moment(path: str, vr: str, text: str) -> Match:
    """A date, time or date-time, or a range "a-b", "a-", "-b" (PS3.4 C.2.2.2.5)."""
    form = _MOMENT[vr]
    if form.fullmatch(text):
        return Match(path, vr, "exact", text)
    for hyphen in (found.start() for found in re.finditer("-", text)):
        start, end = text[:hyphen], text[hyphen + 1 :]
        if (start or end) and all(not side or form.fullmatch(side) for side in (start, end)):
            return Match(path, vr, "range", (start, end))
    kind = {"DA": "date", "TM": "time", "DT": "date and time"}[vr]
    raise Malformed(f"The value of {path} is not a {kind} or a range.")


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise Malformed(f"The parameter {name} must be a whole number, not below 0.")
    return int(text)


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise Malformed("The parameter fuzzymatching must be true or false.")
    return text == "true"
