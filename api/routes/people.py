"""Log in for a token, see oneself, manage people and tokens."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import Field, SecretStr
from sqlmodel import SQLModel, col, select

from api.deps import ActorDep, NodeDep, SessionDep, bearer_of, may
from core.clock import now_utc
from core.errors import NotAuthenticated, NotFound
from core.models.people import ApiToken, Grant, Role, User
from core.permissions import Actor, Verb
from core.services import accounts, entering

router = APIRouter(prefix="/api/v1", tags=["people"])


class LogIn(SQLModel):
    name: str = Field(max_length=64)
    password: SecretStr = Field(max_length=200)


class TokenOut(SQLModel):
    id: UUID
    label: str
    scopes: list[str]
    expires_at: datetime
    token: str | None = Field(default=None, description="shown once, when it is made")


class GrantIn(SQLModel):
    role: Role
    domain: str = Field(default="*", pattern=r"^(\*|[a-z][a-z0-9_]{0,31})$")


class UserIn(SQLModel):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
    password: SecretStr = Field(max_length=200)
    grants: list[GrantIn] = Field(max_length=50)
    site: str | None = Field(default=None, pattern=r"^(\*|[A-Z0-9]{2,12})$")


class UserOut(SQLModel):
    id: UUID
    name: str
    disabled: bool
    grants: list[GrantIn]


class Me(SQLModel):
    name: str
    scopes: dict[str, list[str]]


class TokenIn(SQLModel):
    label: str = Field(min_length=1, max_length=64)
    scopes: list[str] = Field(min_length=1, max_length=50)
    days: float = Field(default=30, gt=0, le=366)


@router.post("/login", status_code=201)
def log_in(body: LogIn, request: Request, node: NodeDep, session: SessionDep) -> TokenOut:
    """A token for a working day, with every right of this person. Who has a one-time password makes tokens on the page
    /account instead."""
    request.app.state.throttle.check(body.name, request.client.host if request.client else "")
    try:
        user = accounts.user_of_password(session, body.name, body.password.get_secret_value())
    except NotAuthenticated:
        node.audit_now(accounts.VISITOR, "log-in.failed", accounts.id_of(session, body.name), door="api")
        raise
    entering.check_password_is_enough(session, node.settings, user)
    accounts.record_entry(session, user, door="api")
    actor = accounts.actor_of(session, user)
    scopes = [verb.value for verb, _ in actor.rights] or [Verb.SEE_CASES.value]
    token, secret = accounts.create_token(session, user, "log-in", scopes, accounts.LOGIN_TOKEN, actor)
    return _shown(token, secret)


def _shown(token: ApiToken, secret: str | None = None) -> TokenOut:
    return TokenOut(id=token.id, label=token.label, scopes=token.scopes, expires_at=token.expires_at, token=secret)


@router.get("/me")
def me(actor: ActorDep) -> Me:
    """Who this token or session belongs to, and what it may do in which organ domains."""
    return Me(name=actor.name, scopes={verb.value: sorted(domains) for verb, domains in actor.rights})


@router.get("/tokens")
def tokens(actor: ActorDep, session: SessionDep) -> list[TokenOut]:
    """One's own valid tokens, without their secrets."""
    rows = select(ApiToken).where(
        ApiToken.user_id == actor.user_id, col(ApiToken.revoked_at).is_(None), ApiToken.expires_at > now_utc()
    )
    return [_shown(token) for token in session.exec(rows.order_by(col(ApiToken.created_at)))]


@router.post("/tokens", status_code=201)
def create_token(body: TokenIn, request: Request, actor: ActorDep, session: SessionDep) -> TokenOut:
    """A token of one's own with narrower scopes. It never allows more than its owner may, nor outlives the token it is
    made with."""
    user = session.get(User, actor.user_id)
    if user is None:
        raise NotFound
    held = {verb.value for verb, _ in actor.rights}
    scopes = [scope for scope in body.scopes if scope in held or scope not in set(Verb)]
    lifetime = timedelta(days=body.days)
    token, secret = accounts.create_token(session, user, body.label, scopes, lifetime, actor, bearer_of(request))
    return _shown(token, secret)


@router.delete("/tokens/{token_id}", status_code=204)
def revoke_token(token_id: UUID, actor: ActorDep, session: SessionDep) -> None:
    accounts.revoke_token(session, actor, token_id)


@router.get("/users")
def users(
    session: SessionDep, actor: Annotated[Actor, may(Verb.PEOPLE)], limit: Annotated[int, Query(ge=1, le=500)] = 200
) -> list[UserOut]:
    found = session.exec(select(User).order_by(col(User.name)).limit(limit)).all()
    grants = session.exec(select(Grant).where(col(Grant.user_id).in_([user.id for user in found]))).all()
    return [_user(user, [grant for grant in grants if grant.user_id == user.id]) for user in found]


def _user(user: User, grants: list[Grant]) -> UserOut:
    shown = [GrantIn(role=Role(grant.role), domain=grant.domain) for grant in grants]
    return UserOut(id=user.id, name=user.name, disabled=user.disabled_at is not None, grants=shown)


@router.post("/users", status_code=201)
def create_user(body: UserIn, session: SessionDep, actor: Annotated[Actor, may(Verb.PEOPLE)]) -> UserOut:
    grants = [(grant.role, grant.domain) for grant in body.grants]
    user = accounts.create_user(session, actor, body.name, body.password.get_secret_value(), grants, body.site)
    return UserOut(id=user.id, name=user.name, disabled=False, grants=body.grants)


@router.post("/users/{user_id}/disable")
def disable_user(user_id: UUID, session: SessionDep, actor: Annotated[Actor, may(Verb.PEOPLE)]) -> UserOut:
    """Close an account; its tokens and sessions end at once."""
    user = accounts.disable_user(session, actor, user_id)
    return _user(user, list(session.exec(select(Grant).where(Grant.user_id == user.id))))
