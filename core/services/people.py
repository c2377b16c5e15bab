"""What an administrator does with accounts, and what people do with their own: grants, passwords, second factors."""

import secrets
from collections.abc import Sequence
from uuid import UUID

from sqlmodel import Session, select

from core import audit, security
from core.errors import Conflict, Malformed, NotFound, WrongState
from core.models.people import Grant, Role, User
from core.permissions import Actor, Verb, check
from core.services import accounts, totp

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is mistaken for another
NO_PASSWORD = "This account has no password: it signs in through the log-in service, or with tokens."  # noqa: S105
LAST_ADMIN = "You cannot take the administrator's role from yourself: another administrator can."
OLD_IS_WRONG = "The old password is wrong."


def new_password() -> str:
    """A password to hand over: 98 random bits in letters that can be read out."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))


def create(session: Session, actor: Actor, name: str, password: str, grants: Sequence[tuple[Role, str]]) -> User:
    """A new person. Raises Conflict when the name is taken, Malformed for a password that is too short."""
    check(actor, Verb.PEOPLE)
    return accounts.create_user(session, actor, name, password, list(grants))


def set_grants(session: Session, actor: Actor, user_id: UUID, grants: Sequence[tuple[Role, str]]) -> None:
    """Exactly these grants by hand; what groups gave stays. Nobody takes the last ADMIN from themselves."""
    check(actor, Verb.PEOPLE)
    user = _user(session, user_id)
    held = session.exec(select(Grant).where(Grant.user_id == user.id)).all()
    by_group = {(Role(grant.role), grant.domain) for grant in held if grant.by_group}
    by_hand = {(Role(grant.role), grant.domain): grant for grant in held if not grant.by_group}
    wanted = set(grants) - by_group
    if user.id == actor.user_id and not any(role is Role.ADMIN for role, _ in wanted | by_group):
        raise Conflict(LAST_ADMIN)
    if any(role is Role.MACHINE for role, _ in wanted) and not user.site:
        raise Malformed("A MACHINE speaks for one site: give its code.")
    for key, grant in by_hand.items():
        if key not in wanted:
            session.delete(grant)
    session.add_all(Grant(user_id=user.id, role=role, domain=domain) for role, domain in wanted - by_hand.keys())
    if wanted != by_hand.keys():
        named = sorted(f"{role.value}:{domain}" for role, domain in wanted)
        audit.record(session, actor, "user.grants", user.id, None, None, by_hand=named)


def enable(session: Session, actor: Actor, user_id: UUID) -> None:
    """Open a closed account again; the tokens and sessions that ended with it stay ended."""
    check(actor, Verb.PEOPLE)
    user = _user(session, user_id)
    if user.disabled_at is not None:
        user.disabled_at = None
        audit.record(session, actor, "user.enable", user.id)


def reset_password(session: Session, actor: Actor, user_id: UUID, password: str | None = None) -> str:
    """Another password, shown once; every session and token of this person ends."""
    _may_manage(actor)
    user = _user(session, user_id)
    if user.password_hash is None:
        raise WrongState(NO_PASSWORD)
    password = password or new_password()
    user.password_hash = security.hash_password(password)
    accounts.end_everything(session, user.id)
    audit.record(session, actor, "user.password-reset", user.id)
    return password


def reset_totp(session: Session, actor: Actor, user_id: UUID) -> None:
    """For who lost the authenticator and the recovery codes; their sessions and tokens end."""
    _may_manage(actor)
    user = _user(session, user_id)
    totp.remove(session, actor, user.id)
    accounts.end_everything(session, user.id)


def change_password(session: Session, actor: Actor, old: str, new: str, keep: str | None) -> None:
    """One's own password; the other sessions end, the one with the secret `keep` goes on. Raises Malformed."""
    user = self_of(session, actor)
    if user.password_hash is None:
        raise WrongState(NO_PASSWORD)
    if not security.password_matches(old, user.password_hash):
        raise Malformed(OLD_IS_WRONG)
    user.password_hash = security.hash_password(new)
    accounts.end_sessions(session, user.id, keep)
    audit.record(session, actor, "user.password", user.id)


def _may_manage(actor: Actor) -> None:
    """Administrators of the node, and the operator at its command line, who is no account."""
    if actor.user_id is not None:
        check(actor, Verb.PEOPLE)


def self_of(session: Session, actor: Actor) -> User:
    """One's own account."""
    user = session.get(User, actor.user_id) if actor.user_id else None
    if user is None:
        raise NotFound
    return user


def _user(session: Session, user_id: UUID) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound
    return user
