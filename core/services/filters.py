"""Filters that a person keeps under a name, and for a quarter of an hour the cases that their search found."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlmodel import Session, col, delete, func, select

from core.clock import now_utc
from core.errors import Malformed, NotFound, Refused
from core.models.filters import FoundCases, SavedFilter
from core.permissions import Actor

KEPT: Final = timedelta(minutes=15)
MOST_SAVED: Final = 20
LONGEST_NAME: Final = 40


def saved(session: Session, actor: Actor) -> Sequence[SavedFilter]:
    """One's own, by name."""
    own = select(SavedFilter).where(SavedFilter.user_id == actor.user_id)
    return session.exec(own.order_by(col(SavedFilter.name))).all()


def save(session: Session, actor: Actor, name: str, query: Mapping[str, str]) -> SavedFilter:
    """Keep a filter; a name that is there already gets the new one. Raises Malformed for a name that is none."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Malformed(f"A view needs a name of at most {LONGEST_NAME} characters.")
    own = select(SavedFilter).where(SavedFilter.user_id == actor.user_id)
    row = session.exec(own.where(SavedFilter.name == name)).first()
    if row is None:
        if session.exec(select(func.count()).select_from(own.subquery())).one() >= MOST_SAVED:
            raise Refused(f"You have {MOST_SAVED} views already; delete one first.")
        if actor.user_id is None:
            raise NotFound
        row = SavedFilter(user_id=actor.user_id, name=name)
    row.query = dict(query)
    session.add(row)
    return row


def forget(session: Session, actor: Actor, filter_id: UUID) -> None:
    """Delete one's own filter; unknown and somebody else's look the same."""
    row = session.get(SavedFilter, filter_id)
    if row is None or row.user_id != actor.user_id:
        raise NotFound
    session.delete(row)


def keep_found(session: Session, actor: Actor, case_ids: Sequence[UUID]) -> UUID:
    """Remember what a search found under a random id, for this person alone; what is past its time goes."""
    if actor.user_id is None:
        raise NotFound
    now = now_utc()
    session.exec(delete(FoundCases).where(col(FoundCases.expires_at) <= now))
    row = FoundCases(user_id=actor.user_id, case_ids=list(case_ids), expires_at=now + KEPT)
    session.add(row)
    session.flush()
    return row.id


def found(session: Session, actor: Actor, found_id: UUID) -> tuple[UUID, ...]:
    """The cases of a search of one's own. Raises NotFound when there was none, or it is over."""
    row = session.get(FoundCases, found_id)
    if row is None or row.user_id != actor.user_id or row.expires_at <= now_utc():
        raise NotFound
    return tuple(row.case_ids)
