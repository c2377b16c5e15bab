"""Who else has a case open now, and what they saved since a page was loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete, select

from core.clock import now_utc
from core.models.curation import CasePresence, Edit, Roi
from core.models.people import User
from core.models.sitecase import SiteImage
from core.permissions import Actor
from core.queries import cases as queries

# A page says that it is there every 15 seconds; after three silences it is gone.
GONE_AFTER: Final = timedelta(seconds=45)
KEPT: Final = timedelta(days=1)
MOST_CHANGES: Final = 200


@dataclass(frozen=True)
class Other:
    """Another person at the case, and the number of the image they look at."""

    name: str
    image: int | None


@dataclass(frozen=True)
class Change:
    """The newest of the versions that others saved of one object; `image` is a number, None for the form."""

    edit: Edit
    by: str
    image: int | None


def here(session: Session, actor: Actor, case_id: UUID, image: int | None) -> list[Other]:
    """Say that this person has the case open; who else has. Raises NotFound for a case that is not the actor's."""
    case = queries.readable_case(session, actor, case_id)
    now = now_utc()
    if actor.user_id is not None:
        row = insert(CasePresence).values(case_id=case.id, user_id=actor.user_id, image=image, at=now)
        session.exec(row.on_conflict_do_update(index_elements=["case_id", "user_id"], set_={"image": image, "at": now}))
    session.exec(delete(CasePresence).where(col(CasePresence.case_id) == case.id, col(CasePresence.at) < now - KEPT))
    others = select(CasePresence, User).join(User, col(User.id) == CasePresence.user_id)
    others = others.where(CasePresence.case_id == case.id, CasePresence.user_id != actor.user_id)
    found = session.exec(others.where(col(CasePresence.at) > now - GONE_AFTER).order_by(col(User.name))).all()
    return [Other(user.name, row.image) for row, user in found]


def newest_edit(session: Session, case_id: UUID) -> UUID | None:
    statement = select(Edit.id).where(Edit.case_id == case_id).order_by(col(Edit.id).desc()).limit(1)
    return session.exec(statement).first()


def changes_after(session: Session, actor: Actor, case_id: UUID, seen: UUID | None) -> list[Change]:
    """What others saved after the edit `seen` (None: at any time), the newest version of each object, oldest first."""
    case = queries.readable_case(session, actor, case_id)
    statement = select(Edit, User).join(User, col(User.id) == Edit.by)
    statement = statement.where(Edit.case_id == case.id, Edit.by != actor.user_id)
    if seen is not None:
        statement = statement.where(Edit.id > seen)
    rows = session.exec(statement.order_by(col(Edit.id).desc()).limit(MOST_CHANGES)).all()
    newest = {(edit.kind, edit.object_id): (edit, user.name) for edit, user in reversed(rows)}
    numbers = _numbers(session, [edit for edit, _ in newest.values()])
    return [Change(edit, name, numbers.get(edit.object_id)) for edit, name in newest.values()]


def _numbers(session: Session, edits: Sequence[Edit]) -> dict[UUID, int]:
    """{object: the number of its image}."""
    rois = [edit.object_id for edit in edits if edit.kind == "roi"]
    images = [edit.object_id for edit in edits if edit.kind in ("pick", "marks")]
    of_rois = select(Roi.id, SiteImage.number).join(SiteImage, col(SiteImage.id) == Roi.image_id)
    found = dict(session.exec(of_rois.where(col(Roi.id).in_(rois))).all())
    of_images = select(SiteImage.id, SiteImage.number).where(col(SiteImage.id).in_(images))
    return found | dict(session.exec(of_images).all())
