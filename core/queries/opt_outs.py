"""What was done at the patients' desk: dates, people and counts from the audit; nobody's chart ID is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from core.errors import NotFound
from core.models.audit import AuditEvent
from core.permissions import Actor, Verb, check

SET: Final = "opt-out.set"
LIFT: Final = "opt-out.lift"


@dataclass(frozen=True)
class Act:
    """One refusal that was taken, or one that was lifted. `number` is printed on its receipt."""

    number: int
    at: datetime
    by: str
    is_refusal: bool
    cases: int

    @classmethod
    def of(cls, event: AuditEvent) -> "Act":
        return cls(event.id, event.at, event.actor, event.verb == SET, int(event.detail.get("cases", 0)))


def acts(session: Session, actor: Actor, before: int | None, limit: int) -> Sequence[Act]:
    """Newest first; pass the last number as `before` for the next page."""
    check(actor, Verb.OPT_OUT)
    statement = select(AuditEvent).where(col(AuditEvent.verb).in_((SET, LIFT)))
    if before is not None:
        statement = statement.where(AuditEvent.id < before)
    return [Act.of(event) for event in session.exec(statement.order_by(col(AuditEvent.id).desc()).limit(limit))]


def act(session: Session, actor: Actor, number: int) -> Act:
    """Raises NotFound for a number that is no receipt's."""
    check(actor, Verb.OPT_OUT)
    event = session.get(AuditEvent, number)
    if event is None or event.verb not in (SET, LIFT):
        raise NotFound
    return Act.of(event)


def newest_of(session: Session, actor: Actor) -> Act:
    """What this person has just done, in this transaction."""
    session.flush()
    statement = select(AuditEvent).where(col(AuditEvent.verb).in_((SET, LIFT)), AuditEvent.user_id == actor.user_id)
    return Act.of(session.exec(statement.order_by(col(AuditEvent.id).desc()).limit(1)).one())
