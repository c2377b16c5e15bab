"""Central's case browser: facets whose counts follow the other choices, pages, and the same list as CSV."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.permissions import Actor, Verb
from core.queries import bank
from core.queries.bank_facets import FACETS, SORTS, UNSTATED, Choices, ordered
from core.queries.bank_facts import Line, Picture
from core.services.bank import export_cases
from web.bank_words import in_words
from web.deps import SessionDep, may
from web.export import csv_answer
from web.render import look_of, page
from web.texts import Language

router = APIRouter(include_in_schema=False)
ROLES: Final = ("central",)
Reader = Annotated[Actor, may(Verb.SEE_BANK)]
_FACET_KEYS: Final = {
    "domain": "bank.facet.domain",
    "diagnosis": "bank.facet.diagnosis",
    "malignancy": "bank.facet.malignancy",
    "rank": "bank.facet.rank",
    "basis": "bank.facet.basis",
    "site": "bank.facet.site",
    "vendor": "bank.facet.vendor",
    "model": "bank.facet.model",
    "frames": "bank.facet.frames",
    "roi": "bank.facet.roi",
    "version": "bank.facet.version",
}
_SORT_KEYS: Final = {
    "newest": "bank.sort.newest",
    "oldest": "bank.sort.oldest",
    "diagnosis": "bank.sort.diagnosis",
    "site": "bank.sort.site",
    "images": "bank.sort.images",
}
_COLUMNS: Final = (
    "case_id", "domain", "diagnosis", "diagnosis_name", "malignancy", "truth_rank", "basis", "site", "research_id",
    "manufacturer", "model", "stills", "cines", "rois", "images_without_scale", "version", "accepted_month", "replicated",
)  # fmt: skip
_ROWS: Final = 25
_MOST_CHOICES: Final = 40
_LONGEST: Final = 64
_SHORT: Final = 6


@dataclass(frozen=True)
class Value:
    """One choice of a facet: its code, its words, how many cases it has, and whether it is chosen."""

    code: str
    words: str
    count: int
    is_chosen: bool


@dataclass(frozen=True)
class Facet:
    """`shown` is always open; `more` is behind one click."""

    name: str
    shown: list[Value]
    more: list[Value]


@router.get("/cases")
def bank_cases_page(request: Request, session: SessionDep, actor: Reader) -> Response:
    choices, sort, number = choices_of(request), _sort(request), _page_number(request)
    return page(
        request,
        "bank.html",
        {"actor": actor, **_shown(session, actor, look_of(request).lang, choices, sort, number)},
        blocks={"bank": "bank"},
    )


@router.get("/cases.csv")
def bank_csv(request: Request, session: SessionDep, actor: Reader) -> Response:
    """Everything that the list would show, for a spreadsheet."""
    found = export_cases(session, actor, choices_of(request), _sort(request))
    return csv_answer("cases.csv", table_of(look_of(request).lang, found))


def choices_of(request: Request) -> Choices:
    found = {name: request.query_params.getlist(name)[:_MOST_CHOICES] for name in FACETS}
    return {
        name: frozenset(value[:_LONGEST] for value in values if value) for name, values in found.items() if any(values)
    }


def _sort(request: Request) -> str:
    wanted = request.query_params.get("sort", "")
    return wanted if wanted in SORTS else SORTS[0]


def _page_number(request: Request) -> int:
    wanted = request.query_params.get("page", "1")
    return max(1, int(wanted)) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 7 else 1


def _shown(
    session: Session, actor: Actor, lang: Language, choices: Choices, sort: str, number: int
) -> dict[str, object]:
    chosen = bank.browse(session, actor, choices)
    last = max(1, -(-len(chosen.lines) // _ROWS))
    number = min(number, last)
    return {
        "facets": [_facet(lang, name, chosen.counts[name], choices.get(name, frozenset())) for name in FACETS],
        "chips": [
            (in_words(lang, name, code), address(choices, sort, without=(name, code)))
            for name, codes in choices.items()
            for code in sorted(codes)
        ],
        "total": len(chosen.lines),
        "rows": ordered(chosen.lines, sort)[(number - 1) * _ROWS : number * _ROWS],
        "sort": sort,
        "sorts": {name: address(choices, name) for name in SORTS},
        "number_of_page": number,
        "last": last,
        "earlier": address(choices, sort, number - 1) if number > 1 else None,
        "later": address(choices, sort, number + 1) if number < last else None,
        "csv": address(choices, sort, path="/cases.csv"),
        "facet_keys": _FACET_KEYS,
        "sort_keys": _SORT_KEYS,
        "in_words": lambda kind, value: in_words(lang, kind, value),
        "thumbnail": lambda line: thumbnail(actor, line),
    }


def _facet(lang: Language, name: str, counts: Mapping[str, int], chosen: frozenset[str]) -> Facet:
    """Ranks and versions in their own order, the rest by how many they are; what is chosen stays although it has none."""
    values = [
        Value(code, in_words(lang, name, code), counts.get(code, 0), code in chosen) for code in {*counts, *chosen}
    ]
    if name in ("rank", "version"):
        values.sort(key=lambda value: (value.code == UNSTATED, len(value.code), value.code))
    else:
        values.sort(key=lambda value: (-value.count, value.code == UNSTATED, value.words))
    shown = [value for place, value in enumerate(values) if place < _SHORT or value.is_chosen]
    return Facet(name, shown, [value for value in values if value not in shown])


def address(
    choices: Choices, sort: str, number: int = 1, without: tuple[str, str] | None = None, path: str = "/cases"
) -> str:
    """The list with these choices; what is the default is left out."""
    pairs = [(name, code) for name, codes in choices.items() for code in sorted(codes) if (name, code) != without]
    pairs += [("sort", sort)] if sort != SORTS[0] else []
    pairs += [("page", str(number))] if number > 1 else []
    return path + (f"?{urlencode(pairs)}" if pairs else "")


def instance_path(picture: Picture) -> str:
    study, series, instance = picture.study_uid, picture.series_uid, picture.sop_instance_uid
    return f"/dicom-web/studies/{study}/series/{series}/instances/{instance}"


def thumbnail(actor: Actor, line: Line) -> str | None:
    """A small picture of the first image, for those who may read the archive of its domain."""
    picture = line.facts.picture
    if picture is None or not actor.may(Verb.DICOM_READ, line.domain):
        return None
    return f"{instance_path(picture)}/thumbnail?viewport=96,72"


def table_of(lang: Language, found: list[Line]) -> list[list[str]]:
    """The head, and a row a case."""
    rows = [list(_COLUMNS)]
    for line in found:
        facts = line.facts
        cells = [
            line.id, line.domain, facts.diagnosis, in_words(lang, "diagnosis", facts.diagnosis), facts.malignancy,
            facts.truth_rank, " ".join(facts.bases), line.site, line.research_id, "; ".join(facts.vendors),
            "; ".join(facts.models), facts.stills, facts.cines, facts.rois, facts.unscaled, line.version,
            f"{line.accepted_at:%Y-%m}" if line.accepted_at else "", int(line.is_replicated),
        ]  # fmt: skip
        rows.append(["" if cell is None else str(cell) for cell in cells])
    return rows
