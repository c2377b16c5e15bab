"""Reads of the contact sheet: the candidates of one or many cases side by side, a page of them at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, exists
from sqlmodel import Session, col, func, select

from core.models.curation import ImageMask, MaskState, Pick
from core.models.sitecase import ImageState, SiteCase, SiteImage
from core.permissions import Actor, Verb, check
from core.queries.case_page import PageImage, page_masks
from core.queries.cases import readable_case, readable_cases

PAGE: Final = 30
MOST_CASES: Final = 200


@dataclass(frozen=True)
class SheetImage:
    """One image with what was said of it, and its case."""

    case: SiteCase
    one: PageImage


@dataclass(frozen=True)
class ContactSheet:
    """One page. `total` images are in these cases, of which `waiting` are neither confirmed nor rejected."""

    cases: Sequence[SiteCase]
    images: Sequence[SheetImage]
    total: int
    waiting: int
    page: int
    pages: int


def one_case(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """Raises NotFound for a case that is unknown or not the actor's, Denied where the actor may not see its pictures."""
    case = readable_case(session, actor, case_id)
    check(actor, Verb.SEE_PIXELS, case.domain)
    return case


def many_cases(session: Session, actor: Actor, case_ids: Sequence[UUID]) -> list[SiteCase]:
    """Those of these cases whose pictures the actor may see, by number; what is not theirs is not there."""
    chosen = readable_cases(actor).where(col(SiteCase.id).in_(case_ids[:MOST_CASES]))
    found = session.exec(chosen.order_by(col(SiteCase.number))).all()
    return [case for case in found if actor.may(Verb.SEE_PIXELS, case.domain)]


def sheet(
    session: Session, actor: Actor, cases: Sequence[SiteCase], page: int, *, only_waiting: bool = False
) -> ContactSheet:
    """Page `page` (from 1) of the pictures of these cases, by case and image number; the last one if there are fewer."""
    own = [_picture(), col(SiteImage.case_id).in_([case.id for case in cases])]
    total, waiting = _count(session, own), _count(session, [*own, _waits()])
    pages = max(1, -(-(waiting if only_waiting else total) // PAGE))
    page = min(page, pages)
    statement = select(SiteImage).join(SiteCase, col(SiteCase.id) == SiteImage.case_id)
    statement = statement.where(*own, *([_waits()] if only_waiting else []))
    statement = statement.order_by(col(SiteCase.number), col(SiteImage.number)).offset((page - 1) * PAGE).limit(PAGE)
    images = session.exec(statement).all()
    known = {case.id: case for case in cases}
    return ContactSheet(cases, _looked_up(session, actor, known, images), total, waiting, page, pages)


def _picture() -> ColumnElement[bool]:
    return (col(SiteImage.state) == ImageState.STAGED) & (col(SiteImage.frames) > 0)


def _waits() -> ColumnElement[bool]:
    """An image that is neither confirmed nor rejected."""
    confirmed = select(ImageMask.id).where(
        ImageMask.image_id == SiteImage.id, col(ImageMask.state) == MaskState.CONFIRMED
    )
    rejected = select(Pick.image_id).where(Pick.image_id == SiteImage.id, col(Pick.picked).is_(False))
    return ~exists(confirmed) & ~exists(rejected)


def _count(session: Session, tests: Sequence[ColumnElement[bool]]) -> int:
    return session.exec(select(func.count()).select_from(SiteImage).where(*tests)).one()


def _looked_up(
    session: Session, actor: Actor, cases: Mapping[UUID, SiteCase], images: Sequence[SiteImage]
) -> list[SheetImage]:
    ids = [image.id for image in images]
    present = select(ImageMask).where(col(ImageMask.image_id).in_(ids), ImageMask.state != MaskState.VOID)
    masks = page_masks(session, actor, session.exec(present.order_by(col(ImageMask.revision))).all())
    picks = {pick.image_id: pick for pick in session.exec(select(Pick).where(col(Pick.image_id).in_(ids)))}
    return [
        SheetImage(cases[image.case_id], PageImage(image, picks.get(image.id), masks.get(image.id), ()))
        for image in images
    ]
