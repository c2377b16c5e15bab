"""Finds mask rules that cannot work: not understood, never true, beside the image, or at odds with another rule."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from core.deid.mask_rules import ALLOW, BLANK, DeviceFacts, Rect, Rule, alternatives, catalogue, fits

_NEAR: Final = 0.05  # sizes of one screen that were cut differently
_STANDARD: Final = frozenset({"480", "576", "600", "720", "768", "960", "1024", "1080"})


@dataclass(frozen=True)
class Finding:
    """`kind`: unread, never, size, name, outside, double, overlap, contradict or shadowed."""

    line: int
    rule_id: str
    kind: str
    text: str


def lint(rules: Sequence[Rule] | None = None, seen: Sequence[DeviceFacts] = ()) -> list[Finding]:
    """Everything to mend, in the order of the catalogue. `seen` are devices as files name them: a rule that means one of
    them and never fires for it is found too. Rules of the site's own stand before the catalogue (line 0)."""
    rules = catalogue() if rules is None else rules
    found = [finding for rule in rules for finding in (*_own(rule), *_among(rule, rules), *_at_odds(rule, rules))]
    found += [finding for rule in rules for finding in _missed(rule, seen)]
    return sorted(found, key=lambda finding: (finding.line, finding.rule_id, finding.kind))


def _own(rule: Rule) -> Iterator[Finding]:
    if rule.problem:
        yield Finding(rule.line, rule.id, "unread", f"The rule is not used: {rule.problem}.")
    elif _is_impossible(rule.asks):
        yield Finding(rule.line, rule.id, "never", "Its conditions ask for a thing and exclude it.")
    for rect in rule.rects:
        rows, columns = max(rule.rows, default=None), max(rule.columns, default=None)
        leaves_right = columns is not None and rect.x + rect.width > columns
        leaves_below = rows is not None and rect.y + rect.height > rows
        if leaves_right or leaves_below or not (rect.width and rect.height):
            yield Finding(rule.line, rule.id, "outside", "A rectangle leaves the image of the rule.")
            return


def _is_impossible(asks: str) -> bool:
    """One part asks that a value contains a text, another excludes every value that does."""
    parts = [part.strip() for part in asks.split(" & ")]
    wanted = {m[1].casefold() for part in parts if (m := re.fullmatch(r"(?i)image_?type[=~](.+)", part))}
    refused = {m[1].casefold() for part in parts if (m := re.fullmatch(r"(?i)image_?type_exclude[=~](.+)", part))}
    return any(no in yes for yes in wanted for no in refused)


def _among(rule: Rule, rules: Sequence[Rule]) -> Iterator[Finding]:
    if not rule.problem and rule.manufacturer and not rule.model and _is_model(rule, rules):
        yield Finding(rule.line, rule.id, "never", "It asks the manufacturer for what is the name of a model.")
    twin = next((one for one in rules if one.rows != rule.rows and _is_slip(rule, one)), None)
    if twin is not None:
        rows = "/".join(map(str, sorted(twin.rows)))
        yield Finding(rule.line, rule.id, "size", f"The rows look like a slip of {rows}.")
    if any(one.id == rule.id and one.line < rule.line for one in rules):
        yield Finding(rule.line, rule.id, "double", "The same rule stands in the catalogue twice.")


@lru_cache(maxsize=4096)
def _words(pattern: str) -> frozenset[str]:
    return frozenset(part.strip("~=^").casefold() for part in pattern.split("|")) - {""}


def _is_model(rule: Rule, rules: Sequence[Rule]) -> bool:
    """Its maker is a model of other rules and no other rule's maker."""
    words = _words(rule.manufacturer)
    models = {word for one in rules for word in _words(one.model)}
    makers = {word for one in rules if one is not rule and one.model for word in _words(one.manufacturer)}
    return bool(words) and words <= models and not words & makers


def _is_slip(rule: Rule, other: Rule) -> bool:
    """The same model and rectangle width, and rows of the same digits in another order."""
    if rule.problem or len(rule.rows) != 1 or len(other.rows) != 1:
        return False
    mine, theirs = str(min(rule.rows)), str(min(other.rows))
    if mine in _STANDARD or theirs not in _STANDARD or sorted(mine) != sorted(theirs):
        return False
    same_width = {rect.width for rect in rule.rects} & {rect.width for rect in other.rects}
    return bool(same_width) and bool(_words(rule.model) & _words(other.model))


def _at_odds(rule: Rule, rules: Sequence[Rule]) -> Iterator[Finding]:
    """What another rule makes of this one: one finding of a kind is enough."""
    if rule.problem or not (rule.model or rule.manufacturer):
        return
    wider = [one for one in rules if one is not rule and not one.problem and _is_within(rule, one)]
    own = next((one for one in wider if one.version and not rule.version), None)
    if own is not None:
        yield Finding(rule.line, rule.id, "shadowed", f"The site's own rule {own.id} is used instead of it.")
        return
    same = [one for one in wider if bool(one.version) == bool(rule.version)]
    if rule.action == ALLOW and any(one.action == BLANK for one in same):
        yield Finding(rule.line, rule.id, "contradict", "It lets pass what another rule of the device blanks.")
    if rule.version and any(one.version and _is_within(one, rule) for one in same):
        yield Finding(rule.line, rule.id, "contradict", "Another rule of the site is for the very same images.")
    other = next((one for one in same if one.rects != rule.rects and _adds_nothing(rule, one)), None)
    if other is not None and rule.action == BLANK:
        yield Finding(rule.line, rule.id, "overlap", f"It adds nothing to the rule in line {other.line}.")


def _is_within(rule: Rule, other: Rule) -> bool:
    """Whether every image of `rule` is one of `other`, as far as their patterns show it."""
    for sizes, wider in ((rule.rows, other.rows), (rule.columns, other.columns)):
        if wider and not (sizes and sizes <= wider):
            return False
    names = (
        (rule.model, other.model),
        (rule.manufacturer, other.manufacturer),
        (rule.software, other.software),
    )
    if not all(not theirs or mine == theirs or _is_narrower(mine, theirs) for mine, theirs in names):
        return False
    return not other.asks or set(other.asks.split(" & ")) <= set(rule.asks.split(" & "))


@lru_cache(maxsize=1 << 16)
def _is_narrower(pattern: str, wider: str) -> bool:
    """Whether the texts of all alternatives fit the wider pattern; an expression fits itself alone."""
    return bool(pattern) and all(
        one in alternatives(wider) if one[0] == "/" else fits(wider, one.lstrip("~=^")) for one in alternatives(pattern)
    )


def _adds_nothing(rule: Rule, other: Rule) -> bool:
    if not rule.rects or not other.rects:
        return False
    right = max(rect.x + rect.width for rect in rule.rects)
    bottom = max(rect.y + rect.height for rect in rule.rects)
    return not (_painted(rule.rects, right, bottom) & ~_painted(other.rects, right, bottom)).any()


def _painted(rects: Sequence[Rect], columns: int, rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """(rows, columns) bool, True where a rectangle lies."""
    found = np.zeros((rows, columns), np.bool_)
    for x, y, width, height in rects:
        found[y : y + height, x : x + width] = True
    return found


def _missed(rule: Rule, seen: Sequence[DeviceFacts]) -> Iterator[Finding]:
    """A rule that plainly means a device which was seen, and does not fire for it."""
    if rule.problem or not rule.model:
        return
    texts = [_bare(one) for one in alternatives(rule.model) if one[0] != "/"]
    meant = [facts for facts in seen if any(len(one) > 3 and one in _bare(facts.model or "") for one in texts)]
    for facts in meant:
        if not rule.is_device(facts, has_regions=True) and not fits(rule.model, facts.model or ""):
            yield Finding(rule.line, rule.id, "name", "Images write the name of this model in another way.")
            return
        is_near = _is_near(rule.rows, facts.rows) and _is_near(rule.columns, facts.columns)
        if rule.is_device(facts, has_regions=True) and not rule.is_size(facts) and is_near:
            text = f"Images of this device have {facts.columns} x {facts.rows} pixels."
            yield Finding(rule.line, rule.id, "size", text)
            return


def _is_near(sizes: frozenset[int], size: int) -> bool:
    return not sizes or any(abs(one - size) <= _NEAR * one for one in sizes)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
