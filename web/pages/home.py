"""The first page of a node: what a person of this node should look at first."""

from collections.abc import Callable, Mapping
from typing import Final

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.permissions import Actor
from core.queries import central, site_home
from core.settings import Settings
from web import counts
from web.deps import ActorDep, SessionDep
from web.render import page

router = APIRouter(include_in_schema=False)
Values = Mapping[str, object]
# The work that waits: its words and where it is done. Written out, so that no kind is without words or place.
_WAITING: Final = {
    "curate": ("home.wait.curate", "/worklist?state=CURATING"),
    "confirm": ("home.wait.confirm", "/worklist?masks=1"),
    "release": ("home.wait.release", "/worklist?state=REGISTERED"),
    "retry": ("home.wait.retry", "/worklist?state=RETRIEVE_FAILED"),
    "flagged": ("home.wait.flagged", "/worklist?state=QUEUED&mine=1"),
    "send": ("home.wait.send", "/transfers?show=SEND_FAILED"),
}


@router.get("/")
def home(request: Request, session: SessionDep, actor: ActorDep) -> Response:
    settings: Settings = request.app.state.settings
    shown = _SHOWN[settings.role](session, actor, settings)
    is_empty = all(value is None for value in shown.values())
    return page(request, "home.html", {"actor": actor, "is_empty": is_empty, **shown})


def _site(session: Session, actor: Actor, settings: Settings) -> Values:
    arrivals = site_home.arrivals(session, actor, site_home.last_night(settings.zone))
    waiting = [
        (words, address + (f"&domain={found.domain}" if found.domain else ""), found.count)
        for found in site_home.waiting(session, actor)
        for words, address in (_WAITING[found.kind],)
    ]
    return {
        "arrivals": arrivals,
        "waiting": waiting or None,
        "stuck_cases": site_home.stuck_cases(session, actor),
        "stuck_packages": site_home.stuck_packages(session, actor),
        "central_said": site_home.central_said(session, actor),
        "cases": counts.cases_by_state(session, actor),
    }


def _central(session: Session, actor: Actor, settings: Settings) -> Values:
    return central.overview(session, actor)


def _pacs(session: Session, actor: Actor, settings: Settings) -> Values:
    return {"studies": counts.studies(session, actor)}


_SHOWN: Final[dict[str, Callable[[Session, Actor, Settings], Values]]] = {
    "site": _site,
    "central": _central,
    "pacs": _pacs,
}
