"""What the site knows of ultrasound devices: the mask rules as they stand, and the devices of held images without one."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final
from uuid import UUID

from sqlalchemy import Text, cast
from sqlmodel import Session, col, func, select

from core.deid.mask_lint import Finding, lint
from core.deid.mask_rules import ALLOW, CATALOGUE, DeviceFacts, Rect, Rule, catalogue
from core.models.curation import ImageMask, MaskState
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.permissions import Actor, Verb
from core.queries.cases import readable_cases
from core.queries.device_rules import rules_in_use

PAGE: Final = 18
_SHAPE: Final = 3 / 4  # of a screen whose height no rule states


@dataclass(frozen=True)
class Screen:
    """A rule drawn to scale: the frame in pixels and what is blacked out of it. `is_guess`: the size is not stated.

    `rules` are all that say the same of it; `sources` and `conditions` are theirs."""

    rules: tuple[Rule, ...]
    columns: int
    rows: int
    is_guess: bool
    sources: tuple[str, ...]
    conditions: tuple[str, ...]

    @property
    def rule(self) -> Rule:
        return self.rules[0]

    @property
    def rects(self) -> tuple[Rect, ...]:
        """Cut to the frame, as they are when they are used."""
        cut = [
            Rect(r.x, r.y, min(r.width, self.columns - r.x), min(r.height, self.rows - r.y)) for r in self.rule.rects
        ]
        return tuple(rect for rect in cut if rect.width > 0 and rect.height > 0)

    @property
    def is_allowed(self) -> bool:
        """The rule says that nothing identifying is burned in."""
        return self.rule.action == ALLOW


@dataclass(frozen=True)
class Sample:
    """A held image whose mask is written, for a look at it."""

    case_id: UUID
    image_id: UUID


@dataclass(frozen=True)
class Device:
    """A known device: every rule that names its model. `images`: held here that one of them covers."""

    model: str
    makers: tuple[str, ...]
    aliases: tuple[str, ...]
    screens: tuple[Screen, ...]
    images: int
    cases: int
    sample: Sample | None

    @property
    def sizes(self) -> list[tuple[int, int]]:
        return sorted({(one.columns, one.rows) for one in self.screens if not one.is_guess})


@dataclass(frozen=True)
class Unknown:
    """A device of held images that no rule covers at this size. `is_other_size`: a rule knows it at another one."""

    maker: str
    model: str
    columns: int
    rows: int
    images: int
    cases: Sequence[tuple[UUID, int]]
    waiting: int
    is_other_size: bool


@dataclass(frozen=True)
class _Held:
    """The images of one case, device, size and rule."""

    maker: str
    model: str
    columns: int
    rows: int
    rule_id: str | None
    case_id: UUID
    number: int
    domain: str
    state: str
    images: int
    sample: str | None


@dataclass(frozen=True)
class Devices:
    unknown: Sequence[Unknown]
    known: Sequence[Device]
    total: int
    all: int
    has_more: bool
    findings: Sequence[Finding]


def devices(session: Session, actor: Actor, words: str = "", only_here: bool = False, page: int = 1) -> Devices:
    """Unknown ones first, those with most images on top; of the known ones those that are in use here, then by name."""
    held = _held(session, actor)
    every = _known(held, actor)
    plain = _plain(words)
    fitting = [one for one in every if plain in _plain(" ".join((one.model, *one.makers, *one.aliases)))]
    if only_here:
        fitting = [one for one in fitting if one.images]
    start = (page - 1) * PAGE
    return Devices(
        unknown=_unknown(held),
        known=fitting[start : start + PAGE],
        total=len(fitting),
        all=len(every),
        has_more=len(fitting) > start + PAGE,
        findings=_findings(rules_in_use(session), _seen(held)) if _may_lint(actor) else (),
    )


def _held(session: Session, actor: Actor) -> list[_Held]:
    """Images whose bytes are still here, of the cases that the actor may see, by case, device, size and rule."""
    case = readable_cases(actor).where(col(SiteCase.purged_at).is_(None)).subquery()
    maker, model = SiteImage.facts["manufacturer"].astext, SiteImage.facts["model"].astext
    sample = func.min(cast(SiteImage.id, Text)).filter(col(ImageMask.digest).is_not(None))
    keys = (maker, model, SiteImage.columns, SiteImage.rows, ImageMask.rule_id, *(case.c[n] for n in _CASE))
    statement = (
        select(*keys, func.count(), sample)  # type: ignore[call-overload]
        .select_from(SiteImage)
        .join(case, case.c.id == SiteImage.case_id)
        .join(ImageMask, (col(ImageMask.image_id) == SiteImage.id) & (col(ImageMask.state) != MaskState.VOID))
        .where(SiteImage.state == ImageState.STAGED, SiteImage.frames > 0)
        .group_by(*keys)
    )
    return [_Held(row[0] or "", row[1] or "", *row[2:]) for row in session.execute(statement)]


_CASE: Final = ("id", "number", "domain", "state")


def _unknown(held: Iterable[_Held]) -> list[Unknown]:
    groups: dict[tuple[str, str, int, int], list[_Held]] = defaultdict(list)
    for one in held:
        if one.rule_id is None:
            groups[one.maker, one.model, one.columns, one.rows].append(one)
    found = [_unknown_of(*key, group) for key, group in groups.items()]
    return sorted(found, key=lambda one: (-one.waiting, -one.images, one.maker, one.model))


def _unknown_of(maker: str, model: str, columns: int, rows: int, group: Sequence[_Held]) -> Unknown:
    cases = sorted({(one.number, one.case_id) for one in group})
    waiting = {one.case_id for one in group if one.state == CaseState.CURATING}
    facts = DeviceFacts(maker or None, model or None, (), rows, columns)
    return Unknown(
        maker, model, columns, rows, sum(one.images for one in group), [(case_id, number) for number, case_id in cases],
        len(waiting), any(rule.model and rule.is_device(facts, has_regions=False) for rule in catalogue()),
    )  # fmt: skip


def _known(held: Iterable[_Held], actor: Actor) -> list[Device]:
    by_rule: dict[str, list[_Held]] = defaultdict(list)
    for one in held:
        for rule_id in (one.rule_id or "").split("+"):
            by_rule[rule_id].append(one)
    found = [_device(screens, by_rule, actor) for screens in _screens().values()]
    return sorted(found, key=lambda one: (-one.images, one.model.casefold(), one.makers))


def _device(screens: tuple[Screen, ...], by_rule: dict[str, list[_Held]], actor: Actor) -> Device:
    rules = [rule for screen in screens for rule in screen.rules]
    used = {id(one): one for rule in rules for one in by_rule.get(rule.id, ())}.values()
    models = _names(rule.model for rule in rules)
    makers = _names(rule.manufacturer for rule in rules)
    seen = [one for one in used if one.sample and actor.may(Verb.SEE_PIXELS, one.domain)]
    newest = max(seen, key=lambda one: one.number, default=None)
    held_sizes = {(one.columns, one.rows) for one in used}
    drawn = sorted(
        screens,
        key=lambda one: (
            (one.columns, one.rows) not in held_sizes,
            not any(rule.id in by_rule for rule in one.rules),
            one.is_guess,
            -one.columns,
        ),
    )
    return Device(
        model=models[0] if models else "",
        makers=makers,
        aliases=models[1:],
        screens=tuple(drawn),
        images=sum(one.images for one in used),
        cases=len({one.case_id for one in used}),
        sample=Sample(newest.case_id, UUID(newest.sample)) if newest else None,
    )


@cache
def _screens() -> dict[str, tuple[Screen, ...]]:
    """The rules that are in use, by the device that they name: its model, or the maker where they name no model.

    Several catalogues say the same of a screen: it is drawn once."""
    found: dict[str, dict[tuple[object, ...], list[Rule]]] = defaultdict(lambda: defaultdict(list))
    for rule in catalogue():
        if not rule.problem:
            names = _names([rule.model]) or _names([rule.manufacturer])
            same = (*_size(rule), bool(rule.rows), rule.rects, rule.action)
            found[_plain(names[0]) if names else ""][same].append(rule)
    return {name: tuple(map(_screen, groups.values())) for name, groups in found.items()}


def _screen(rules: Sequence[Rule]) -> Screen:
    lines = [_lines()[rule.line] for rule in rules]
    sources, conditions = (tuple(dict.fromkeys(line[n] for line in lines if line[n])) for n in (0, 1))
    return Screen(tuple(rules), *_size(rules[0]), not rules[0].rows, sources, conditions)


def _size(rule: Rule) -> tuple[int, int]:
    """(columns, rows) of the frame; what no rule states is as wide as its rectangles and has a screen's shape."""
    right = max((rect.x + rect.width for rect in rule.rects), default=0)
    bottom = max((rect.y + rect.height for rect in rule.rects), default=0)
    rows = max(rule.rows, default=0)
    columns = max(rule.columns, default=0) or right or round(rows / _SHAPE) or 640
    return columns, rows or max(round(columns * _SHAPE), bottom)


@cache
def _lines() -> dict[int, tuple[str, str]]:
    """By its line in the catalogue: where a rule comes from, and what else it asks of an image."""
    with CATALOGUE.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {n: (row.get("source") or "", row.get("other_conditions") or "") for n, row in enumerate(reader, 2)}


def _may_lint(actor: Actor) -> bool:
    return actor.may(Verb.PEERS) or actor.may(Verb.DEVICE_RULES)


def _seen(held: Iterable[_Held]) -> frozenset[tuple[str, str, int, int]]:
    return frozenset((one.maker, one.model, one.rows, one.columns) for one in held)


@lru_cache(maxsize=8)
def _findings(own: tuple[Rule, ...], seen: frozenset[tuple[str, str, int, int]]) -> tuple[Finding, ...]:
    """The linter's words on the catalogue beside the site's own rules, and on what the held images are called."""
    facts = [DeviceFacts(maker or None, model or None, (), rows, columns) for maker, model, rows, columns in seen]
    return tuple(lint((*own, *catalogue()), facts))


def _names(patterns: Iterable[str]) -> tuple[str, ...]:
    """What patterns name, without their signs, each once."""
    found: dict[str, str] = {}
    for pattern in patterns:
        for one in re.findall(r"/(?:[^/])+/|[^|]+", pattern):
            name = re.sub(r"^/(?:\(\?i\))?\^?(.*?)\$?/$", r"\1", one.strip()).lstrip("~=^").strip()
            if name:
                found.setdefault(_plain(name), name)
    return tuple(found.values())


def _plain(text: str) -> str:
    return "".join(text.casefold().split())
