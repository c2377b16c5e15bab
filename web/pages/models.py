"""The models of a node: what is registered, what is in effect, each with its card and figures; promote, accept, roll back."""

from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlmodel import Session, func, select
from starlette.responses import Response

from core.errors import AppError, NotFound
from core.models.bank import Site
from core.models.people import User
from core.models.registry import IN_EFFECT, MODEL_MOVES, ModelState, ModelVersion
from core.node import CentralNode, Node, SiteNode
from core.permissions import Actor, Verb
from core.queries import offers as queries
from core.services import offers, registry
from web.deps import FormDep, NodeDep, SessionDep, may
from web.render import page, redirect

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site", "central")
Reader = Annotated[Actor, may(Verb.INFER, Verb.OFFER_MODEL, Verb.DECIDE_MODEL)]
Decider = Annotated[Actor, may(Verb.DECIDE_MODEL)]
_MOST_FIGURES: Final = 60


@router.get("/models")
def models_page(request: Request, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    found = registry.readable_models(session, actor)
    values = {
        "actor": actor,
        "models": found,
        "running": _running(node, found),
        "role": node.settings.role,
        "may_offer": actor.may(Verb.OFFER_MODEL),
        "coming": offers.coming(session) if isinstance(node, SiteNode) else [],
        "withdrawn": offers.withdrawn(session, node),
    }
    return page(request, "models.html", values)


@router.get("/models/{model_id}")
def model_page(request: Request, model_id: UUID, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    return _model(request, node, session, actor, model_id)


@router.post("/models/{model_id}/promote")
def model_promote(
    request: Request, model_id: UUID, node: NodeDep, session: SessionDep, actor: Decider, fields: FormDep
) -> Response:
    """Lets the version take effect once its person says that they have read the card."""
    if "read" not in fields:
        return _model(request, node, session, actor, model_id, "models.read_first", 422)
    try:
        registry.take_effect(node, session, actor, model_id)
    except NotFound:
        raise
    except AppError as wrong:
        return _model(request, node, session, actor, model_id, wrong.message, wrong.status)
    return redirect(request, f"/models/{model_id}", "models.taken.done")


@router.post("/models/{model_id}/retire")
def model_retire(
    request: Request, model_id: UUID, node: NodeDep, session: SessionDep, actor: Decider, fields: FormDep
) -> Response:
    try:
        registry.retire(node, session, actor, model_id)
    except NotFound:
        raise
    except AppError as wrong:
        return _model(request, node, session, actor, model_id, wrong.message, wrong.status)
    return redirect(request, f"/models/{model_id}", "models.retired.done")


def _model(
    request: Request, node: Node, session: Session, actor: Actor, model_id: UUID, problem: str = "", status: int = 200
) -> Response:
    model = registry.readable_model(session, actor, model_id)
    moves = MODEL_MOVES[ModelState(model.state)] if actor.may(Verb.DECIDE_MODEL, model.domain) else frozenset()
    other = registry.in_effect(session).get(model.domain)
    values = {
        "actor": actor,
        "model": model,
        "role": node.settings.role,
        "figures": figures_of(model.metrics)[:_MOST_FIGURES],
        "files": registry.files_of(session, model),
        "registered_by": _name(session, model.registered_by),
        "offered_to": queries.offered_to(session, model.sha256),
        "sites": _active_sites(session) if isinstance(node, CentralNode) else 0,
        "decided_by": _name(session, model.decided_by),
        "may_take": registry.effect_state(node.settings.role) in moves and model.task in registry.RUNS_ALONE,
        "may_retire": ModelState.RETIRED in moves,
        "other": other if other and other.id != model.id else None,
        "running": _running(node, [model]).get(str(model.id)),
        "is_withdrawn": model.sha256 in offers.withdrawn(session, node),
        "problem": problem,
    }
    return page(request, "model.html", values, status)


def _active_sites(session: Session) -> int:
    return session.exec(select(func.count()).select_from(Site).where(Site.active)).one()


def _running(node: Node, models: list[ModelVersion]) -> dict[str, bool]:
    """{id: whether the infer process has it loaded} of those in effect."""
    taken = [model for model in models if model.state in IN_EFFECT]
    if not taken:
        return {}
    told = node.inference.status()["models"]
    return {str(model.id): told.get(model.domain, {}).get("id") == str(model.id) for model in taken}


def figures_of(metrics: Mapping[str, Any], before: str = "") -> list[tuple[str, float]]:
    """(place, number) of every number in metrics.json, places joined by dots; lists are left to the card."""
    found: list[tuple[str, float]] = []
    for name, value in metrics.items():
        place = f"{before}{name}"
        if isinstance(value, Mapping):
            found += figures_of(value, f"{place}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((place, float(value)))
    return found


def _name(session: Session, user_id: UUID | None) -> str:
    user = session.get(User, user_id) if user_id else None
    return user.name if user else ""
