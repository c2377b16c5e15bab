"""The patients' desk: take a refusal or lift it. A chart ID comes by a form, is shown back to its typist, and stays nowhere."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from sqlmodel import Session
from starlette.responses import Response

from core.errors import Refused
from core.permissions import Actor, Verb
from core.queries import opt_outs as queries
from core.services import optouts
from web.deps import FormDep, SessionDep, may
from web.render import page, redirect
from web.site import SiteDep

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Desk = Annotated[Actor, may(Verb.OPT_OUT)]
PAGE: Final = 50
_LONGEST: Final = 64


@router.get("/opt-outs")
def opt_outs_page(
    request: Request, session: SessionDep, node: SiteDep, actor: Desk, before: Annotated[int | None, Query()] = None
) -> Response:
    return _answer(request, session, node, actor, before=before)


@router.post("/opt-outs/check")
def opt_out_check(request: Request, session: SessionDep, node: SiteDep, actor: Desk, fields: FormDep) -> Response:
    """What is known and what would happen, before anything does."""
    chart_id = fields.get("chart_id", "").strip()
    if not 0 < len(chart_id) <= _LONGEST:
        return _answer(request, session, node, actor, {"typed": chart_id[:_LONGEST], "wrong": "opt-outs.missing"}, 422)
    try:
        standing = optouts.standing(node, session, actor, chart_id)
    except Refused as exc:
        return _answer(request, session, node, actor, {"typed": chart_id, "problem": exc.message}, 422)
    return _answer(request, session, node, actor, {"typed": chart_id, "standing": standing})


@router.post("/opt-outs/refuse")
def opt_out_refuse(request: Request, session: SessionDep, node: SiteDep, actor: Desk, fields: FormDep) -> Response:
    optouts.opt_out(node, session, actor, _chart_id(fields))
    return _receipt_of(request, session, actor, "opt-outs.refused.done")


@router.post("/opt-outs/lift")
def opt_out_lift(request: Request, session: SessionDep, node: SiteDep, actor: Desk, fields: FormDep) -> Response:
    optouts.lift(node, session, actor, _chart_id(fields))
    return _receipt_of(request, session, actor, "opt-outs.lifted.done")


@router.get("/opt-outs/receipts/{number}")
def opt_out_receipt(request: Request, number: int, session: SessionDep, actor: Desk) -> Response:
    return page(request, "opt_out_receipt.html", {"actor": actor, "act": queries.act(session, actor, number)})


def _chart_id(fields: Mapping[str, str]) -> str:
    """Raises Refused for a form without one; the vault refuses what it cannot read."""
    chart_id = fields.get("chart_id", "").strip()
    if not 0 < len(chart_id) <= _LONGEST:
        raise Refused("This chart ID is empty or nothing but zeros.")
    return chart_id


def _receipt_of(request: Request, session: Session, actor: Actor, note: str) -> Response:
    return redirect(request, f"/opt-outs/receipts/{queries.newest_of(session, actor).number}", note)


def _answer(
    request: Request,
    session: Session,
    node: SiteDep,
    actor: Actor,
    more: Mapping[str, object] | None = None,
    status: int = 200,
    before: int | None = None,
) -> Response:
    acts = queries.acts(session, actor, before, PAGE + 1)
    values: dict[str, object] = {
        "actor": actor,
        "typed": "",
        "wrong": None,
        "problem": None,
        "standing": None,
        "listed": optouts.listed(node, actor),
        "acts": acts[:PAGE],
        "before": acts[PAGE - 1].number if len(acts) > PAGE else None,
        "is_first": before is None,
        **(more or {}),
    }
    return page(request, "opt_outs.html", values, status)
