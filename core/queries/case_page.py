"""Reads of the page on which a case is looked at: its images with what was said of each."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col, select

from core.errors import NotFound
from core.models.curation import ImageMask, MaskState, MaskView, Pick, Roi
from core.models.people import User
from core.models.sitecase import ImageState, SiteCase, SiteImage
from core.permissions import Actor
from core.queries import cases as queries


@dataclass(frozen=True)
class PageMask:
    """The present mask of an image; `shown` are the frames of its candidate that this person had on the screen."""

    row: ImageMask
    shown: tuple[int, ...]
    confirmed_by: str | None


@dataclass(frozen=True)
class PageImage:
    """One image; `is_usable` says whether it has a picture that could be registered."""

    image: SiteImage
    pick: Pick | None
    mask: PageMask | None
    rois: tuple[Roi, ...]

    @property
    def is_usable(self) -> bool:
        return self.image.state == ImageState.STAGED and self.image.frames > 0

    @property
    def is_confirmed(self) -> bool:
        return self.mask is not None and self.mask.row.state == MaskState.CONFIRMED


@dataclass(frozen=True)
class CasePage:
    """Everything that the viewer shows of one case."""

    case: SiteCase
    images: tuple[PageImage, ...]
    there: queries.Shown


def case_page(session: Session, actor: Actor, case_id: UUID) -> CasePage:
    """Raises NotFound for a case that is unknown or not the actor's."""
    case = queries.readable_case(session, actor, case_id)
    there = queries.shown_of(session, case.id)
    rois: defaultdict[UUID, list[Roi]] = defaultdict(list)
    for roi in there.rois:
        rois[roi.image_id].append(roi)
    shown = page_masks(session, actor, there.masks.values())
    images = tuple(
        PageImage(image, there.picks.get(image.id), shown.get(image.id), tuple(rois.get(image.id, ())))
        for image in there.images
    )
    return CasePage(case, images, there)


def page_mask(session: Session, actor: Actor, image_id: UUID) -> PageMask:
    """The present mask of one image. Raises NotFound where nothing is proposed yet."""
    image, _ = queries.readable_image(session, actor, image_id)
    row = queries.current_mask(session, image.id)
    if row is None:
        raise NotFound
    return page_masks(session, actor, [row])[image.id]


def page_masks(session: Session, actor: Actor, masks: Iterable[ImageMask]) -> dict[UUID, PageMask]:
    """{image: its mask as this person sees it}; of several masks of one image the last counts."""
    rows = list(masks)
    shown, names = _shown(session, actor, rows), _names(session, rows)
    return {row.image_id: _mask(row, shown, names) for row in rows}


def image_in(session: Session, actor: Actor, case_id: UUID, image_id: UUID) -> SiteImage:
    """The image if it belongs to this case. Raises NotFound."""
    image, case = queries.readable_image(session, actor, image_id)
    if case.id != case_id:
        raise NotFound
    return image


def roi_in(session: Session, actor: Actor, case_id: UUID, roi_id: UUID) -> Roi:
    """The ROI if it is on an image of this case. Raises NotFound."""
    roi = session.get(Roi, roi_id)
    if roi is None:
        raise NotFound
    image_in(session, actor, case_id, roi.image_id)
    return roi


def _mask(row: ImageMask, shown: dict[UUID, list[int]], names: dict[UUID, str]) -> PageMask:
    return PageMask(row, tuple(shown.get(row.id, ())), names.get(row.confirmed_by) if row.confirmed_by else None)


def _shown(session: Session, actor: Actor, masks: Iterable[ImageMask]) -> dict[UUID, list[int]]:
    """{mask: frames in order} for this person."""
    found: dict[UUID, list[int]] = {}
    ids = [mask.id for mask in masks]
    if not ids or actor.user_id is None:
        return found
    statement = select(MaskView).where(
        col(MaskView.mask_id).in_(ids), MaskView.user_id == actor.user_id, col(MaskView.is_shown)
    )
    for view in session.exec(statement.order_by(col(MaskView.frame))):
        found.setdefault(view.mask_id, []).append(view.frame)
    return found


def _names(session: Session, masks: Iterable[ImageMask]) -> dict[UUID, str]:
    ids = {mask.confirmed_by for mask in masks if mask.confirmed_by is not None}
    if not ids:
        return {}
    return {user.id: user.name for user in session.exec(select(User).where(col(User.id).in_(ids)))}
