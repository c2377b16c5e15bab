"""What follows from an ROI: its centre and size in millimetres where an ultrasound region gives a scale, and its crop."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel import Session

from core.curation.shapes import Box, clipped
from core.dicom.ultrasound import Region, region_around
from core.errors import NotFound
from core.models.curation import Roi
from core.models.sitecase import SiteCase, SiteImage
from core.permissions import Actor
from core.services import curation, drawing
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
    around = roi.x - roi.margin, roi.y - roi.margin, roi.width + 2 * roi.margin, roi.height + 2 * roi.margin
    return clipped(around, image.columns, image.rows)


def add_once(session: Session, actor: Actor, image_id: UUID, given: Roi) -> Roi:
    """As `curation.add_roi`, for a sender that may ask twice: an ROI of that id that is there already is the answer."""
    image = curation.editable_image(session, actor, image_id)
    known = session.get(Roi, given.id)
    if known is None:
        return curation.add_roi(session, actor, image.id, given)
    if known.image_id != image.id:
        raise NotFound
    return known


def change_once(session: Session, actor: Actor, roi_id: UUID, change: Mapping[str, Any], version: int) -> Roi:
    """As `curation.change_roi`, for a sender that may ask twice: what says what was asked for already is the answer."""
    roi = session.get(Roi, roi_id)
    if roi is None:
        raise NotFound
    image = curation.editable_image(session, actor, roi.image_id)
    session.refresh(roi)  # somebody may have saved before the case was locked
    if roi.version != version:
        wanted = Roi(**roi.model_dump())
        drawing.changed(wanted, change)
        drawing.settle(image, session.get_one(SiteCase, image.case_id).domain, wanted)
        if curation.roi_body(wanted) == curation.roi_body(roi):
            return roi
    return curation.change_roi(session, actor, roi_id, change, version)


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
