"""What de-identification did to a case: before and after, attribute by attribute, text by text, and who answered."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from core.models.curation import ImageMask
from core.models.people import User
from core.models.sitecase import SiteCase, SiteImage
from core.models.transfer import DeidReport, Package, PackagedImage
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.queries.case_form import name_of


@dataclass(frozen=True)
class AnsweredText:
    """A place with text that a person let stand. `what` is its kind; what is written there is kept nowhere."""

    frame: int
    what: str
    by: str | None
    at: str | None


@dataclass(frozen=True)
class ReportedImage:
    """One image of the package: its mask with the reasons of its rectangles, and the report of its header."""

    image: SiteImage
    mask: ImageMask
    reasons: Mapping[str, int]
    texts: Sequence[AnsweredText]
    confirmed_by: str | None
    header: Mapping[str, Any]


@dataclass(frozen=True)
class CaseReport:
    """The newest package of a case that was built; `is_here`: its originals are still there to compare with."""

    case: SiteCase
    package: Package | None
    images: Sequence[ReportedImage]
    may_see_pixels: bool
    is_here: bool


def case_report(session: Session, actor: Actor, case_id: UUID) -> CaseReport:
    """Raises NotFound for a case that is unknown or not the actor's. Without a package there are no images."""
    case = queries.readable_case(session, actor, case_id)
    built = (
        select(Package)
        .join(PackagedImage, col(PackagedImage.package_id) == Package.id)
        .join(DeidReport, col(DeidReport.packaged_image_id) == PackagedImage.id)
        .where(Package.case_id == case.id)
        .order_by(col(Package.case_version).desc(), col(Package.attempt).desc())
    )
    package = session.exec(built.limit(1)).first()
    images = _images(session, package.id) if package else []
    return CaseReport(case, package, images, actor.may(Verb.SEE_PIXELS, case.domain), case.purged_at is None)


def _images(session: Session, package_id: UUID) -> list[ReportedImage]:
    statement = (
        select(SiteImage, ImageMask, DeidReport)
        .join(PackagedImage, col(PackagedImage.image_id) == SiteImage.id)
        .join(ImageMask, col(ImageMask.id) == PackagedImage.mask_id)
        .join(DeidReport, col(DeidReport.packaged_image_id) == PackagedImage.id)
        .where(PackagedImage.package_id == package_id)
        .order_by(col(SiteImage.number))
    )
    rows = list(session.exec(statement))
    names = _names(session, [one["by"] for _, mask, _ in rows for one in mask.texts if one.get("by")])
    return [
        ReportedImage(
            image,
            mask,
            Counter(mask.reasons),
            [AnsweredText(one["frame"], one["what"], names.get(one["by"]), one["at"]) for one in mask.texts],
            name_of(session, mask.confirmed_by),
            report.body,
        )
        for image, mask, report in rows
    ]


def _names(session: Session, ids: Sequence[str]) -> dict[str, str]:
    wanted = {UUID(one) for one in ids}
    return {str(user.id): user.name for user in session.exec(select(User).where(col(User.id).in_(wanted)))}


def as_json(report: CaseReport) -> dict[str, Any]:
    """The report for programs."""
    package = report.package
    return {
        "case_id": str(report.case.id),
        "case_number": report.case.number,
        "package_id": str(package.id) if package else None,
        "case_version": package.case_version if package else None,
        "images": [
            {
                "image_id": str(one.image.id),
                "number": one.image.number,
                "frames": one.image.frames,
                "rule_id": one.mask.rule_id,
                "rule_version": one.mask.rule_version,
                "mask_revision": one.mask.revision,
                "rects": one.mask.rects,
                "reasons": one.mask.reasons,
                "digest": one.mask.digest,
                "confirmed_by": one.confirmed_by,
                "confirmed_at": one.mask.confirmed_at.isoformat() if one.mask.confirmed_at else None,
                "texts_left": [{"frame": t.frame, "what": t.what, "by": t.by, "at": t.at} for t in one.texts],
                "header": one.header,
            }
            for one in report.images
        ],
    }
