"""What follows from an ROI's tight box: its centre in millimetres where the ultrasound region gives a scale."""

from uuid import UUID

from sqlmodel import Session

from core.dicom.ultrasound import Region, region_at
from core.errors import NotFound
from core.models.curation import Roi
from core.models.sitecase import SiteImage
from core.permissions import Actor
from core.services import curation
from core.services.facts import regions_of


def centre_of(roi: Roi) -> tuple[float, float]:
    """Centre of the tight box, (x, y) in pixels of the stored frame."""
    return roi.x + roi.width / 2, roi.y + roi.height / 2


def centre_mm(session: Session, roi: Roi) -> tuple[float, float] | None:
    """(x, y) in mm from the upper left of the region that contains the centre; None where no region is measured in cm."""
    image = session.get_one(SiteImage, roi.image_id)
    return centre_in_region(roi, image)


def add_once(session: Session, actor: Actor, image_id: UUID, given: Roi) -> Roi:
    """As `curation.add_roi`, for a sender that may ask twice: an ROI of that id that is there already is the answer."""
    image = curation.editable_image(session, actor, image_id)
    known = session.get(Roi, given.id)
    if known is None:
        return curation.add_roi(session, actor, image.id, given)
    if known.image_id != image.id:
        raise NotFound
    return known


def image_of(session: Session, roi: Roi) -> SiteImage:
    return session.get_one(SiteImage, roi.image_id)


def centre_in_region(roi: Roi, image: SiteImage) -> tuple[float, float] | None:
    region, scale = _scaled_region(roi, image)
    if region is None or scale is None:
        return None
    x, y = centre_of(roi)
    return round((x - region.x0) * scale[0], 3), round((y - region.y0) * scale[1], 3)


def size_mm(roi: Roi, image: SiteImage) -> tuple[float, float] | None:
    """(width, height) of the tight box in mm; None where no region is measured in cm."""
    _, scale = _scaled_region(roi, image)
    return None if scale is None else (round(roi.width * scale[0], 1), round(roi.height * scale[1], 1))


def _scaled_region(roi: Roi, image: SiteImage) -> tuple[Region | None, tuple[float, float] | None]:
    x, y = centre_of(roi)
    region = region_at(regions_of(image.facts), int(x), int(y))
    return region, region.mm_per_px if region else None
