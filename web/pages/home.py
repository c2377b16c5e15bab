"""The first page of a node: who one is, what one may do, and how much of what is here."""

from collections.abc import Callable, Mapping
from typing import Final

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.permissions import ALL_DOMAINS, Actor, Verb
from web import counts
from web.deps import ActorDep, SessionDep
from web.render import page

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, session: SessionDep, actor: ActorDep) -> Response:
    counted = _SHOWN[request.app.state.settings.role](session, actor)
    is_empty = all(value is None for value in counted.values())
    return page(request, "home.html", {"actor": actor, "rights": _by_domains(actor), "is_empty": is_empty, **counted})


def _by_domains(actor: Actor) -> list[tuple[list[str], list[Verb]]]:
    """The rights, those of the same organ domains together; the widest first."""
    groups: dict[frozenset[str], list[Verb]] = {}
    for verb, domains in actor.rights:
        groups.setdefault(domains, []).append(verb)
    ordered = sorted(groups.items(), key=lambda group: (ALL_DOMAINS not in group[0], -len(group[0]), sorted(group[0])))
    return [([ALL_DOMAINS] if ALL_DOMAINS in domains else sorted(domains), verbs) for domains, verbs in ordered]


def _site(session: Session, actor: Actor) -> Mapping[str, object]:
    return {"cases": counts.cases_by_state(session, actor), "packages": counts.packages_by_state(session, actor)}


def _central(session: Session, actor: Actor) -> Mapping[str, object]:
    return {"accepted": counts.accepted_cases(session, actor), "datasets": counts.dataset_lines(session, actor)}


def _pacs(session: Session, actor: Actor) -> Mapping[str, object]:
    return {"studies": counts.studies(session, actor)}


_SHOWN: Final[dict[str, Callable[[Session, Actor], Mapping[str, object]]]] = {
    "site": _site,
    "central": _central,
    "pacs": _pacs,
}
