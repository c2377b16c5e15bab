"""The audit trail, for auditors."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlmodel import SQLModel, col, select

from api.deps import SessionDep, may
from core.models.audit import AuditEvent
from core.permissions import Actor, Verb

router = APIRouter(prefix="/api/v1", tags=["audit"])


class EventOut(SQLModel):
    id: int
    seq: int | None
    at: datetime
    actor: str
    verb: str
    subject: str
    before: str | None
    after: str | None
    detail: dict[str, Any]
    hash: str | None


@router.get("/audit")
def events(
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.AUDIT)],
    verb: str | None = None,
    subject: str | None = None,
    before: int | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[EventOut]:
    """Newest first; pass the last id as `before` for the next page."""
    statement = select(AuditEvent)
    if verb:
        statement = statement.where(AuditEvent.verb == verb)
    if subject:
        statement = statement.where(AuditEvent.subject == subject)
    if before:
        statement = statement.where(AuditEvent.id < before)
    found = session.exec(statement.order_by(col(AuditEvent.id).desc()).limit(limit))
    return [EventOut.model_validate(event, from_attributes=True) for event in found]
