"""How far readers agree, as a page, a table of figures (CSV) and JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from core import audit
from core.curation.agreement import Figure
from core.permissions import Actor, Verb
from core.queries.agreement import Pair, agreement
from web.deps import SessionDep, may
from web.export import csv_answer
from web.render import page

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Assigner = Annotated[Actor, may(Verb.ASSIGN)]
_HEAD: Final = ("domain", "reader_1", "reader_2", "field", "measure", "n", "cases", "value", "low", "high")


@router.get("/agreement")
def agreement_page(request: Request, session: SessionDep, actor: Assigner) -> Response:
    return page(request, "agreement.html", {"actor": actor, "pairs": agreement(session, actor)})


@router.get("/agreement.csv")
def agreement_csv(session: SessionDep, actor: Assigner) -> Response:
    pairs = agreement(session, actor)
    audit.record(session, actor, "agreement.export", "csv", pairs=len(pairs))
    return csv_answer("agreement.csv", [list(_HEAD), *(row for pair in pairs for row in _rows(pair))])


@router.get("/agreement.json")
def agreement_json(session: SessionDep, actor: Assigner) -> Response:
    pairs = agreement(session, actor)
    audit.record(session, actor, "agreement.export", "json", pairs=len(pairs))
    body = json.dumps([_plain(pair) for pair in pairs], ensure_ascii=False, indent=1)
    headers = {"Content-Disposition": 'attachment; filename="agreement.json"', "Cache-Control": "no-store"}
    return Response(body, media_type="application/json", headers=headers)


def _measures(pair: Pair) -> Iterator[tuple[str, str, Figure]]:
    """(field or `roi`, measure, figure) of every figure of a pair."""
    for one in pair.fields:
        named = (("kappa", one.kappa), ("percent", one.percent), ("mean-difference", one.difference))
        yield from ((one.code, name, figure) for name, figure in named if figure is not None)
    rois = pair.rois
    yield from (("roi", "iou", rois.iou), ("roi", "dice", rois.dice))
    yield from (("roi", "centre-mm", rois.centre_mm), ("roi", "landmark-mm", rois.landmark_mm))


def _rows(pair: Pair) -> Iterator[list[str]]:
    for field, measure, figure in _measures(pair):
        numbers = [_number(value) for value in (figure.value, figure.low, figure.high)]
        yield [pair.domain, pair.one, pair.other, field, measure, str(figure.items), str(figure.patients), *numbers]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _plain(pair: Pair) -> dict[str, Any]:
    figures = [{"field": field, "measure": measure, **asdict(figure)} for field, measure, figure in _measures(pair)]
    return {
        "domain": pair.domain, "reader_1": pair.one, "reader_2": pair.other, "cases": pair.cases,
        "rois_matched": pair.rois.matched, "rois_of_one_only": pair.rois.alone, "figures": figures,
    }  # fmt: skip
