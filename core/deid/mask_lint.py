"""Finds rules of the mask catalogue that cannot work: not understood, never true, or beside the image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.deid.mask_rules import Rule, catalogue


@dataclass(frozen=True)
class Finding:
    """`kind`: unread, never, size, outside or double."""

    line: int
    rule_id: str
    kind: str
    text: str


def lint(rules: Sequence[Rule] | None = None) -> list[Finding]:
    """Everything to mend, in the order of the catalogue."""
    rules = catalogue() if rules is None else rules
    found = [finding for rule in rules for finding in (*_own(rule), *_among(rule, rules))]
    return sorted(found, key=lambda finding: (finding.line, finding.kind))


def _own(rule: Rule) -> Iterator[Finding]:
    if rule.problem:
        yield Finding(rule.line, rule.id, "unread", f"The rule is not used: {rule.problem}.")
    for rect in rule.rects:
        rows, columns = max(rule.rows, default=None), max(rule.columns, default=None)
        leaves_right = columns is not None and rect.x + rect.width > columns
        leaves_below = rows is not None and rect.y + rect.height > rows
        if leaves_right or leaves_below or not (rect.width and rect.height):
            yield Finding(rule.line, rule.id, "outside", "A rectangle leaves the image of the rule.")
            return


def _among(rule: Rule, rules: Sequence[Rule]) -> Iterator[Finding]:
    if not rule.problem and rule.manufacturer and not rule.model and _is_model(rule, rules):
        yield Finding(rule.line, rule.id, "never", "It asks the manufacturer for what is the name of a model.")
    twin = next((one for one in rules if one.rows != rule.rows and _is_slip(rule, one)), None)
    if twin is not None:
        rows = "/".join(map(str, sorted(twin.rows)))
        yield Finding(rule.line, rule.id, "size", f"The rows look like a slip of {rows}.")
    if any(one.id == rule.id and one.line < rule.line for one in rules):
        yield Finding(rule.line, rule.id, "double", "The same rule stands in the catalogue twice.")


def _words(pattern: str) -> set[str]:
    return {part.strip("~=^").casefold() for part in pattern.split("|")} - {""}


def _is_model(rule: Rule, rules: Sequence[Rule]) -> bool:
    """Its maker is a model of other rules and no other rule's maker."""
    words = _words(rule.manufacturer)
    models = {word for one in rules for word in _words(one.model)}
    makers = {word for one in rules if one is not rule and one.model for word in _words(one.manufacturer)}
    return bool(words) and words <= models and not words & makers


def _is_slip(rule: Rule, other: Rule) -> bool:
    """The same model and rectangle width, and rows of the same digits in another order."""
    if rule.problem or len(rule.rows) != 1 or len(other.rows) != 1 or not _words(rule.model) & _words(other.model):
        return False
    mine, theirs = str(min(rule.rows)), str(min(other.rows))
    standard = {"480", "576", "600", "720", "768", "960", "1024", "1080"}
    same_width = {rect.width for rect in rule.rects} & {rect.width for rect in other.rects}
    return bool(same_width) and sorted(mine) == sorted(theirs) and mine not in standard and theirs in standard
