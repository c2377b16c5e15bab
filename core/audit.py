"""Audit: events commit with their change; one sealer chains them afterwards, and exported heads show what was cut or rewritten."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC

from sqlalchemy import Engine, func, text
from sqlmodel import Session, col, select

from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.permissions import Actor

GENESIS = "0" * 64
_SEALER_LOCK = 0x50_4E_4F_01
_BATCH = 5000


def record(
    session: Session,
    actor: Actor,
    verb: str,
    subject: object = "",
    before: str | None = None,
    after: str | None = None,
    **detail: str | int | bool | list[str],
) -> None:
    """Write one event in the caller's transaction. `detail` holds codes, counts and row ids, never a patient's value."""
    session.add(
        AuditEvent(
            actor=actor.name,
            user_id=actor.user_id,
            verb=verb,
            subject=str(subject),
            before=before,
            after=after,
            detail=detail,
        )
    )


def record_read(session: Session, actor: Actor, verb: str, subject: object, **detail: str | int) -> None:
    """One event per person, thing and five minutes: reads would otherwise drown the rest."""
    recent = select(AuditEvent.id).where(
        AuditEvent.actor == actor.name,
        AuditEvent.verb == verb,
        AuditEvent.subject == str(subject),
        AuditEvent.at > func.now() - text("interval '5 minutes'"),
    )
    if session.exec(recent.limit(1)).first() is None:
        record(session, actor, verb, subject, None, None, **detail)


def digest(event: AuditEvent, previous: str) -> str:
    """SHA-256 over the hash before it and every field that says something."""
    fields = [
        event.seq, event.id, event.at.astimezone(UTC).isoformat(), event.actor, str(event.user_id or ""), event.verb,
        event.subject, event.before, event.after, event.detail,
    ]  # fmt: skip
    body = json.dumps([previous, fields], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()


def seal(engine: Engine) -> int:
    """Chain the committed events that are not chained yet, in an order of its own; returns how many.

    Only one sealer works at a time (advisory lock); another returns 0."""
    with transaction(engine, "audit.seal") as session:
        if not session.scalar(select(func.pg_try_advisory_xact_lock(_SEALER_LOCK))):
            return 0
        last = session.exec(
            select(AuditEvent).where(col(AuditEvent.seq).is_not(None)).order_by(col(AuditEvent.seq).desc()).limit(1)
        ).first()
        seq, previous = (last.seq or 0, last.hash or GENESIS) if last else (0, GENESIS)
        new = session.exec(
            select(AuditEvent).where(col(AuditEvent.seq).is_(None)).order_by(col(AuditEvent.id)).limit(_BATCH)
        ).all()
        for event in new:
            seq += 1
            event.seq, event.previous = seq, previous
            event.hash = previous = digest(event, previous)
        return len(new)


def head(session: Session) -> str:
    """The hash of the last chained event."""
    found = session.exec(
        select(AuditEvent.hash).where(col(AuditEvent.seq).is_not(None)).order_by(col(AuditEvent.seq).desc()).limit(1)
    ).first()
    return found or GENESIS


@dataclass(frozen=True)
class Finding:
    """One thing wrong with the chain: altered, deleted, reordered, or cut or rewritten after a head had left."""

    kind: str
    seq: int
    message: str


def verify(engine: Engine, heads: Iterable[str] = ()) -> list[Finding]:
    """Walk the whole chain. `heads` are hashes that left this database earlier; each must still be in it."""
    found: list[Finding] = []
    hashes = {GENESIS}
    with reading(engine) as session:
        statement = select(AuditEvent).where(col(AuditEvent.seq).is_not(None)).order_by(col(AuditEvent.seq))
        expected, previous = 1, GENESIS
        for event in session.exec(statement.execution_options(yield_per=1000)):
            seq = event.seq or 0
            if seq != expected:
                found.append(Finding("deleted", expected, f"event {expected} is missing"))
            elif event.previous != previous:
                found.append(Finding("reordered", seq, f"event {seq} does not follow the one before it"))
            if event.hash != digest(event, event.previous or ""):
                found.append(Finding("altered", seq, f"event {seq} is not what was sealed"))
            hashes.add(event.hash or "")
            expected, previous = seq + 1, event.hash or ""
    for lost in dict.fromkeys(heads):
        if lost not in hashes:
            found.append(Finding("cut or rewritten", 0, f"the exported head {lost[:12]}… is not in the chain"))
    return found
