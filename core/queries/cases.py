"""Reads of the site's cases; the getter is the gate."""

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from core.errors import NotFound
from core.models.curation import Edit, Form, ImageMask, MaskState, MaskView, Pick, Roi
from core.models.sitecase import SiteCase, SiteImage
from core.permissions import ALL_DOMAINS, Actor, Verb


def readable_cases(actor: Actor) -> SelectOfScalar[SiteCase]:
    """The only place where a query of cases begins: cases of the domains that the actor may see."""
    domains = actor.domains(Verb.SEE_CASES)
    statement = select(SiteCase)
    return statement if ALL_DOMAINS in domains else statement.where(col(SiteCase.domain).in_(domains))


def readable_case(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """Raises NotFound for a case that is unknown or not the actor's."""
    case = session.exec(readable_cases(actor).where(SiteCase.id == case_id)).first()
    if case is None:
        raise NotFound
    return case


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


def current_mask(session: Session, image_id: UUID) -> ImageMask | None:
    """The newest mask of an image that is not void."""
    statement = select(ImageMask).where(ImageMask.image_id == image_id, ImageMask.state != MaskState.VOID)
    return session.exec(statement.order_by(col(ImageMask.revision).desc()).limit(1)).first()


def masks_of(session: Session, case_id: UUID) -> dict[UUID, ImageMask]:
    """The current mask of each image of a case."""
    statement = (
        select(ImageMask)
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
