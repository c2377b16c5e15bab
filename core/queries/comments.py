"""Reads of review comments: the threads of a case with their text, and how many are open."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col, func, select

from core.models.curation import Roi
from core.models.people import User
from core.models.reads import ReviewComment
from core.models.sitecase import SiteImage
from core.node import SiteNode
from core.permissions import Actor
from core.services.comments import PURPOSE, commented_case


@dataclass(frozen=True)
class Said:
    """One comment; `text` is None once it was purged with the case's files."""

    row: ReviewComment
    by: str
    text: str | None


@dataclass(frozen=True)
class Thread:
    """A first comment with its answers; `image` and `frame` say where its ROI is, None for the case itself."""

    first: Said
    answers: tuple[Said, ...]
    image: int | None
    frame: int | None
    resolved_by: str | None

    @property
    def is_open(self) -> bool:
        return self.first.row.resolved_at is None


def threads(node: SiteNode, session: Session, actor: Actor, case_id: UUID) -> list[Thread]:
    """Open ones first, the newest first in each group. Looking at them is an audit event of the vault."""
    case = commented_case(session, actor, case_id)
    rows = session.exec(select(ReviewComment).where(ReviewComment.case_id == case.id).order_by(col(ReviewComment.id)))
    known = rows.all()
    texts = node.vault.remarks(case.id, PURPOSE, actor.name) if known else {}
    names = _names(session, {row.by for row in known} | {row.resolved_by for row in known if row.resolved_by})
    said = [Said(row, names.get(row.by, ""), texts.get(row.id)) for row in known]
    found = [_thread(session, one, said, names) for one in reversed(said) if one.row.parent_id is None]
    return sorted(found, key=lambda thread: not thread.is_open)


def _thread(session: Session, first: Said, said: list[Said], names: Mapping[UUID, str]) -> Thread:
    roi = session.get(Roi, first.row.roi_id) if first.row.roi_id else None
    image = session.get(SiteImage, roi.image_id) if roi else None
    answers = tuple(one for one in said if one.row.parent_id == first.row.id)
    resolved = names.get(first.row.resolved_by) if first.row.resolved_by else None
    return Thread(first, answers, image.number if image else None, roi.frame if roi else None, resolved)


def _names(session: Session, ids: set[UUID]) -> dict[UUID, str]:
    return {user.id: user.name for user in session.exec(select(User).where(col(User.id).in_(ids)))}


def open_count(session: Session, case_id: UUID) -> int:
    """How many threads of a case are open; the caller has read the case."""
    chosen = select(func.count()).select_from(ReviewComment).where(ReviewComment.case_id == case_id)
    is_open = (col(ReviewComment.parent_id).is_(None), col(ReviewComment.resolved_at).is_(None))
    return session.exec(chosen.where(*is_open)).one()
