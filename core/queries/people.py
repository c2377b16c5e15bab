"""Who may use this node: the list for administrators, one account with all about it, and one's own tokens."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import false
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from core.clock import now_utc
from core.errors import NotFound
from core.models.people import ApiToken, ExternalIdentity, Grant, OneTimePassword, Role, User, WebSession
from core.permissions import Actor, Verb

MOST = 500


@dataclass(frozen=True)
class Account:
    """One account as the pages show it."""

    id: UUID
    name: str
    site: str | None
    is_disabled: bool
    has_password: bool
    has_identity: bool
    has_totp: bool
    seen_at: datetime | None
    created_at: datetime
    tokens: int
    grants: tuple[Grant, ...] = field(default=())

    @property
    def roles(self) -> list[tuple[Role, list[str]]]:
        """Each role once, with its domains; all domains first."""
        found: dict[Role, list[str]] = defaultdict(list)
        for grant in sorted(self.grants, key=lambda grant: grant.domain):
            found[Role(grant.role)].append(grant.domain)
        order = list(Role)
        return sorted(found.items(), key=lambda item: order.index(item[0]))


def readable_people(actor: Actor) -> SelectOfScalar[User]:
    """Where every query of accounts starts: all for who manages people, else one's own."""
    if actor.may(Verb.PEOPLE):
        return select(User)
    return select(User).where(User.id == actor.user_id) if actor.user_id else select(User).where(false())


def people(
    session: Session, actor: Actor, words: str = "", role: Role | None = None, state: str | None = None
) -> list[Account]:
    """Accounts by name; `state` is open or closed, `role` one that they hold."""
    found = readable_people(actor)
    if words:
        found = found.where(col(User.name).icontains(words, autoescape=True))
    if role:
        found = found.where(col(User.id).in_(select(Grant.user_id).where(Grant.role == role)))
    if state in {"open", "closed"}:
        found = found.where(col(User.disabled_at).is_(None) == (state == "open"))
    return _accounts(session, session.exec(found.order_by(func.lower(User.name)).limit(MOST)).all())


def count(session: Session, actor: Actor) -> int:
    return session.exec(select(func.count()).select_from(readable_people(actor).subquery())).one()


def account(session: Session, actor: Actor, user_id: UUID) -> Account:
    """Raises NotFound for what is not there and for whom one may not see, alike."""
    user = session.exec(readable_people(actor).where(User.id == user_id)).first()
    if user is None:
        raise NotFound
    return _accounts(session, [user])[0]


def tokens(session: Session, user_id: UUID) -> list[ApiToken]:
    """The valid tokens of an account, the newest first; without their secrets, which nobody has."""
    valid = select(ApiToken).where(
        ApiToken.user_id == user_id, col(ApiToken.revoked_at).is_(None), ApiToken.expires_at > now_utc()
    )
    return list(session.exec(valid.order_by(col(ApiToken.created_at).desc())))


def _accounts(session: Session, users: Sequence[User]) -> list[Account]:
    ids = [user.id for user in users]
    grants: dict[UUID, list[Grant]] = defaultdict(list)
    for grant in session.exec(select(Grant).where(col(Grant.user_id).in_(ids))):
        grants[grant.user_id].append(grant)
    seen = dict(
        session.exec(
            select(WebSession.user_id, func.max(WebSession.seen_at))
            .where(col(WebSession.user_id).in_(ids))
            .group_by(col(WebSession.user_id))
        ).all()
    )
    counted = dict(
        session.exec(
            select(ApiToken.user_id, func.count())
            .where(col(ApiToken.user_id).in_(ids), col(ApiToken.revoked_at).is_(None), ApiToken.expires_at > now_utc())
            .group_by(col(ApiToken.user_id))
        ).all()
    )
    outside = set(session.exec(select(ExternalIdentity.user_id).where(col(ExternalIdentity.user_id).in_(ids))))
    confirmed = select(OneTimePassword.user_id).where(
        col(OneTimePassword.user_id).in_(ids), col(OneTimePassword.confirmed_at).is_not(None)
    )
    second = set(session.exec(confirmed))
    return [
        Account(
            id=user.id,
            name=user.name,
            site=user.site,
            is_disabled=user.disabled_at is not None,
            has_password=user.password_hash is not None,
            has_identity=user.id in outside,
            has_totp=user.id in second,
            seen_at=max((at for at in (user.seen_at, seen.get(user.id)) if at is not None), default=None),
            created_at=user.created_at,
            tokens=counted.get(user.id, 0),
            grants=tuple(grants[user.id]),
        )
        for user in users
    ]
