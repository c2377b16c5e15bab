"""Reads of the site's cases; the getter is the gate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, exists
from sqlalchemy.orm import QueryableAttribute, defer
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from core.errors import Denied, NotFound
from core.models.curation import Edit, Form, ImageMask, MaskState, MaskView, Pick, Roi
from core.models.reads import OPEN, Read
from core.models.sitecase import SiteCase, SiteImage
from core.permissions import ALL_DOMAINS, Actor, Verb


def readable_cases(actor: Actor) -> SelectOfScalar[SiteCase]:
    """The only place where a query of cases begins: cases of the domains that the actor may see.

    Without those that the actor reads blind and has not handed in: whatever was said of them must not be seen."""
    domains = actor.domains(Verb.SEE_CASES)
    statement = select(SiteCase).where(~_reads_blind(actor))
    return statement if ALL_DOMAINS in domains else statement.where(col(SiteCase.domain).in_(domains))


def _reads_blind(actor: Actor) -> ColumnElement[bool]:
    return exists(
        select(Read.id).where(Read.case_id == SiteCase.id, Read.reader_id == actor.user_id, col(Read.state).in_(OPEN))
    )


def readable_case(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """Raises NotFound for a case that is unknown or not the actor's, Denied for one that the actor reads blind."""
    case = session.exec(readable_cases(actor).where(SiteCase.id == case_id)).first()
    if case is not None:
        return case
    blind = select(Read.id).where(Read.case_id == case_id, Read.reader_id == actor.user_id, col(Read.state).in_(OPEN))
    if actor.may(Verb.SEE_CASES) and session.exec(blind).first() is not None:
        raise Denied("You are reading this case blind; hand your reading in first.")
    raise NotFound


def worklist(
    session: Session, actor: Actor, state: str | None, domain: str | None, after: int, limit: int
) -> tuple[Sequence[SiteCase], int]:
    """(one page in the order of case numbers, how many there are in all)."""
    statement = readable_cases(actor)
    if state:
        statement = statement.where(SiteCase.state == state)
    if domain:
        statement = statement.where(SiteCase.domain == domain)
    total = session.exec(select(func.count()).select_from(statement.subquery())).one()
    page = statement.where(SiteCase.number > after).order_by(col(SiteCase.number)).limit(limit)
    return session.exec(page).all(), total


def readable_image(session: Session, actor: Actor, image_id: UUID) -> tuple[SiteImage, SiteCase]:
    image = session.get(SiteImage, image_id)
    if image is None:
        raise NotFound
    return image, readable_case(session, actor, image.case_id)


def images_of(session: Session, case_id: UUID) -> Sequence[SiteImage]:
    return session.exec(select(SiteImage).where(SiteImage.case_id == case_id).order_by(col(SiteImage.number))).all()


def picks_of(session: Session, case_id: UUID) -> dict[UUID, Pick]:
    statement = select(Pick).join(SiteImage, col(SiteImage.id) == Pick.image_id).where(SiteImage.case_id == case_id)
    return {pick.image_id: pick for pick in session.exec(statement)}


def rois_of(session: Session, case_id: UUID) -> Sequence[Roi]:
    """Everything that is drawn on the images of a case."""
    statement = (
        select(Roi)
        .join(SiteImage, col(SiteImage.id) == Roi.image_id)
        .where(SiteImage.case_id == case_id, col(Roi.deleted).is_(False))
        .order_by(col(SiteImage.number), col(Roi.frame), col(Roi.id))
    )
    return session.exec(statement).all()


def lesions_of(session: Session, case_id: UUID) -> list[Roi]:
    """Of everything that is drawn the lesions: they alone count for the case and leave with it."""
    return [roi for roi in rois_of(session, case_id) if roi.use == "lesion"]


@dataclass(frozen=True)
class Shown:
    """The images of a case in their order, what was chosen of them, their current masks, and all that is drawn on them."""

    images: Sequence[SiteImage]
    picks: dict[UUID, Pick]
    masks: dict[UUID, ImageMask]
    rois: Sequence[Roi]

    @property
    def lesions(self) -> list[Roi]:
        return [roi for roi in self.rois if roi.use == "lesion"]

    @property
    def picked(self) -> list[SiteImage]:
        return [image for image in self.images if image.id in self.picks and self.picks[image.id].picked]


def shown_of(session: Session, case_id: UUID) -> Shown:
    """Read once for a page that tells of the images in several places."""
    return Shown(
        images_of(session, case_id), picks_of(session, case_id), masks_of(session, case_id), rois_of(session, case_id)
    )


def current_mask(session: Session, image_id: UUID) -> ImageMask | None:
    """The newest mask of an image that is not void."""
    statement = select(ImageMask).where(ImageMask.image_id == image_id, ImageMask.state != MaskState.VOID)
    return session.exec(statement.order_by(col(ImageMask.revision).desc()).limit(1)).first()


def masks_of(session: Session, case_id: UUID) -> dict[UUID, ImageMask]:
    """The current mask of each image of a case; the index of its candidate, long for a cine, only when it is asked for."""
    statement = (
        select(ImageMask)
        .options(defer(cast(QueryableAttribute[Any], ImageMask.candidate)))
        .join(SiteImage, col(SiteImage.id) == ImageMask.image_id)
        .where(SiteImage.case_id == case_id, ImageMask.state != MaskState.VOID)
        .order_by(col(ImageMask.revision))
    )
    return {mask.image_id: mask for mask in session.exec(statement)}


def frames_shown(session: Session, mask_id: UUID, user_id: UUID) -> set[int]:
    of_person = select(MaskView.frame).where(MaskView.mask_id == mask_id, MaskView.user_id == user_id)
    return set(session.exec(of_person.where(col(MaskView.is_shown))))


def form_of(session: Session, case_id: UUID) -> Form | None:
    return session.get(Form, case_id)


def history(session: Session, object_ids: Sequence[UUID]) -> Sequence[Edit]:
    """Every saved version of these objects, newest first."""
    return session.exec(select(Edit).where(col(Edit.object_id).in_(object_ids)).order_by(col(Edit.id).desc())).all()
