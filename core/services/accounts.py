"""People of this node: users with grants, log-in, API tokens and browser sessions."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlmodel import Session, col, delete, func, select

from core import audit, permissions, security
from core.clock import now_utc
from core.errors import Conflict, Malformed, NotAuthenticated, NotFound
from core.models.people import ApiToken, Grant, HalfSignIn, Role, User, WebSession
from core.permissions import Actor, Verb

IDLE = timedelta(minutes=15)
LONGEST_SESSION = timedelta(hours=12)
LOGIN_TOKEN = timedelta(hours=12)
LONGEST_TOKEN = timedelta(days=366)
VISITOR: Final = Actor("visitor", None)
# The audit calls the node's own deeds by these; nobody else may be called so.
_RESERVED: Final = frozenset({"system", "operator", "visitor"})


def actor_of(session: Session, user: User, scopes: list[str] | None = None) -> Actor:
    """The user with the rights that their grants, and the token's scopes, leave them."""
    grants = session.exec(select(Grant.role, Grant.domain).where(Grant.user_id == user.id)).all()
    rights = permissions.rights_of([(Role(role), domain) for role, domain in grants], scopes)
    return Actor(user.name, user.id, rights, user.site)


def create_user(
    session: Session,
    actor: Actor,
    name: str,
    password: str | None,
    grants: list[tuple[Role, str]],
    site: str | None = None,
) -> User:
    """A new person or machine. Raises Conflict when the name is taken."""
    if is_taken(session, name):
        raise Conflict("There is a user of that name already.")
    if any(role is Role.MACHINE for role, _ in grants) and not site:
        raise Malformed("A MACHINE speaks for one site: give its code.")
    user = User(name=name, password_hash=security.hash_password(password) if password else None, site=site)
    session.add(user)
    session.flush()
    session.add_all(Grant(user_id=user.id, role=role, domain=domain) for role, domain in dict.fromkeys(grants))
    audit.record(session, actor, "user.create", user.id, roles=sorted({role.value for role, _ in grants}))
    return user


def is_taken(session: Session, name: str) -> bool:
    """Whether an account, or the node itself, is called so; the case of letters makes no other name."""
    same = select(User.id).where(func.lower(User.name) == name.lower())
    return name.casefold() in _RESERVED or session.exec(same).first() is not None


def disable_user(session: Session, actor: Actor, user_id: UUID) -> User:
    """Close an account: its tokens and sessions end at once, and for good."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound
    if user.id == actor.user_id:
        raise Conflict("You cannot close your own account: another administrator can.")
    user.disabled_at = user.disabled_at or now_utc()
    end_everything(session, user.id)
    audit.record(session, actor, "user.disable", user.id)
    return user


def end_everything(session: Session, user_id: UUID) -> None:
    """Every session, half sign-in and token of this account ends."""
    end_sessions(session, user_id)
    tokens = select(ApiToken).where(ApiToken.user_id == user_id, col(ApiToken.revoked_at).is_(None))
    for token in session.exec(tokens):
        token.revoked_at = now_utc()


def end_sessions(session: Session, user_id: UUID, keep: str | None = None) -> None:
    """End the browser sessions of this account, all but the one with the secret `keep`."""
    kept = security.secret_hash(keep) if keep else ""
    session.exec(delete(WebSession).where(col(WebSession.user_id) == user_id, col(WebSession.secret_hash) != kept))
    session.exec(delete(HalfSignIn).where(col(HalfSignIn.user_id) == user_id))


def log_in(session: Session, name: str, password: str) -> User:
    """The user of this name and password; one answer for every way to be wrong."""
    user = user_of_password(session, name, password)
    record_entry(session, user)
    return user


def user_of_password(session: Session, name: str, password: str) -> User:
    """As `log_in`, for a door that asks for a second step before it lets anybody in."""
    user = session.exec(select(User).where(User.name == name, col(User.disabled_at).is_(None))).first()
    if not security.password_matches(password, user.password_hash if user else None) or user is None:
        raise NotAuthenticated("The name or the password is wrong.")
    return user


def record_entry(session: Session, user: User, **how: str) -> None:
    """Somebody is in: the audit and the list of people say so."""
    user.seen_at = now_utc()
    session.add(user)
    audit.record(session, Actor(user.name, user.id), "log-in", user.id, None, None, **how)


def id_of(session: Session, name: str) -> str:
    """The account that a failed log-in names, for the audit; empty when nobody is called so: what was typed may be a
    password in the wrong field."""
    return str(session.exec(select(User.id).where(User.name == name[:64].replace("\0", ""))).first() or "")


def create_token(
    session: Session,
    owner: User,
    label: str,
    scopes: list[str],
    lifetime: timedelta,
    by: Actor,
    through: str | None = None,
) -> tuple[ApiToken, str]:
    """(row, secret shown once). Scopes are verbs; a token never allows more than its user may.

    One that is made `through` another token (its secret) ends with that one at the latest."""
    unknown = set(scopes) - {verb.value for verb in Verb}
    if unknown or not scopes:
        raise Malformed("A scope is not known; GET /api/v1/me lists yours.")
    if not timedelta(0) < lifetime <= LONGEST_TOKEN:
        raise Malformed("A token lives between one second and 366 days.")
    secret, hashed = security.new_secret()
    ends = now_utc() + lifetime
    if through is not None:
        parent = select(ApiToken.expires_at).where(ApiToken.token_hash == security.secret_hash(through))
        ends = min(ends, session.exec(parent).one())
    token = ApiToken(user_id=owner.id, label=label, token_hash=hashed, scopes=sorted(set(scopes)), expires_at=ends)
    session.add(token)
    audit.record(session, by, "token.create", token.id, scopes=token.scopes)
    return token, secret


def revoke_token(session: Session, actor: Actor, token_id: UUID, *, own_only: bool = False) -> None:
    """End a token of one's own, or anyone's with the verb `people`."""
    token = session.get(ApiToken, token_id)
    may_others = actor.may(Verb.PEOPLE) and not own_only
    if token is None or (token.user_id != actor.user_id and not may_others):
        raise NotFound
    token.revoked_at = token.revoked_at or now_utc()
    audit.record(session, actor, "token.revoke", token.id)


def actor_of_token(session: Session, secret: str) -> Actor:
    """Who sends this bearer token. Raises NotAuthenticated when it is unknown, expired, revoked or its user disabled."""
    found = session.exec(
        select(ApiToken, User)
        .join(User, col(User.id) == ApiToken.user_id)
        .where(
            ApiToken.token_hash == security.secret_hash(secret),
            col(ApiToken.revoked_at).is_(None),
            ApiToken.expires_at > now_utc(),
            col(User.disabled_at).is_(None),
        )
    ).first()
    if found is None:
        raise NotAuthenticated("This token is not valid, has expired or was revoked.")
    token, user = found
    return actor_of(session, user, token.scopes)


def open_session(session: Session, user: User) -> str:
    """A new browser session; returns the secret for the cookie."""
    secret, hashed = security.new_secret()
    now = now_utc()
    session.add(WebSession(user_id=user.id, secret_hash=hashed, seen_at=now, expires_at=now + LONGEST_SESSION))
    return secret


def actor_of_session(session: Session, secret: str, *, is_use: bool = True) -> Actor | None:
    """Who sits at this browser; None when the session is unknown, ended or idle for 15 minutes.

    `is_use` is false for what a page asks by itself: it does not make the session live longer."""
    now = now_utc()
    found = session.exec(
        select(WebSession, User)
        .join(User, col(User.id) == WebSession.user_id)
        .where(
            WebSession.secret_hash == security.secret_hash(secret),
            WebSession.expires_at > now,
            WebSession.seen_at > now - IDLE,
            col(User.disabled_at).is_(None),
        )
    ).first()
    if found is None:
        return None
    web_session, user = found
    if is_use and now - web_session.seen_at > timedelta(seconds=30):
        web_session.seen_at = now
    return actor_of(session, user)


def close_session(session: Session, secret: str) -> None:
    """The person signs out."""
    row = session.exec(select(WebSession).where(WebSession.secret_hash == security.secret_hash(secret))).first()
    if row is not None:
        user = session.get_one(User, row.user_id)
        user.seen_at = row.seen_at
        audit.record(session, Actor(user.name, user.id), "log-out", user.id)
        session.delete(row)
