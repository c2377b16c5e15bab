"""What follows from an ROI: its centre and size in millimetres where an ultrasound region gives a scale, and its crop."""

import math
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session

from core.curation.shapes import Box
from core.dicom.ultrasound import Region, region_around
from core.errors import NotFound
from core.models.curation import Roi
from core.models.sitecase import SiteImage
from core.permissions import Actor
from core.services import curation
from core.services.facts import regions_of


@dataclass(frozen=True)
class Measures:
    """Of the shape on the first keyframe. `crop` is the tight box with its margin, cut at the picture: x, y, width,
    height in pixels of the stored frame, as `centre_px`. Millimetres are None where no region that holds the whole box
    is measured in cm: `centre_mm` from that region's upper left, `size_mm` (width, height), `length_mm` of a calliper."""

    centre_px: tuple[float, float]
    crop: Box
    centre_mm: tuple[float, float] | None
    size_mm: tuple[float, float] | None
    length_mm: float | None


def measures(roi: Roi, image: SiteImage) -> Measures:
    x, y = centre_of(roi)
    region, scale = _scaled_region(roi, image)
    if region is None or scale is None:
        return Measures((x, y), crop_of(roi, image), None, None, None)
    centre = round((x - region.x0) * scale[0], 3), round((y - region.y0) * scale[1], 3)
    size = round(roi.width * scale[0], 1), round(roi.height * scale[1], 1)
    is_caliper = roi.use == "caliper"
    length = round(math.hypot(roi.width * scale[0], roi.height * scale[1]), 1) if is_caliper else None
    return Measures((x, y), crop_of(roi, image), centre, size, length)


def centre_of(roi: Roi) -> tuple[float, float]:
    """Centre of the tight box, (x, y) in pixels of the stored frame."""
    return roi.x + roi.width / 2, roi.y + roi.height / 2


def crop_of(roi: Roi, image: SiteImage) -> Box:
    """The part of the picture that a crop shows: x, y, width, height in pixels."""
    x, y = max(0.0, roi.x - roi.margin), max(0.0, roi.y - roi.margin)
    right = min(float(image.columns), roi.x + roi.width + roi.margin)
    return x, y, right - x, min(float(image.rows), roi.y + roi.height + roi.margin) - y


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
    """(x, y) in mm from the upper left of the region that holds the box; None where there is none with a scale."""
    return measures(roi, image).centre_mm


def size_mm(roi: Roi, image: SiteImage) -> tuple[float, float] | None:
    """(width, height) of the tight box in mm; None where no region that holds it is measured in cm."""
    return measures(roi, image).size_mm


def _scaled_region(roi: Roi, image: SiteImage) -> tuple[Region | None, tuple[float, float] | None]:
    # The last pixel that the box touches; an end on a pixel's edge does not reach into the next one.
    last_x = max(int(roi.x), math.ceil(roi.x + roi.width) - 1)
    last_y = max(int(roi.y), math.ceil(roi.y + roi.height) - 1)
    region = region_around(regions_of(image.facts), int(roi.x), int(roi.y), last_x, last_y)
    return region, region.mm_per_px if region else None
