"""People of this node: who may do what and in which organ domains, by whom they get in, and what to do when they cannot."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.errors import AppError, Malformed
from core.models.people import Role
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.queries import people as queries
from core.queries.people import Account
from core.services import accounts
from core.services import people as service
from core.settings import Settings
from web.deps import Fields, FormDep, SessionDep, may
from web.render import page, redirect

router = APIRouter(include_in_schema=False)
Admin = Annotated[Actor, may(Verb.PEOPLE)]
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DOMAIN: Final = re.compile(r"\*|[a-z][a-z0-9_]{0,31}")
_R = Role
# Those that a kind of node has work for; whatever else somebody holds is shown, too.
_OFFERED: Final[dict[str, tuple[Role, ...]]] = {
    "site": (_R.EXAM, _R.CUR, _R.REG, _R.XFER, _R.SITEPI, _R.PTDESK, _R.SITEIT, _R.AUD, _R.ADMIN),
    "central": (_R.DOM, _R.CENOP, _R.CLDOP, _R.AIDEV, _R.AUD, _R.ADMIN),
    "pacs": (_R.SITEIT, _R.DOM, _R.CENOP, _R.AUD, _R.ADMIN),
}
# Of the whole node: an organ domain says nothing about them.
_WHOLE: Final = frozenset({_R.PTDESK, _R.SITEIT, _R.AUD, _R.ADMIN, _R.MACHINE})
ROLE_WORDS: Final[dict[Role, str]] = {
    _R.EXAM: "people.role.EXAM",
    _R.CUR: "people.role.CUR",
    _R.REG: "people.role.REG",
    _R.SITEPI: "people.role.SITEPI",
    _R.LINK: "people.role.LINK",
    _R.SITEIT: "people.role.SITEIT",
    _R.XFER: "people.role.XFER",
    _R.PTDESK: "people.role.PTDESK",
    _R.DOM: "people.role.DOM",
    _R.CENOP: "people.role.CENOP",
    _R.DAC: "people.role.DAC",
    _R.CLDOP: "people.role.CLDOP",
    _R.AIDEV: "people.role.AIDEV",
    _R.AUD: "people.role.AUD",
    _R.VEND: "people.role.VEND",
    _R.ADMIN: "people.role.ADMIN",
    _R.MACHINE: "people.role.MACHINE",
}


@router.get("/people")
def people_page(request: Request, session: SessionDep, actor: Admin, role: str = "", state: str = "open") -> Response:
    return _list(request, session, actor, Fields([("role", role), ("state", state)]))


@router.post("/people/search")
def search_people(request: Request, session: SessionDep, actor: Admin, fields: FormDep) -> Response:
    """By name: what is typed into a search field stays out of addresses and so out of logs."""
    return _list(request, session, actor, fields)


@router.get("/people/new")
def new_person_page(request: Request, actor: Admin) -> Response:
    return _new(request, actor, {"name": "", "given": set(), "problem": None, "problem_of": None})


@router.post("/people")
def create_person(request: Request, session: SessionDep, actor: Admin, fields: FormDep) -> Response:
    """The first password is shown once, on the page of the new account."""
    name, given = fields.get("name", "").strip(), _grants(fields)
    password = fields.get("password", "") or service.new_password()
    values = {"name": name[:64], "given": given, "problem": None, "problem_of": None}
    if not _NAME.fullmatch(name):
        return _new(request, actor, values | {"problem_of": "name"}, 422)
    try:
        user = service.create(session, actor, name, password[:200], sorted(given))
    except AppError as exc:
        field = "password" if isinstance(exc, Malformed) else "name"
        return _new(request, actor, values | {"problem": exc.message, "problem_of": field}, exc.status)
    session.flush()
    return _person(request, session, actor, user.id, {"secret": password, "is_new": True})


@router.get("/people/{user_id}")
def person_page(request: Request, session: SessionDep, actor: Admin, user_id: UUID) -> Response:
    return _person(request, session, actor, user_id)


@router.post("/people/{user_id}/grants")
def set_grants(request: Request, session: SessionDep, actor: Admin, user_id: UUID, fields: FormDep) -> Response:
    given = _grants(fields)
    try:
        service.set_grants(session, actor, user_id, sorted(given))
    except AppError as exc:
        return _person(request, session, actor, user_id, {"problem": exc.message, "given": given}, exc.status)
    return redirect(request, f"/people/{user_id}", note="people.grants.done")


@router.post("/people/{user_id}/disable")
def disable_person(request: Request, session: SessionDep, actor: Admin, user_id: UUID) -> Response:
    accounts.disable_user(session, actor, user_id)
    return redirect(request, f"/people/{user_id}", note="people.disable.done")


@router.post("/people/{user_id}/enable")
def enable_person(request: Request, session: SessionDep, actor: Admin, user_id: UUID) -> Response:
    service.enable(session, actor, user_id)
    return redirect(request, f"/people/{user_id}", note="people.enable.done")


@router.post("/people/{user_id}/password")
def reset_password(request: Request, session: SessionDep, actor: Admin, user_id: UUID) -> Response:
    """The new one is shown once."""
    secret = service.reset_password(session, actor, user_id)
    session.flush()
    return _person(request, session, actor, user_id, {"secret": secret})


@router.post("/people/{user_id}/totp")
def reset_totp(request: Request, session: SessionDep, actor: Admin, user_id: UUID) -> Response:
    service.reset_totp(session, actor, user_id)
    return redirect(request, f"/people/{user_id}", note="people.totp.done")


def _grants(fields: Fields) -> set[tuple[Role, str]]:
    """The ticked boxes, `ROLE:domain`; what is neither is somebody's own writing and counts for nothing."""
    pairs = (value.partition(":") for value in fields.many("grant"))
    return {(Role(role), domain) for role, _, domain in pairs if role in set(Role) and _DOMAIN.fullmatch(domain)}


def _list(request: Request, session: Session, actor: Actor, fields: Fields) -> Response:
    words, state = fields.get("words", "").strip()[:64], fields.get("state", "open")
    role = next((role for role in Role if role == fields.get("role")), None)
    values = {
        "actor": actor,
        "accounts": queries.people(session, actor, words, role, state),
        "total": queries.count(session, actor),
        "filters": {"words": words, "role": role or "", "state": state},
        "offered": _OFFERED[_settings(request).role],
        "role_words": ROLE_WORDS,
    }
    return page(request, "people.html", values, blocks={"people-rows": "people_rows"})


def _new(request: Request, actor: Actor, given: Mapping[str, object], status: int = 200) -> Response:
    values = {**given, "actor": actor, "grid": _grid(request, ()), "grouped": set(), "role_words": ROLE_WORDS}
    return page(request, "people_new.html", values, status)


def _person(
    request: Request,
    session: Session,
    actor: Actor,
    user_id: UUID,
    more: dict[str, object] | None = None,
    status: int = 200,
) -> Response:
    account = queries.account(session, actor, user_id)
    held = {(Role(grant.role), grant.domain) for grant in account.grants if not grant.by_group}
    values = {
        "actor": actor,
        "account": account,
        "is_self": account.id == actor.user_id,
        "grid": _grid(request, [account]),
        "given": held,
        "grouped": {(Role(grant.role), grant.domain) for grant in account.grants if grant.by_group},
        "role_words": ROLE_WORDS,
        "provider": _settings(request).oidc_name,
        "secret": None,
        "is_new": False,
        "problem": None,
    }
    return page(request, "person.html", values | (more or {}), status)


def _grid(request: Request, held_by: Sequence[Account]) -> dict[str, object]:
    """Rows and columns of the table of rights: what this node offers, and what is held beyond it."""
    settings = _settings(request)
    held = [(Role(grant.role), grant.domain) for account in held_by for grant in account.grants]
    roles = dict.fromkeys([*_OFFERED[settings.role], *(role for role, _ in held)])
    domains = dict.fromkeys([ALL_DOMAINS, *settings.domains, *sorted(domain for _, domain in held)])
    return {"roles": list(roles), "domains": list(domains), "whole": _WHOLE, "held": set(held)}


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
