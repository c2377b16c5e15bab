"""What a route may ask for: the node, the one transaction of this request, and who is asking."""

from collections.abc import Callable, Iterator
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlmodel import Session

from core.db import transaction
from core.errors import NotAuthenticated
from core.node import Node
from core.permissions import Actor, Verb, check
from core.security import session_cookie_name
from core.services import accounts

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


async def node_of(request: Request) -> Node:  # async: a look-up needs no thread of its own
    return cast(Node, request.app.state.node)


NodeDep = Annotated[Node, Depends(node_of)]


def route_name(request: Request) -> str:
    return str(getattr(request.scope.get("route"), "name", "unknown"))


def open_session(request: Request, node: NodeDep) -> Iterator[Session]:
    """One request is one transaction, committed before the reply; its failpoint is the route's name."""
    with transaction(node.engine, f"api.{route_name(request)}") as session:
        yield session


SessionDep = Annotated[Session, Depends(open_session, scope="function")]


def bearer_of(request: Request) -> str | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" and secret.strip() else None


def current_actor(request: Request, node: NodeDep, session: SessionDep) -> Actor:
    """The sender of the bearer token; for safe methods a browser's session will do."""
    if secret := bearer_of(request):
        return accounts.actor_of_token(session, secret)
    cookie = request.cookies.get(session_cookie_name(node.settings))
    if cookie and request.method in SAFE_METHODS and (actor := accounts.actor_of_session(session, cookie)):
        return actor
    raise NotAuthenticated


ActorDep = Annotated[Actor, Depends(current_actor)]


class Need:
    """A dependency that lets only actors with `verb` in; the matrix test reads the verb from here."""

    def __init__(self, verb: Verb) -> None:
        self.verb = verb

    async def __call__(self, actor: ActorDep) -> Actor:
        check(actor, self.verb)
        return actor


def may(verb: Verb) -> Callable[..., Actor]:
    return cast(Callable[..., Actor], Depends(Need(verb)))
