"""The PACS that this site may pull from: how each is reached, and whether it answers now."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.permissions import Actor, Verb
from core.queries.schedule import last_pulls
from core.services import peers
from web.deps import SessionDep, may
from web.render import page

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Desk = Annotated[Actor, may(Verb.PEERS)]


@router.get("/peers")
def peers_page(request: Request, session: SessionDep, actor: Desk) -> Response:
    return _answer(request, session, actor, None)


@router.post("/peers/{name}/test")
def try_peer(request: Request, name: str, session: SessionDep, actor: Desk) -> Response:
    """The page again, with what the peer said."""
    return _answer(request, session, actor, peers.try_peer(session, request.app.state.settings, actor, name))


def _answer(request: Request, session: Session, actor: Actor, tried: peers.Tried | None) -> Response:
    known = peers.known(request.app.state.settings)
    pulls = last_pulls(session)
    first = known.peers[0].name if known.peers else None
    values = {
        "actor": actor,
        "known": known,
        "tried": tried,
        # A case that names no peer is pulled from the first.
        "pulled": {peer.name: max(_moments(pulls, peer.name, first), default=None) for peer in known.peers},
    }
    return page(request, "peers.html", values, blocks={"peers": "peers"})


def _moments(pulls: dict[str | None, datetime], name: str, first: str | None) -> list[datetime]:
    names = {name, None} if name == first else {name}
    return [at for peer, at in pulls.items() if peer in names]
