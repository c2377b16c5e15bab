"""Datasets at central: the list, the cohort that a version would take, its freezing, and how it is pulled."""

import re
from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.errors import Conflict, Malformed, NotFound, WrongState
from core.models.datasets import Split, VersionState
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.queries import datasets as queries
from core.queries.datasets import Choice, Cohort, VersionLine
from core.services import datasets
from core.vocabulary import domain as vocabulary
from web.bank_words import code_name, four_classes, in_words, of
from web.deps import Fields, FormDep, SessionDep, may
from web.render import asks_for_part, look_of, page, redirect
from web.texts import Language, text

router = APIRouter(include_in_schema=False)
ROLES: Final = ("central",)
Reader = Annotated[Actor, may(Verb.PULL, Verb.FREEZE)]
Lead = Annotated[Actor, may(Verb.FREEZE)]
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_RESERVED: Final = frozenset({"new"})
_LONGEST: Final = 64
_FILES: Final = 25
_RANKS: Final = ("1", "2", "3", "4", "5")
_SPLITS: Final = {Split.TRAIN: "datasets.train", Split.TUNE: "datasets.tune", Split.TEST: "datasets.test"}
_LISTS: Final = ("site", "vendor", "diagnosis")
_LIST_KEYS: Final = {
    "site": "bank.facet.site",
    "vendor": "bank.facet.vendor",
    "diagnosis": "bank.facet.diagnosis",
}
_MOST: Final = 60


@router.get("/datasets")
def datasets_page(request: Request, session: SessionDep, actor: Reader) -> Response:
    found = queries.timelines(session, datasets.readable_datasets(session, actor))
    values = {"actor": actor, "lines": found, "may_freeze": actor.may(Verb.FREEZE)}
    return page(request, "datasets.html", values, blocks={"dataset-list": "list"})


@router.get("/datasets/new")
def new_dataset_page(request: Request, session: SessionDep, actor: Lead) -> Response:
    return _builder(request, session, actor, Fields(list(request.query_params.multi_items())), {})


@router.post("/datasets")
def begin_dataset(request: Request, session: SessionDep, actor: Lead, fields: FormDep) -> Response:
    """A name, a domain and a choice: the dataset and its first version, or the same form with what is wrong."""
    name, domain = fields.get("name", "").strip(), fields.get("domain", "")
    if not _NAME.fullmatch(name) or name in _RESERVED:
        return _builder(request, session, actor, fields, {"name": "datasets.bad_name"})
    if domain not in _domains(actor):
        return _builder(request, session, actor, fields, {"domain": "datasets.bad_domain"})
    try:
        datasets.start(session, actor, name, domain, choice_of(fields))
    except (WrongState, Malformed):
        return _builder(request, session, actor, fields, {"choice": "datasets.nothing"})
    except Conflict:
        return _builder(request, session, actor, fields, {"name": "datasets.name_taken"})
    return redirect(request, f"/datasets/{name}", "datasets.begun.done")


@router.get("/datasets/{name}")
def dataset_page(request: Request, name: str, session: SessionDep, actor: Reader) -> Response:
    asked = Fields(list(request.query_params.multi_items()))
    return _dataset(request, session, actor, name, choice_of(asked) if "chosen" in asked else None)


@router.post("/datasets/{name}/versions")
def begin_dataset_version(request: Request, name: str, session: SessionDep, actor: Lead, fields: FormDep) -> Response:
    choice = choice_of(fields)
    try:
        datasets.begin_version(session, actor, name, choice)
    except (WrongState, Malformed):
        return _dataset(request, session, actor, name, choice, {"choice": "datasets.nothing"})
    return redirect(request, f"/datasets/{name}", "datasets.begun.done")


def choice_of(fields: Fields) -> Choice:
    """What the cohort's fields say; whether the values exist is the service's to judge."""
    sites, vendors, diagnoses = (tuple(sorted(set(fields.many(name)) - {""}))[:_MOST] for name in _LISTS)
    rank = fields.get("rank", "")
    return Choice(sites, vendors, diagnoses, int(rank) if rank in _RANKS else None, "roi" in fields)


def _domains(actor: Actor) -> list[str]:
    """The organ domains in which the actor may freeze."""
    domains = actor.domains(Verb.FREEZE)
    return [code for code in vocabulary.domains() if ALL_DOMAINS in domains or code in domains]


def _builder(request: Request, session: Session, actor: Actor, fields: Fields, wrong: Mapping[str, str]) -> Response:
    lang, domains = look_of(request).lang, _domains(actor)
    domain = fields["domain"] if fields.get("domain") in domains else next(iter(domains), "")
    choice = choice_of(fields)
    values = {
        "actor": actor,
        "domains": domains,
        "name": fields.get("name", "")[:_LONGEST],
        "wrong": wrong,
        "source": "/datasets/new",
        **_cohort(lang, domain, queries.cohort(session, domain, choice), choice),
    }
    return page(request, "datasets_new.html", values, 422 if wrong else 200, blocks={"choices": "choices"})


def _dataset(
    request: Request,
    session: Session,
    actor: Actor,
    name: str,
    choice: Choice | None,
    wrong: Mapping[str, str] | None = None,
) -> Response:
    lang, number = look_of(request).lang, _number(request, "files") or 1
    found = queries.opened(session, actor, name, _number(request, "version"), choice, (number - 1) * _FILES, _FILES)
    domain = found.line.dataset.domain
    values = {
        "actor": actor,
        "found": found,
        "may_pull": actor.may(Verb.PULL, domain),
        "wrong": wrong or {},
        "source": f"/datasets/{name}",
        "file_page": number,
        "file_pages": max(1, -(-found.files.count // _FILES)) if found.files else 1,
        "splits": _splits(found.shown),
        "said_choice": lambda kept: said_choice(lang, kept),
        "classes": _classes(lang, domain),
        **(_cohort(lang, domain, found.cohort, found.choice) if found.cohort else {"cohort": None}),
    }
    blocks = {"choices": "choices", "versions": "versions"}
    response = page(request, "dataset.html", values, 422 if wrong else 200, blocks=blocks)
    if asks_for_part(request) and request.headers.get("hx-target") == "versions" and not found.line.is_building:
        response.headers["HX-Refresh"] = "true"  # the build that the page waited for has ended: all of it is new
    return response


def _number(request: Request, name: str) -> int | None:
    """A number of the address. Raises NotFound for something else: such a page is not there."""
    wanted = request.query_params.get(name)
    if wanted is None:
        return None
    if not (wanted.isascii() and wanted.isdecimal() and len(wanted) < 8 and int(wanted)):
        raise NotFound
    return int(wanted)


def _cohort(lang: Language, domain: str, cohort: Cohort, choice: Choice) -> dict[str, object]:
    """What the cohort's fields and counts need; options that are chosen stay although no case has them any more."""
    chosen = {"site": choice.sites, "vendor": choice.vendors, "diagnosis": choice.diagnoses}
    offered = {"site": "sites", "vendor": "vendors", "diagnosis": "diagnoses"}
    return {
        "domain": domain,
        "cohort": cohort,
        "choice": choice,
        "options": {
            name: sorted(
                (
                    (code, in_words(lang, name, code), cohort.options[offered[name]].get(code, 0), code in chosen[name])
                    for code in {*cohort.options[offered[name]], *chosen[name]}
                ),
                key=lambda option: (-option[2], option[1]),
            )
            for name in _LISTS
        },
        "ranks": [(rank, in_words(lang, "rank", rank)) for rank in _RANKS],
        "list_keys": _LIST_KEYS,
        "planned": [(_SPLITS[split], cohort.splits[split]) for split in Split],
        "held": sorted(
            ((in_words(lang, "diagnosis", code or None), count) for code, count in cohort.by_diagnosis.items()),
            key=lambda held: -held[1],
        ),
    }


def _splits(shown: VersionLine | None) -> list[tuple[str, dict[str, int]]]:
    """(key of its words, what it holds) of each split of a frozen version."""
    if shown is None or shown.version.state != VersionState.FROZEN:
        return []
    counts: dict[str, dict[str, int]] = shown.version.counts.get("splits", {})
    nothing = {"patients": 0, "images": 0, "annotations": 0}
    return [(_SPLITS[split], nothing | counts.get(split.value, {})) for split in Split]


def said_choice(lang: Language, choice: Choice) -> str:
    """By what a version was chosen, in one line."""
    parts = [
        *choice.sites,
        *choice.vendors,
        *(code_name(lang, "diagnosis", code) for code in choice.diagnoses),
        *([text(lang, "datasets.rank_up_to", n=choice.truth_rank)] if choice.truth_rank else []),
        *([text(lang, "datasets.with_roi")] if choice.with_roi else []),
    ]
    return text(lang, "list.comma").join(parts) or text(lang, "datasets.everything")


def _classes(lang: Language, domain: str) -> list[tuple[int, str, str, str]]:
    """(category id, code, words, class of the four-class map) in the order of the COCO files."""
    try:
        organ = vocabulary.load(domain)
    except NotFound:
        return []
    four = {code: of(lang, entry.label) for entry in four_classes(organ) for code in entry.diagnoses}
    options = enumerate(organ.options["diagnosis"], 1)
    return [(n, option.code, of(lang, option.label), four.get(option.code, "")) for n, option in options]
