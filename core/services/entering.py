"""The way into a node: a second step after the password where it is wanted, and accounts that an OpenID provider vouches for."""

import unicodedata
from datetime import timedelta
from enum import StrEnum
from typing import Final

from sqlmodel import Session, col, delete, select

from core import audit, security
from core.clock import now_utc
from core.errors import Denied, Malformed, NotAuthenticated
from core.models.people import ExternalIdentity, Grant, HalfSignIn, Role, User
from core.permissions import SYSTEM, Actor
from core.services import accounts, totp
from core.services.oidc import Person
from core.settings import Settings

HALF_WAY: Final = timedelta(minutes=10)
_TRIES: Final = 5
_LONGEST_NAME: Final = 60
CLOSED: Final = "This account is closed; ask the administrator."
TOO_LATE: Final = "Too much time has passed, or too many wrong codes; sign in again."


class Step(StrEnum):
    """What is to come after the right password."""

    IN = "in"
    CODE = "code"
    ENROL = "enrol"


def step_after_password(session: Session, settings: Settings, user: User) -> Step:
    if settings.totp == "off":
        return Step.IN
    if totp.is_on(session, user.id):
        return Step.CODE
    return Step.ENROL if settings.totp == "required" else Step.IN


def check_password_is_enough(session: Session, settings: Settings, user: User) -> None:
    """Raise Denied for who must give a one-time password, too: a door for machines does not ask for one."""
    if step_after_password(session, settings, user) is not Step.IN:
        raise Denied("This account needs a one-time password: sign in on the page and make a token under /account.")


def begin(session: Session, settings: Settings, user: User, step: Step) -> str:
    """Remember that the password was right; returns the secret for the cookie."""
    session.exec(
        delete(HalfSignIn).where((col(HalfSignIn.user_id) == user.id) | (col(HalfSignIn.expires_at) < now_utc()))
    )
    if step is Step.ENROL:
        totp.begin(session, settings, user)
    secret, hashed = security.new_secret()
    session.add(HalfSignIn(user_id=user.id, secret_hash=hashed, expires_at=now_utc() + HALF_WAY))
    return secret


def half_way(session: Session, secret: str | None) -> User:
    """Who is between the two steps. Raises NotAuthenticated."""
    return _half(session, secret)[1]


def finish(session: Session, settings: Settings, secret: str | None, code: str) -> tuple[User, list[str]]:
    """The second step: (who is in now, recovery codes to show once if they have just enrolled).

    Raises Malformed for a wrong code, TooMany, NotAuthenticated when it is too late."""
    half, user = _half(session, secret)
    recovery: list[str] = []
    try:
        if totp.is_on(session, user.id):
            totp.check(session, settings, user, code)
        else:
            recovery = totp.confirm(session, settings, user, code)
    except Malformed:
        half.tries += 1
        record_failure(session, user, "code")
        raise
    session.delete(half)
    accounts.record_entry(session, user, door="page", second="totp")
    return user, recovery


def record_failure(session: Session, user: User, step: str) -> None:
    audit.record(session, accounts.VISITOR, "log-in.failed", user.id, None, None, door="page", step=step)


def record_wrong_password(session: Session, name: str) -> None:
    """For a door that answers inside its transaction."""
    subject = accounts.id_of(session, name)
    audit.record(session, accounts.VISITOR, "log-in.failed", subject, None, None, door="page", step="password")


def _half(session: Session, secret: str | None) -> tuple[HalfSignIn, User]:
    found = session.exec(
        select(HalfSignIn, User)
        .join(User, col(User.id) == HalfSignIn.user_id)
        .where(
            HalfSignIn.secret_hash == security.secret_hash(secret or ""),
            HalfSignIn.expires_at > now_utc(),
            HalfSignIn.tries < _TRIES,
            col(User.disabled_at).is_(None),
        )
    ).first()
    if found is None:
        raise NotAuthenticated(TOO_LATE)
    return found[0], found[1]


def enter_person(session: Session, settings: Settings, person: Person) -> User:
    """The account of this person at the provider, made at the first log-in, with the rights of their groups.

    Raises Denied when it is closed here."""
    known = select(ExternalIdentity).where(
        ExternalIdentity.issuer == person.issuer, ExternalIdentity.subject == person.subject
    )
    identity = session.exec(known).first()
    user = session.get_one(User, identity.user_id) if identity else _new_user(session, person)
    if user.disabled_at is not None:
        audit.record(session, accounts.VISITOR, "log-in.failed", user.id, None, None, door="oidc", step="closed")
        raise Denied(CLOSED)
    _grant_by_groups(session, settings, user, person.groups)
    accounts.record_entry(session, user, door="oidc")
    return user


def _new_user(session: Session, person: Person) -> User:
    user = accounts.create_user(session, SYSTEM, _free_name(session, person.name), None, [])
    session.add(ExternalIdentity(user_id=user.id, issuer=person.issuer, subject=person.subject))
    return user


def _free_name(session: Session, wanted: str) -> str:
    """The provider's name, printable and short, with a number behind it when somebody is called so already."""
    plain = unicodedata.normalize("NFKC", wanted)
    base = "".join(letter for letter in plain if letter.isprintable()).strip()[:_LONGEST_NAME] or "user"
    name, number = base, 1
    while accounts.is_taken(session, name):
        number += 1
        name = f"{base[: _LONGEST_NAME - 6]}-{number}"
    return name


def _grant_by_groups(session: Session, settings: Settings, user: User, groups: tuple[str, ...]) -> None:
    """Grants that groups gave are replaced at each log-in; what an administrator gave by hand stays."""
    held = session.exec(select(Grant).where(Grant.user_id == user.id)).all()
    by_hand = {(Role(grant.role), grant.domain) for grant in held if not grant.by_group}
    before = {(Role(grant.role), grant.domain): grant for grant in held if grant.by_group}
    wanted = {grant for group in groups for grant in settings.oidc_groups.get(group, ())} - by_hand
    for key, grant in before.items():
        if key not in wanted:
            session.delete(grant)
    session.flush()
    for role, domain in sorted(wanted - before.keys()):
        session.add(Grant(user_id=user.id, role=role, domain=domain, by_group=True))
    if wanted != before.keys():
        named = sorted(f"{role.value}:{domain}" for role, domain in wanted)
        audit.record(session, Actor(user.name, user.id), "user.grants", user.id, None, None, by_group=named)
