"""One's own account: rights, password, one-time password and API tokens."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.errors import AppError
from core.permissions import Actor
from core.queries import people as queries
from core.services import accounts, people, totp
from core.settings import Settings
from web.deps import ActorDep, FormDep, SessionDep, session_secret
from web.pages.people import ROLE_WORDS
from web.qr import qr
from web.render import page, redirect

router = APIRouter(include_in_schema=False)
DAYS: Final = (7, 30, 90, 180, 366)
_LONGEST_PASSWORD, _LONGEST_CODE, _LONGEST_LABEL = 200, 40, 64


@router.get("/account")
def account_page(request: Request, session: SessionDep, actor: ActorDep) -> Response:
    return _account(request, session, actor)


@router.post("/account/password")
def change_password(request: Request, session: SessionDep, actor: ActorDep, fields: FormDep) -> Response:
    """Asks for the old one: an unattended browser is not enough. Wrong tries count like those of a log-in."""
    old, new, again = (fields.get(name, "")[:_LONGEST_PASSWORD] for name in ("old", "new", "again"))
    if new != again:
        return _account(request, session, actor, {"wrong": {"again": "account.password.differs"}}, 422)
    try:
        request.app.state.throttle.check(actor.name, request.client.host if request.client else "")
        people.change_password(session, actor, old, new, session_secret(request))
    except AppError as exc:
        field = "old" if exc.message == people.OLD_IS_WRONG or exc.status != 422 else "new"
        return _account(request, session, actor, {"refused": {field: exc.message}}, exc.status)
    return redirect(request, "/account", note="account.password.done")


@router.post("/account/totp")
def begin_totp(request: Request, session: SessionDep, actor: ActorDep) -> Response:
    totp.begin(session, _settings(request), people.self_of(session, actor))
    return redirect(request, "/account#totp")


@router.post("/account/totp/confirm")
def confirm_totp(request: Request, session: SessionDep, actor: ActorDep, fields: FormDep) -> Response:
    """The recovery codes are shown once."""
    user, code = people.self_of(session, actor), fields.get("code", "")[:_LONGEST_CODE]
    try:
        codes = totp.confirm(session, _settings(request), user, code)
    except AppError as exc:
        return _account(request, session, actor, {"refused": {"code": exc.message}}, exc.status)
    session.flush()
    return _account(request, session, actor, {"codes": codes})


@router.post("/account/totp/codes")
def renew_codes(request: Request, session: SessionDep, actor: ActorDep, fields: FormDep) -> Response:
    user, code = people.self_of(session, actor), fields.get("code", "")[:_LONGEST_CODE]
    try:
        codes = totp.renew_codes(session, _settings(request), user, code)
    except AppError as exc:
        return _account(request, session, actor, {"refused": {"code": exc.message}}, exc.status)
    session.flush()
    return _account(request, session, actor, {"codes": codes})


@router.post("/account/totp/remove")
def remove_totp(request: Request, session: SessionDep, actor: ActorDep, fields: FormDep) -> Response:
    """Asks for a code: an unattended browser is not enough."""
    user, code = people.self_of(session, actor), fields.get("code", "")[:_LONGEST_CODE]
    try:
        totp.switch_off(session, _settings(request), user, code)
    except AppError as exc:
        return _account(request, session, actor, {"refused": {"code": exc.message}}, exc.status)
    return redirect(request, "/account#totp", note="account.totp.remove.done")


@router.post("/account/tokens")
def create_own_token(request: Request, session: SessionDep, actor: ActorDep, fields: FormDep) -> Response:
    """The secret is shown once; scopes beyond one's own rights are not in the form and not taken."""
    label, days = fields.get("label", "").strip(), fields.get("days", "")
    held = {verb.value for verb, _ in actor.rights}
    scopes = [scope for scope in fields.many("scope") if scope in held]
    wrong = {
        "label": "account.tokens.no_label" if not 0 < len(label) <= _LONGEST_LABEL else None,
        "scope": "account.tokens.no_scope" if not scopes else None,
        "days": "account.tokens.no_days" if days not in map(str, DAYS) else None,
    }
    if any(wrong.values()):
        typed = {"label": label[:_LONGEST_LABEL], "scopes": scopes, "days": days}
        return _account(request, session, actor, {"wrong": wrong, "typed": typed}, 422)
    user = people.self_of(session, actor)
    token, secret = accounts.create_token(session, user, label, scopes, timedelta(days=int(days)), actor)
    session.flush()
    return _account(request, session, actor, {"token": token, "secret": secret})


@router.post("/account/tokens/{token_id}/revoke")
def revoke_own_token(request: Request, session: SessionDep, actor: ActorDep, token_id: UUID) -> Response:
    accounts.revoke_token(session, actor, token_id, own_only=True)
    return redirect(request, "/account#tokens", note="account.tokens.revoke.done")


def _account(
    request: Request, session: Session, actor: Actor, more: dict[str, object] | None = None, status: int = 200
) -> Response:
    settings, user = _settings(request), people.self_of(session, actor)
    secret = totp.draft(session, settings, user) if settings.totp != "off" else None
    values: dict[str, object] = {
        "actor": actor,
        "account": queries.account(session, actor, user.id),
        "role_words": ROLE_WORDS,
        "provider": settings.oidc_name,
        "totp": settings.totp,
        "draft": secret,
        "qr": qr(totp.address(settings, user, secret)) if secret else None,
        "codes_left": totp.codes_left(session, user.id),
        "tokens": queries.tokens(session, user.id),
        "days": DAYS,
        "typed": {"label": "", "scopes": [], "days": "30"},
        "codes": None,
        "token": None,
        "secret": None,
        "wrong": {},
        "refused": {},
    }
    return page(request, "account.html", values | (more or {}), status)


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
