"""Review comments on a case or one of its ROIs: threads that are resolved and opened again. Their text lies in the vault."""

import unicodedata
from typing import Final
from uuid import UUID

from sqlmodel import Session

from core import audit
from core.clock import now_utc
from core.errors import Denied, Malformed, NotFound, WrongState
from core.ids import uuid7
from core.models.curation import Roi
from core.models.reads import ReviewComment
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.node import SiteNode
from core.permissions import Actor, Verb
from core.queries.cases import readable_case

LONGEST: Final = 2000
PURPOSE: Final = "comments"
_GONE: Final = frozenset({CaseState.WITHDRAWN, CaseState.FLAGGED, CaseState.DEFERRED, CaseState.QUEUED})


def commented_case(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """The case, for who works on it: a curator or registrar of its organ. Raises as `readable_case`."""
    case = readable_case(session, actor, case_id)
    if not (actor.may(Verb.CURATE, case.domain) or actor.may(Verb.REGISTER, case.domain)):
        raise Denied
    return case


def add(
    node: SiteNode,
    session: Session,
    actor: Actor,
    case_id: UUID,
    text: str,
    *,
    roi_id: UUID | None = None,
    parent_id: UUID | None = None,
) -> ReviewComment:
    """A new thread, or an answer in one, which opens it again. Neither log nor audit hold the text."""
    case = commented_case(session, actor, case_id)
    if case.state in _GONE or case.purged_at is not None:
        raise WrongState(f"A case that is {case.state} takes no comments.")
    if actor.user_id is None:
        raise NotFound
    plain = _plain(text)
    parent = thread_of(session, case, parent_id) if parent_id else None
    if roi_id is not None:
        _check_roi(session, case, roi_id)
    row = ReviewComment(
        id=uuid7(), case_id=case.id, roi_id=parent.roi_id if parent else roi_id,
        parent_id=parent.id if parent else None, by=actor.user_id,
    )  # fmt: skip
    # First the text, then the row that names it: a text that no row names is harmless.
    node.vault.remark(case.id, row.id, plain)
    session.add(row)
    if parent is not None and parent.resolved_at is not None:
        parent.resolved_at = parent.resolved_by = None
        session.add(parent)
    audit.record(session, actor, "comment.add", case.id, comment=str(row.id))
    return row


def _plain(text: str) -> str:
    """One line end, no control characters. Raises Malformed for nothing, or too much."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(sign for sign in lines if sign == "\n" or unicodedata.category(sign)[0] != "C").strip()
    if not kept or len(kept) > LONGEST:
        raise Malformed(f"A comment has 1 to {LONGEST} characters.")
    return kept


def thread_of(session: Session, case: SiteCase, comment_id: UUID) -> ReviewComment:
    """The first comment of a thread of this case. Raises NotFound."""
    row = session.get(ReviewComment, comment_id)
    if row is None or row.case_id != case.id or row.parent_id is not None:
        raise NotFound
    return row


def _check_roi(session: Session, case: SiteCase, roi_id: UUID) -> None:
    roi = session.get(Roi, roi_id)
    image = session.get(SiteImage, roi.image_id) if roi else None
    if image is None or image.case_id != case.id:
        raise NotFound


def resolve(session: Session, actor: Actor, case_id: UUID, comment_id: UUID, is_resolved: bool) -> ReviewComment:
    """Close a thread, or open it again."""
    case = commented_case(session, actor, case_id)
    row = thread_of(session, case, comment_id)
    if (row.resolved_at is not None) != is_resolved:
        row.resolved_at = now_utc() if is_resolved else None
        row.resolved_by = actor.user_id if is_resolved else None
        session.add(row)
        verb = "comment.resolve" if is_resolved else "comment.reopen"
        audit.record(session, actor, verb, case.id, comment=str(row.id))
    return row
