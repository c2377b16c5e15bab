"""The neighbours of a case in the list that a person works through."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col, func, select

from core.models.sitecase import SiteCase
from core.permissions import Actor
from core.queries import cases as queries
from core.queries.worklist import Chosen, ordered_ids


@dataclass(frozen=True)
class Around:
    """The cases before and after this one; `position` counts from 1."""

    previous: UUID | None
    next: UUID | None
    position: int
    total: int


def around(session: Session, actor: Actor, case: SiteCase, chosen: Chosen | None = None) -> Around:
    """The neighbours in the order of this list; without one, or when it no longer holds the case, those of its state."""
    ids = ordered_ids(session, actor, chosen) if chosen else []
    if case.id not in ids:
        return _of_state(session, actor, case)
    at = ids.index(case.id)
    return Around(
        ids[at - 1] if at else None, ids[at + 1] if at + 1 < len(ids) else None, position=at + 1, total=len(ids)
    )


def _of_state(session: Session, actor: Actor, case: SiteCase) -> Around:
    """By number, among the cases of the same state that this person may see."""
    same = queries.readable_cases(actor).where(SiteCase.state == case.state).subquery()
    number = same.c.number
    before, after, position, total = session.exec(
        select(
            func.max(number).filter(number < case.number),
            func.min(number).filter(number > case.number),
            func.count().filter(number <= case.number),
            func.count(),
        ).select_from(same)
    ).one()
    wanted = [n for n in (before, after) if n is not None]
    found = session.exec(queries.readable_cases(actor).where(col(SiteCase.number).in_(wanted)))
    ids = {row.number: row.id for row in found}
    return Around(ids.get(before), ids.get(after), position, total)
