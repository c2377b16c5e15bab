"""Proposes what to black out: the bands that the device's rule names, and everything outside the ultrasound regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.deid.mask_rules import ALLOW, DeviceFacts, Rect, Rule, catalogue, catalogue_version
from core.dicom.ultrasound import Region

__all__ = ["MOST_RECTS", "DeviceFacts", "Proposal", "Rect", "kept_regions", "left_visible", "propose"]

MOST_RECTS: Final = 64
_ALL_OF_IT: Final = 0.97
_MOST_OWN: Final = 4  # rules of the site for one image; their versions together must fit their column
_Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Proposal:
    """`rects` do not overlap and lie inside the image; `rule_id` joins the rules used with +, None where none knew it.

    `must_look`: nobody has shown yet that this covers such a screen, so that a person must look closely."""

    rects: tuple[Rect, ...]
    reason: str
    rule_id: str | None
    rule_version: str | None
    must_look: bool


@dataclass(frozen=True)
class _Known:
    rects: tuple[Rect, ...]
    rules: tuple[Rule, ...]
    reason: str
    is_sure: bool


def kept_regions(regions: Sequence[Region], rows: int, columns: int) -> tuple[Region, ...]:
    """The regions that hold a picture and not the whole screen.

    Data type 0 counts only when it is all there is; a region over nearly the whole image (Sequoia) says nothing."""
    typed = [region for region in regions if region.data_type != 0] or list(regions)
    whole = rows * columns * _ALL_OF_IT
    return tuple(one for one in typed if (one.x1 - one.x0 + 1) * (one.y1 - one.y0 + 1) < whole)


def propose(facts: DeviceFacts, regions: Sequence[Region], rules: Sequence[Rule] | None = None) -> Proposal:
    """The mask for an image of this device; never raises and never proposes to leave an image as it is unseen.

    Rules win over regions. A known device keeps its regions but for the rule's rectangles; an unknown one keeps its
    regions, and without any nothing. `rules` default to the shipped catalogue."""
    kept = kept_regions(regions, facts.rows, facts.columns)
    known = _known(facts, bool(regions), catalogue() if rules is None else rules)
    boxes = [(one.x0, one.y0, one.x1 + 1, one.y1 + 1) for one in kept]
    if known is None or (not known.rects and not boxes):
        covered = _covered(facts, boxes, ())
        where = "everything outside the ultrasound regions" if boxes else "the whole image, which has no region"
        return Proposal(covered, f"no rule knows this device at this size: {where}", None, None, must_look=True)
    reason, is_local = known.reason, bool(known.rules[0].version)
    if boxes and any(rule.outside for rule in known.rules):
        covered = _covered(facts, boxes, known.rects)
        reason += " and everything outside the ultrasound regions"
    else:
        covered = _covered(facts, [(0, 0, facts.columns, facts.rows)], known.rects)
    rule_id = "+".join(dict.fromkeys(rule.id for rule in known.rules[:8]))
    version = "+".join(rule.version for rule in known.rules) if is_local else catalogue_version()
    return Proposal(covered, reason, rule_id, version, must_look=not (is_local or (boxes and known.is_sure)))


def left_visible(facts: DeviceFacts, rects: Sequence[Rect]) -> tuple[Rect, ...]:
    """What these rectangles leave of the image, as few rectangles that do not overlap."""
    return _tiles(facts, [(rect.x, rect.y, rect.x + rect.width, rect.y + rect.height) for rect in rects], ())


def _known(facts: DeviceFacts, has_regions: bool, rules: Sequence[Rule]) -> _Known | None:
    """What the rules of this device say at this size, or at another size of the same proportions.

    A rule of the site's own goes before the catalogue's for its device; one that refuses other sizes leaves them unknown."""
    device = [rule for rule in rules if rule.is_device(facts, has_regions)]
    own = sorted((rule for rule in device if rule.version), key=_asks_most)[:_MOST_OWN]
    for usable in (own, [rule for rule in device if not rule.version]):
        found = _at_size(facts, usable)
        if found or any(rule.scale == "refuse" for rule in usable):
            return found
    return None


def _asks_most(rule: Rule) -> tuple[int, str]:
    return -len(rule.conditions) - bool(rule.software), rule.id


def _at_size(facts: DeviceFacts, device: Sequence[Rule]) -> _Known | None:
    fitting = [rule for rule in device if rule.is_size(facts)]
    if fitting:
        rects = tuple(rect for rule in fitting for rect in rule.rects)
        is_sure = any(rule.rows for rule in fitting)
        return _Known(rects, tuple(fitting), "the device's rule", is_sure)
    scaled, used = [], []
    for rule in device:
        sizes = [(r, c) for r in rule.rows for c in rule.columns if r * facts.columns == c * facts.rows]
        if sizes and rule.action != ALLOW and rule.scale == "proportional":
            used.append(rule)
            scaled += [_scaled(rect, facts.rows, rows) for rows, _ in sizes for rect in rule.rects]
    return _Known(tuple(scaled), tuple(used), "the device's rule, scaled to this size", True) if used else None


def _scaled(rect: Rect, rows: int, rule_rows: int) -> Rect:
    """Rounded outward."""
    x0, y0 = rect.x * rows // rule_rows, rect.y * rows // rule_rows
    x1 = -(-(rect.x + rect.width) * rows // rule_rows)
    y1 = -(-(rect.y + rect.height) * rows // rule_rows)
    return Rect(x0, y0, x1 - x0, y1 - y0)


def _covered(facts: DeviceFacts, kept: Sequence[_Box], rects: Sequence[Rect]) -> tuple[Rect, ...]:
    """What lies outside every kept box or inside a rectangle, as few rectangles that do not overlap.

    When that would be more than a person can look through, the largest box alone is kept."""
    masked = [(rect.x, rect.y, rect.x + rect.width, rect.y + rect.height) for rect in rects]
    found = _tiles(facts, kept, masked)
    if len(found) > MOST_RECTS and kept:
        found = _tiles(facts, [max(kept, key=lambda one: (one[2] - one[0]) * (one[3] - one[1]))], masked)
    return found if len(found) <= MOST_RECTS else (Rect(0, 0, facts.columns, facts.rows),)


def _tiles(facts: DeviceFacts, kept: Sequence[_Box], masked: Sequence[_Box]) -> tuple[Rect, ...]:
    inside = [_cut(box, facts) for box in (*kept, *masked)]
    xs = sorted({0, facts.columns, *(x for x0, _, x1, _ in inside for x in (x0, x1))})
    ys = sorted({0, facts.rows, *(y for _, y0, _, y1 in inside for y in (y0, y1))})
    cells = np.ones((len(ys) - 1, len(xs) - 1), np.bool_)
    for number, (x0, y0, x1, y1) in enumerate(inside):
        cells[ys.index(y0) : ys.index(y1), xs.index(x0) : xs.index(x1)] = number >= len(kept)
    open_runs: dict[tuple[int, int], int] = {}
    done: list[Rect] = []
    for row in range(len(ys)):
        runs = _runs(cells[row]) if row < len(cells) else []
        for run in [run for run in open_runs if run not in runs]:
            top = open_runs.pop(run)
            done.append(Rect(xs[run[0]], ys[top], xs[run[1]] - xs[run[0]], ys[row] - ys[top]))
        for run in runs:
            open_runs.setdefault(run, row)
    return tuple(sorted(done, key=lambda rect: (rect.y, rect.x)))


def _runs(cells: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], cells, [False])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _cut(box: _Box, facts: DeviceFacts) -> _Box:
    x0, y0, x1, y1 = box
    x0, y0 = min(max(x0, 0), facts.columns), min(max(y0, 0), facts.rows)
    return x0, y0, max(min(x1, facts.columns), x0), max(min(y1, facts.rows), y0)
