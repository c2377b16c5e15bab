"""What follows from an ROI's tight box: its centre in millimetres where the ultrasound region gives a scale."""

from sqlmodel import Session

from core.dicom.ultrasound import region_at
from core.models.curation import Roi
from core.models.sitecase import SiteImage
from core.services.facts import regions_of


def centre_of(roi: Roi) -> tuple[float, float]:
    """Centre of the tight box, (x, y) in pixels of the stored frame."""
    return roi.x + roi.width / 2, roi.y + roi.height / 2


def centre_mm(session: Session, roi: Roi) -> tuple[float, float] | None:
    """(x, y) in mm from the upper left of the region that contains the centre; None where no region is measured in cm."""
    image = session.get_one(SiteImage, roi.image_id)
    return centre_in_region(roi, image)


def centre_in_region(roi: Roi, image: SiteImage) -> tuple[float, float] | None:
    x, y = centre_of(roi)
    region = region_at(regions_of(image.facts), int(x), int(y))
    if region is None or region.mm_per_px is None:
        return None
    mm_x, mm_y = region.mm_per_px
    return round((x - region.x0) * mm_x, 3), round((y - region.y0) * mm_y, 3)
