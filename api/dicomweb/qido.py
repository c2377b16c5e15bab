"""QIDO-RS (PS3.18 section 10.6): studies, series and instances that match, as DICOM JSON."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from api.deps import NodeDep, SessionDep, may
from api.dicomweb import fields
from api.dicomweb.accept import JSON_TYPES, best
from api.dicomweb.answers import send_json
from api.dicomweb.refusals import BadRequest, DicomwebRoute
from core.dicom.query import Level, Query, parse
from core.node import Node
from core.permissions import Actor, Verb
from core.queries import archive_search

MOST: Final = 5_000
MOST_WITH_METADATA: Final = 500
router = APIRouter(route_class=DicomwebRoute)
Reader = Annotated[Actor, may(Verb.DICOM_READ)]


@dataclass(frozen=True)
class _Search:
    """What one request searches: the level, and the UIDs of its path."""

    level: Level
    study: str | None = None
    series: str | None = None


@router.get("/studies")
@router.head("/studies", include_in_schema=False)
def studies(request: Request, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    """Search for studies."""
    return _answer(request, node, session, actor, _Search("study"))


@router.get("/series")
@router.head("/series", include_in_schema=False)
def all_series(request: Request, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    """Search for series in all studies."""
    return _answer(request, node, session, actor, _Search("series"))


@router.get("/instances")
@router.head("/instances", include_in_schema=False)
def all_instances(request: Request, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    """Search for instances in all studies."""
    return _answer(request, node, session, actor, _Search("instance"))


@router.get("/studies/{study}/series")
@router.head("/studies/{study}/series", include_in_schema=False)
def series_of_study(request: Request, study: str, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    """Search for series of a study."""
    return _answer(request, node, session, actor, _Search("series", study))


@router.get("/studies/{study}/instances")
@router.head("/studies/{study}/instances", include_in_schema=False)
def instances_of_study(request: Request, study: str, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    """Search for instances of a study."""
    return _answer(request, node, session, actor, _Search("instance", study))


@router.get("/studies/{study}/series/{series}/instances")
@router.head("/studies/{study}/series/{series}/instances", include_in_schema=False)
def instances_of_series(
    request: Request, study: str, series: str, node: NodeDep, session: SessionDep, actor: Reader
) -> Response:
    """Search for instances of a series."""
    return _answer(request, node, session, actor, _Search("instance", study, series))


def _answer(request: Request, node: Node, session: Session, actor: Actor, what: _Search) -> Response:
    kind = best(request, JSON_TYPES)
    items = request.query_params.multi_items()
    if any("\0" in text for item in items for text in item):
        raise BadRequest
    query = parse(what.level, items)
    levels = fields.levels_of(what.level, what.study is not None, what.series is not None)
    wanted = fields.wanted(query, levels)
    most = MOST_WITH_METADATA if wanted is None or wanted else MOST
    page = archive_search.search(session, actor, query, most, what.study, what.series)
    headers = {"Vary": "Accept"}
    if warnings := _warnings(f"{node.settings.base_url}/dicom-web", query, page.remaining):
        headers["Warning"] = ", ".join(warnings)
    if not page.rows:
        return Response(status_code=204, headers=headers)
    models = [fields.model(node.settings.base_url, row, levels) for row in page.rows]
    if wanted is None or wanted:
        _add(
            models,
            archive_search.samples(session, what.level, page.rows),
            lambda held: fields.pick(held, wanted, what.level),
        )
    return send_json(request, kind, map(_text, models), headers, is_long=False)


def _add(
    models: Iterable[dict[str, Any]], metadata: Iterable[str], pick: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Attributes that have no column, from the stored metadata; a column's value stays."""
    for model, text in zip(models, metadata, strict=True):
        for tag, element in pick(json.loads(text)).items():
            model.setdefault(tag, element)


def _text(model: dict[str, Any]) -> str:
    return json.dumps(dict(sorted(model.items())), ensure_ascii=False, separators=(",", ":"))


def _warnings(service: str, query: Query, remaining: int) -> list[str]:
    """PS3.18 sections 8.3.4.2, 8.3.4.4.1 and 8.3.4.6."""
    found = []
    if remaining:
        more = f"{remaining}" if remaining < archive_search.COUNTED else f"at least {archive_search.COUNTED}"
        found.append(f"There are {more} additional results that can be requested")
    if query.fuzzymatching:
        found.append("The fuzzymatching parameter is not supported. Only literal matching has been performed.")
    if query.unsupported:
        found.append(f"These attributes cannot be matched at this level: {' '.join(query.unsupported)}")
    return [f"299 {service}: {text}" for text in found]
