"""Reads of the audit trail: a search with pages, and how far its chain is sealed and was verified."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

from sqlalchemy import Select
from sqlalchemy import select as plain_select
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from core.models.audit import AuditEvent
from core.permissions import Actor, Verb, check

VERIFIED: Final = "audit.verify"
MOST_EXPORTED: Final = 50_000


@dataclass(frozen=True)
class Search:
    """What is asked for; days are those of the node's clock, both included."""

    since: date | None = None
    until: date | None = None
    actor: str | None = None
    verb: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class Verified:
    at: datetime
    by: str
    events: int
    findings: int


@dataclass(frozen=True)
class Chain:
    """The seal: up to which event, how many wait for it since when, and the last time that somebody walked it."""

    sealed: int
    sealed_at: datetime | None
    waiting: int
    waiting_since: datetime | None
    verified: Verified | None


def events(
    session: Session, actor: Actor, search: Search, zone: tzinfo, before: int | None, limit: int
) -> Sequence[AuditEvent]:
    """Newest first; pass the last id as `before` for the next page."""
    statement = _found(actor, search, zone)
    if before is not None:
        statement = statement.where(AuditEvent.id < before)
    return session.exec(statement.limit(limit)).all()


def export(session: Session, actor: Actor, search: Search, zone: tzinfo) -> Iterator[AuditEvent]:
    """All that was found, newest first, up to a cap; a few in memory at a time."""
    yield from session.exec(_found(actor, search, zone).limit(MOST_EXPORTED).execution_options(yield_per=1000))


def _found(actor: Actor, search: Search, zone: tzinfo) -> SelectOfScalar[AuditEvent]:
    check(actor, Verb.AUDIT)
    statement = select(AuditEvent)
    if search.since:
        statement = statement.where(AuditEvent.at >= datetime.combine(search.since, time(), zone))
    if search.until:
        statement = statement.where(AuditEvent.at < datetime.combine(search.until + timedelta(days=1), time(), zone))
    for column, wanted in (("actor", search.actor), ("verb", search.verb), ("subject", search.subject)):
        if wanted:
            statement = statement.where(getattr(AuditEvent, column) == wanted)
    return statement.order_by(col(AuditEvent.id).desc())


def verbs(session: Session) -> list[str]:
    """The verbs that are there, each by one step in the index: a plain DISTINCT would read every event."""
    first: Select[str | None] = plain_select(func.min(AuditEvent.verb).label("verb"))
    walk = first.cte("walk", recursive=True)
    following = plain_select(func.min(AuditEvent.verb)).where(col(AuditEvent.verb) > walk.c.verb).scalar_subquery()
    walk = walk.union_all(plain_select(following).where(walk.c.verb.is_not(None)))
    return [str(verb) for verb in session.execute(plain_select(walk.c.verb)).scalars() if verb is not None]


def chain(session: Session) -> Chain:
    head = session.exec(
        select(AuditEvent).where(col(AuditEvent.seq).is_not(None)).order_by(col(AuditEvent.seq).desc()).limit(1)
    ).first()
    open_ends = select(func.count(), func.min(AuditEvent.at)).where(col(AuditEvent.seq).is_(None))
    waiting, since = session.exec(open_ends).one()
    return Chain(head.seq or 0 if head else 0, head.at if head else None, waiting, since, _verified(session))


def _verified(session: Session) -> Verified | None:
    statement = select(AuditEvent).where(AuditEvent.verb == VERIFIED).order_by(col(AuditEvent.id).desc()).limit(1)
    event = session.exec(statement).first()
    if event is None:
        return None
    return Verified(event.at, event.actor, int(event.detail.get("events", 0)), int(event.detail.get("findings", 0)))
