"""Reads of what is said of the heart on the images of a case."""

from uuid import UUID

from sqlmodel import Session, col, select

from core.models.curation import Roi
from core.models.heart import FrameMarks
from core.models.sitecase import SiteImage
from core.queries import cases as queries


def marks_of(session: Session, case_id: UUID) -> dict[UUID, FrameMarks]:
    """The marks of each image of a case that has any."""
    statement = select(FrameMarks).join(SiteImage, col(SiteImage.id) == FrameMarks.image_id)
    return {marks.image_id: marks for marks in session.exec(statement.where(SiteImage.case_id == case_id))}


def contours_of(session: Session, case_id: UUID) -> dict[UUID, Roi]:
    """The contour of the left ventricle on each image that has one; of several the first that was drawn."""
    found: dict[UUID, Roi] = {}
    for roi in queries.rois_of(session, case_id):
        if roi.use == "lv":
            found.setdefault(roi.image_id, roi)
    return found
