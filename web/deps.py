"""What a page may ask for: the node, the one transaction of this request, who sits at the browser, and a small form."""

from collections.abc import Iterator
from typing import Annotated, Final, cast
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request
from sqlmodel import Session

from core.db import transaction
from core.errors import Denied, Malformed, NotAuthenticated
from core.node import Node
from core.permissions import Actor, Verb
from core.security import session_cookie_name
from core.services import accounts

POLL: Final = "sonobank-poll"
_FORM_BYTES = 256 * 1024
_FORM_FIELDS = 1200


def node_of(request: Request) -> Node:
    return cast(Node, request.app.state.node)


NodeDep = Annotated[Node, Depends(node_of)]


def open_session(request: Request, node: NodeDep) -> Iterator[Session]:
    """One request is one transaction, committed before the reply; its failpoint is the page's name."""
    name = str(getattr(request.scope.get("route"), "name", "unknown"))
    with transaction(node.engine, f"web.{name}") as session:
        yield session


SessionDep = Annotated[Session, Depends(open_session, scope="function")]


def session_secret(request: Request) -> str | None:
    return request.cookies.get(session_cookie_name(request.app.state.settings))


def visitor(request: Request, session: SessionDep) -> Actor | None:
    """Who sits at this browser; None when nobody has signed in, or too long ago."""
    secret = session_secret(request)
    # A page that asks by itself how a job goes does not keep its person signed in.
    is_asking_itself = POLL in request.headers
    return accounts.actor_of_session(session, secret, is_use=not is_asking_itself) if secret else None


VisitorDep = Annotated[Actor | None, Depends(visitor)]


def signed_in(found: VisitorDep) -> Actor:
    """Raises NotAuthenticated, which a page answers by leading to /sign-in."""
    if found is None:
        raise NotAuthenticated
    return found


ActorDep = Annotated[Actor, Depends(signed_in)]


class Need:
    """A dependency that lets only people with one of `verbs` in; the matrix test reads the table of routes beside it."""

    def __init__(self, *verbs: Verb) -> None:
        self.verbs = verbs

    def __call__(self, actor: ActorDep) -> Actor:
        if not any(actor.may(verb) for verb in self.verbs):
            raise Denied
        return actor


def may(*verbs: Verb) -> Actor:
    """As the default of a parameter: the person, who may do one of `verbs` in some domain."""
    return cast(Actor, Depends(Need(*verbs)))


class Fields(dict[str, str]):
    """The fields of a form: by name the last value, and by `many` every value in its order."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def many(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]


async def small_form(request: Request) -> Fields:
    """The fields of a URL-encoded form.

    It may come from anybody, so it is cut off before it fills memory. Raises Malformed."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Malformed("A form is sent as application/x-www-form-urlencoded.")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _FORM_BYTES:
            raise Malformed("This form is too long.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FORM_FIELDS)
    except ValueError:
        raise Malformed("This form is not well formed.") from None
    return Fields(pairs)


FormDep = Annotated[Fields, Depends(small_form)]


def refuse_other_sites(request: Request) -> None:
    """Raise Denied for a form that another site sent; for forms that come before there is a cookie to check.

    A browser says where a form comes from in Sec-Fetch-Site (HTTPS and loopback) or in Origin; what sends neither is
    not a browser and cannot be tricked."""
    own = urlsplit(request.app.state.settings.base_url)
    if site := request.headers.get("sec-fetch-site"):
        allowed = site in {"same-origin", "none"}
    else:
        allowed = request.headers.get("origin") in {None, f"{own.scheme}://{own.netloc}"}
    if not allowed:
        raise Denied("This form came from another site.")
