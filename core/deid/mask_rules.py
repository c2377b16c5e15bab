"""Reads the catalogue of device masks: which screens carry identifying text where. Rules are parsed, never evaluated."""

import csv
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from core.deid import device_aliases

CATALOGUE: Final = Path(__file__).parent / "data" / "us_masks.tsv"
BLANK: Final = "blank"
ALLOW: Final = "allow"
_KEEP_ONLY: Final = "keep only (blank rest)"
_RECT = re.compile(r"\((\d+),(\d+),(\d+),(\d+)\)")
_ULTRASOUND = "1.2.840.10008.5.1.4.1.1."


class Rect(NamedTuple):
    """Pixels of the stored frame, x to the right, y downward, from the upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class DeviceFacts:
    """What a rule may ask of an image; `other` holds further header values by keyword, such as those of the file meta."""

    manufacturer: str | None
    model: str | None
    software: tuple[str, ...]
    rows: int
    columns: int
    image_type: tuple[str, ...] = ()
    modality: str | None = "US"
    sop_class_uid: str | None = None
    other: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """From `core.dicom.facts.InstanceFacts` as a dict."""
        return cls(
            facts.get("manufacturer"), facts.get("model"), tuple(facts.get("software") or ()),
            int(facts.get("rows") or 0), int(facts.get("columns") or 0), tuple(facts.get("image_type") or ()),
            facts.get("modality"), facts.get("sop_class_uid"),
        )  # fmt: skip


Test = Callable[[str], bool]
Condition = Callable[[DeviceFacts, bool], bool]


@dataclass(frozen=True)
class Rule:
    """One line of the catalogue. `problem` says why it cannot be used; empty sizes mean any.

    `conditions` take the facts and whether the image has ultrasound regions; `asks` are their words. `version` is set
    on a rule of the site's own, with what it says of other sizes and of what lies outside the regions
    (`core.deid.local_rules`)."""

    id: str
    line: int
    manufacturer: str
    model: str
    software: str
    rows: frozenset[int]
    columns: frozenset[int]
    conditions: tuple[Condition, ...]
    rects: tuple[Rect, ...]
    action: str
    problem: str = ""
    asks: str = ""
    version: str = ""
    scale: str = "proportional"
    outside: bool = True

    def is_device(self, facts: DeviceFacts, has_regions: bool) -> bool:
        """Whether everything but the size fits."""
        if self.problem:
            return False
        # Other names only where a rule of the catalogue blanks a model: never to let an image pass, never for all of a house.
        is_wide = bool(self.model) and self.action == BLANK and not self.version
        if self.model and not _says(self.model, facts.model or "", device_aliases.models if is_wide else None):
            return False
        makers = device_aliases.makers if is_wide else None
        if self.manufacturer and not _says(self.manufacturer, facts.manufacturer or "", makers):
            return False
        if self.software and not any(fits(self.software, value) for value in facts.software if value):
            return False
        return all(condition(facts, has_regions) for condition in self.conditions)

    def is_size(self, facts: DeviceFacts) -> bool:
        return (not self.rows or facts.rows in self.rows) and (not self.columns or facts.columns in self.columns)


@cache
def catalogue() -> tuple[Rule, ...]:
    with CATALOGUE.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple(read_rule(row, number) for number, row in enumerate(reader, 2))


@cache
def catalogue_version() -> str:
    return "1+" + hashlib.sha256(CATALOGUE.read_bytes()).hexdigest()[:12]


def read_rule(row: Mapping[str, str | None], line: int) -> Rule:
    """A rule from its columns; what is not understood becomes the rule's `problem` instead of a guess."""
    cells = {key: (value or "").strip() for key, value in row.items()}
    names = ("manufacturer_rule", "model_rule", "software_rule", "rows_rule", "columns_rule", "other_conditions",
             "rects_x_y_w_h", "action")  # fmt: skip
    text = "\t".join(cells.get(name, "") for name in names)
    rule_id = "us-" + hashlib.sha256(text.encode()).hexdigest()[:10]
    maker, model, software, rows, columns, conditions, rects, action = (cells.get(name, "") for name in names)
    parsed, problem = _conditions(conditions)
    if action == _KEEP_ONLY:
        problem = "keeps the ultrasound regions, as every proposal does"
    elif action not in {BLANK, ALLOW} or (action == BLANK) != bool(rects) or _RECT.sub("", rects).strip():
        problem = "its action or rectangles are not understood"
    elif not (maker or model or software or conditions):
        problem = "it names no device"
    for pattern in (maker, model, software):
        problem = problem or _pattern_problem(pattern)
    sizes = [_sizes(rows), _sizes(columns)]
    if None in sizes:
        problem = "its size is not understood"
    boxes = tuple(Rect(*map(int, found)) for found in _RECT.findall(rects))
    return Rule(rule_id, line, maker, model, software, sizes[0] or frozenset(), sizes[1] or frozenset(), parsed, boxes,
                action, problem, conditions)  # fmt: skip


def _sizes(text: str) -> frozenset[int] | None:
    parts = [part.strip().lstrip("=") for part in text.split("|") if part.strip()]
    return frozenset(map(int, parts)) if all(part.isdecimal() for part in parts) else None


@lru_cache(maxsize=4096)
def alternatives(pattern: str) -> tuple[str, ...]:
    """What `|` separates; inside /…/ it belongs to the expression."""
    return tuple(found.strip() for found in re.findall(r"/(?:[^/])+/|[^|]+", pattern) if found.strip())


def _pattern_problem(pattern: str) -> str:
    for one in alternatives(pattern):
        if one.startswith("/") and one.endswith("/") and len(one) > 2:
            try:
                re.compile(one[1:-1])
            except re.error:
                return "an expression in it is broken"
    return ""


@cache
def _test(one: str) -> Test:
    """~ or nothing: contains; = is; ^ begins with; /…/ an expression. Letter case and double spaces do not matter."""
    if one.startswith("/") and one.endswith("/") and len(one) > 2:
        expression = re.compile(one[1:-1], re.IGNORECASE)
        return lambda value: expression.search(value) is not None
    sign, text = (one[0], _plain(one[1:])) if one[0] in "~=^" else ("~", _plain(one))
    if sign == "=":
        return lambda value: _plain(value) == text
    if sign == "^":
        return lambda value: _plain(value).startswith(text)
    return lambda value: text in _plain(value)


def fits(pattern: str, value: str) -> bool:
    """Whether one of the alternatives of a pattern is true of a value."""
    return any(_test(one)(value) for one in alternatives(pattern))


@lru_cache(maxsize=8192)
def _says(pattern: str, value: str, others: Callable[[str], tuple[str, ...]] | None) -> bool:
    """Whether a pattern is true of a name, or says one of its `others` as whole words: LOGIQ7 does not say LOGIQ700."""
    if not value or fits(pattern, value):
        return bool(value)
    names = [_plain(name) for name in others(value)[1:]] if others else []
    return any(_is_named(one, name) for one in alternatives(pattern) for name in names)


def _is_named(one: str, name: str) -> bool:
    """Expressions name nothing but what they are true of."""
    text = _plain(one.lstrip("~=^"))
    if one[0] == "/":
        return False
    return name == text if one[0] == "=" else device_aliases.is_word(text, name)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _conditions(text: str) -> tuple[tuple[Condition, ...], str]:
    """The conditions of the last column, joined by ` & `, and what is not understood of them."""
    found: list[Condition] = []
    for part in filter(None, (piece.strip() for piece in text.split(" & "))):
        condition = _condition(part)
        if condition is None:
            return (), "a condition of it is not understood or asks for what is not known of an image"
        found.append(condition)
    return tuple(found), ""


def _condition(part: str) -> Condition | None:
    if part in {"Modality=US", "modality=US"}:
        return lambda facts, _: facts.modality == "US" or (facts.modality is None and _is_ultrasound(facts))
    if part == "requires_ultrasound_regions=True":
        return lambda _, has_regions: has_regions
    match = re.fullmatch(
        r"(?i)(sop_?class_?uid|image_?type(?:_exclude)?|software_?versions?|implementationversionname)"
        r"(=|~|startswith:)(.+)",
        part,
    )
    if match is None:
        return None
    name, sign, value = match[1].casefold().replace("_", ""), match[2].casefold(), match[3]
    pattern = value if sign == "=" else ("^" if sign == "startswith:" else "~") + value
    if name == "sopclassuid":
        return lambda facts, _: fits(pattern, facts.sop_class_uid or "")
    if name == "imagetypeexclude":
        return lambda facts, _: not fits(pattern, "\\".join(facts.image_type))
    if name == "imagetype":
        return lambda facts, _: fits(pattern, "\\".join(facts.image_type))
    if name == "implementationversionname":
        return lambda facts, _: fits(pattern, facts.other.get("ImplementationVersionName", ""))
    return lambda facts, _: any(fits(pattern, one) for one in facts.software)


def _is_ultrasound(facts: DeviceFacts) -> bool:
    uid = facts.sop_class_uid or ""
    return uid.startswith((_ULTRASOUND + "6", _ULTRASOUND + "3"))
