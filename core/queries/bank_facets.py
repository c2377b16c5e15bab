"""Choosing among accepted cases: facets whose counts follow the other choices."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from core.queries.bank_facts import Line

UNSTATED: Final = "-"
Choices = Mapping[str, frozenset[str]]


def _one(value: object) -> tuple[str, ...]:
    return (UNSTATED,) if value is None else (str(value),)


def _frames(line: Line) -> tuple[str, ...]:
    facts = line.facts
    return tuple(kind for kind, count in (("still", facts.stills), ("cine", facts.cines)) if count)


# In the order of the page. A case may have several values of one facet; it is found by any of them.
FACETS: Final[dict[str, Callable[[Line], tuple[str, ...]]]] = {
    "domain": lambda line: (line.domain,),
    "diagnosis": lambda line: _one(line.facts.diagnosis),
    "malignancy": lambda line: _one(line.facts.malignancy),
    "rank": lambda line: _one(line.facts.truth_rank),
    "basis": lambda line: line.facts.bases or (UNSTATED,),
    "site": lambda line: (line.site,),
    "vendor": lambda line: line.facts.vendors or (UNSTATED,),
    "model": lambda line: line.facts.models or (UNSTATED,),
    "frames": _frames,
    "roi": lambda line: ("yes",) if line.facts.rois else ("no",),
    "version": lambda line: (str(line.version),),
}


@dataclass(frozen=True)
class Chosen:
    """The cases that fit every choice, and by facet how many each of its values has among those that fit the others."""

    lines: Sequence[Line]
    counts: Mapping[str, Mapping[str, int]]


def choose(lines: Iterable[Line], choices: Choices) -> Chosen:
    """Choices of one facet are alternatives, those of several must all fit."""
    found: list[Line] = []
    counts: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    for line in lines:
        values = {name: values_of(line) for name, values_of in FACETS.items()}
        missed = [name for name, wanted in choices.items() if wanted.isdisjoint(values[name])]
        if not missed:
            found.append(line)
            for name, own in values.items():
                counts[name].update(own)
        elif len(missed) == 1:
            counts[missed[0]].update(values[missed[0]])
    return Chosen(found, counts)


_SORTS: Final[dict[str, tuple[Callable[[Line], object], bool]]] = {
    "newest": (lambda line: (line.accepted_at is not None, line.accepted_at), True),
    "oldest": (lambda line: (line.accepted_at is None, line.accepted_at), False),
    "site": (attrgetter("site"), False),
    "diagnosis": (lambda line: (line.domain, line.facts.diagnosis or "~"), False),
    "images": (lambda line: line.facts.images, True),
}
SORTS: Final = tuple(_SORTS)


def ordered(lines: Sequence[Line], sort: str) -> list[Line]:
    """By one of SORTS; equals keep the order of their ids."""
    key, is_down = _SORTS[sort]
    return sorted(lines, key=key, reverse=is_down)  # type: ignore[arg-type]
