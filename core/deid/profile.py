"""The confidentiality profile as data: PS3.15 Annex E, its options, and the only attributes that may stay."""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from core.errors import BadConfiguration

EDITION: Final = "2024b+2026c"
TABLE: Final = "ps3_15_annex_e_2024b.json"
BASIC: Final = "113100"
CLEAN_PIXELS: Final = "113101"
CLEAN_GRAPHICS: Final = "113103"
CLEAN_DESCRIPTORS: Final = "113105"
MODIFIED_DATES: Final = "113107"
PATIENT_CHARACTERISTICS: Final = "113108"
DEFAULT_OPTIONS: Final = frozenset(
    {BASIC, CLEAN_PIXELS, CLEAN_GRAPHICS, CLEAN_DESCRIPTORS, MODIFIED_DATES, PATIENT_CHARACTERISTICS}
)
CODE_ITEMS: Final = "*codes"
_DATA: Final = Path(__file__).parent / "data"
_COLUMNS: Final = {  # column of the table -> CID 7050
    "cleanDescOpt": CLEAN_DESCRIPTORS,
    "cleanGraphOpt": CLEAN_GRAPHICS,
    "cleanStructContOpt": "113104",
    "rtnDevIdOpt": "113109",
    "rtnInstIdOpt": "113112",
    "rtnLongFullDatesOpt": "113106",
    "rtnLongModifDatesOpt": MODIFIED_DATES,
    "rtnPatCharsOpt": PATIENT_CHARACTERISTICS,
    "rtnSafePrivOpt": "113111",
    "rtnUIDsOpt": "113110",
}


@dataclass(frozen=True)
class Row:
    """One row of Table E.1-1: `basic` is X, Z, D, U or a choice such as X/Z/D; `options` maps CID 7050 codes to K or C.

    `pattern` matches the eight hexadecimal digits of the tags that the row is about."""

    pattern: str
    name: str
    basic: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Allowed:
    """One attribute that may stay, inside `parent` (empty at the top level), and by which rule.

    `type` is that of the ultrasound IODs (PS3.3 A.6, A.7): 1 must have a value, 2 may be empty, 3 may be absent."""

    parent: str
    tag: int
    keyword: str
    vrs: frozenset[str]
    type: str
    rule: str

    @property
    def is_required(self) -> bool:
        return self.type in {"1", "2"}


def pattern_of(tag: str) -> str:
    """What the tags of a row look like, as a regular expression over their eight digits."""
    if "ODD" in tag.upper():
        return "[0-9A-F]{3}[13579BDF][0-9A-F]{4}"
    digits = re.sub(r"[(),\s]", "", tag).upper()
    if digits in {"50000000", "60003000", "60004000"}:  # how the 2026c list writes the repeating groups
        digits = {"50000000": "50XXXXXX"}.get(digits, "60XX" + digits[4:])
    return digits.replace("X", "[0-9A-F]")


def annex_e_file() -> Path:
    return _DATA / TABLE


@cache
def annex_e() -> tuple[Row, ...]:
    """Every row: the 2024b table with its option columns, then those that the 2026c list adds (basic profile only)."""
    table = json.loads(annex_e_file().read_text(encoding="utf-8"))
    rows = [
        Row(pattern_of(row["tag"]), row["name"], row["basicProfile"],
            {code: row[column] for column, code in _COLUMNS.items() if row.get(column)})
        for row in table
    ]  # fmt: skip
    known = {row.pattern for row in rows}
    added = json.loads((_DATA / "ps3_15_annex_e_2026c_additions.json").read_text(encoding="utf-8"))
    rows += [Row(pattern_of(tag), "", basic, {}) for tag, basic in added.items() if pattern_of(tag) not in known]
    return tuple(rows)


@cache
def _by_tag() -> tuple[dict[str, Row], tuple[Row, ...]]:
    plain = {row.pattern: row for row in annex_e() if "[" not in row.pattern}
    return plain, tuple(row for row in annex_e() if "[" in row.pattern)


@cache
def row_for(tag: int) -> Row | None:
    """The row of Table E.1-1 about this tag, groups such as 50xx and odd ones included."""
    digits = f"{tag:08X}"
    plain, patterns = _by_tag()
    found = plain.get(digits)
    return found or next((row for row in patterns if re.fullmatch(row.pattern, digits)), None)


def action(tag: int, options: frozenset[str] = DEFAULT_OPTIONS) -> str | None:
    """What the table asks for under these options; None when it does not list the tag."""
    row = row_for(tag)
    if row is None:
        return None
    letters = {row.options[code] for code in options if code in row.options}
    return "C" if "C" in letters else "K" if "K" in letters else row.basic


def resolve(choice: str, type_: str) -> str:
    """One letter of a choice such as X/Z/D: an attribute of type 1 needs a dummy, of type 2 a place, of type 3 nothing."""
    letters = choice.replace("*", "").split("/")
    if len(letters) == 1:
        return letters[0]
    order = {"1": "DZX", "1C": "DZX", "2": "ZDX", "2C": "ZDX"}.get(type_, "XZDU")
    return next(letter for letter in order if letter in letters)


@cache
def _allowed() -> dict[tuple[str, int], Allowed]:
    with (_DATA / "us_allowed.tsv").open(encoding="utf-8", newline="") as lines:
        rows = [
            Allowed(row["parent"], int(re.sub(r"[(),]", "", row["tag"]), 16), row["keyword"],
                    frozenset(row["vr"].split("|")), row["type"], row["rule"])
            for row in csv.DictReader(lines, delimiter="\t")
        ]  # fmt: skip
    return {(row.parent, row.tag): row for row in rows}


@cache
def allow_list() -> tuple[Allowed, ...]:
    return tuple(_allowed().values())


@cache
def _code_sequences() -> frozenset[str]:
    return frozenset(row.keyword for row in allow_list() if row.rule == "codes") | {
        "DeidentificationMethodCodeSequence"
    }


def allowed(tag: int, parent: str = "") -> Allowed | None:
    """The rule for this tag inside items of `parent`, None where it must go: every tag that is not listed goes."""
    found = _allowed().get((parent, tag))
    if found is None and parent in _code_sequences():
        found = _allowed().get((CODE_ITEMS, tag))
    return found


@cache
def method_codes() -> Mapping[str, str]:
    """CID 7050: code -> English meaning, from the vocabulary's list."""
    with (_DATA / "deid_method.tsv").open(encoding="utf-8", newline="") as lines:
        return {row["code"]: row["english"] for row in csv.DictReader(lines, delimiter="\t")}


def check_options(options: frozenset[str]) -> None:
    """Raises BadConfiguration: options may be left out, but those that keep more than the default are not offered."""
    if BASIC not in options or not options <= DEFAULT_OPTIONS:
        raise BadConfiguration("These de-identification options are not offered.")
