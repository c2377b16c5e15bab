"""Register a case: list what is missing, queue its release, take it back, correct it later."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from sqlmodel import Session, col, select

from core import jobs
from core.clock import now_utc
from core.errors import WrongState
from core.models.curation import ImageMask, MaskState, Roi
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.models.transfer import PackageState
from core.node import SiteNode
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.services import packages
from core.services.cases import locked_for, move
from core.services.curation import present_form
from core.services.drawing import boxes_near, touch
from core.vocabulary import domain as vocabulary

STOPPABLE = frozenset({PackageState.BUILDING, PackageState.DEIDENTIFIED, PackageState.STAGED, PackageState.SEND_FAILED})


class GapKind(StrEnum):
    """What is missing, for a page to say in its own words."""

    ANSWER = "answer"
    NO_IMAGE = "no-image"
    MASK = "mask"
    COVERED = "covered"
    NO_ROI = "no-roi"


@dataclass(frozen=True)
class Gap:
    """One thing that keeps a case from being registered; `where` is a field or an image number."""

    where: str
    message: str
    kind: GapKind = GapKind.ANSWER
    image: int | None = None


def gaps(session: Session, case: SiteCase, there: queries.Shown | None = None) -> list[Gap]:
    """Everything that is still missing, for the person to jump to; `there` where the caller has read it already."""
    there = there or queries.shown_of(session, case.id)
    entries, _ = present_form(session, case, there)
    organ = vocabulary.load(case.domain)
    plain = {field: entry["value"] for field, entry in entries.items()}
    _, missing, _ = organ.check({f.code: plain[f.code] for f in organ.fields if f.code in plain and f.type != "text"})
    found = [Gap(gap.field, f"{gap.label.en} is missing.") for gap in missing]
    masks, rois, chosen = there.masks, there.lesions, there.picked
    if not chosen:
        found.append(Gap("images", "Pick at least one image.", GapKind.NO_IMAGE))
    for image in chosen:
        mask = masks.get(image.id)
        if mask is None or mask.state != MaskState.CONFIRMED:
            found.append(Gap(f"image {image.number}", "Its mask is not confirmed.", GapKind.MASK, image.number))
        for roi in rois:
            if roi.image_id == image.id and mask is not None and under_mask(roi, mask):
                found.append(Gap(f"image {image.number}", "An ROI lies under a mask.", GapKind.COVERED, image.number))
    if chosen and organ.has_lesion(plain) and not any(roi.image_id == image.id for roi in rois for image in chosen):
        found.append(Gap("images", "Draw the ROI of the lesion on at least one picked image.", GapKind.NO_ROI))
    return found


def under_mask(roi: Roi, mask: ImageMask) -> bool:
    """Whether a masked rectangle cuts into the tight box of a frame, one between two keyframes too."""
    return any(
        touch(box, (x, y, width, height)) for box in boxes_near(roi, mask.rects) for x, y, width, height in mask.rects
    )


def register(node: SiteNode, session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """REGISTERED, and the release queued after the delay in which it can be taken back."""
    case = locked_for(session, actor, Verb.REGISTER, case_id)
    node.check_ethics()
    if case.state == CaseState.CURATING and (missing := gaps(session, case)):
        raise WrongState("; ".join(f"{gap.where}: {gap.message}" for gap in missing))
    move(session, actor, case, CaseState.REGISTERED, revision=case.revision)
    delay = node.settings.release_delay_seconds
    case.registered_by, case.release_at = actor.user_id, now_utc() + timedelta(seconds=delay)
    jobs.enqueue(session, "release", "pixels", key=f"case:{case.id}", in_seconds=delay, case_id=str(case.id))
    return case


def take_back(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """Back to curation, as long as nothing has been sent."""
    case = locked_for(session, actor, Verb.REGISTER, case_id)
    package = packages.newest(session, case.id, case.revision)
    if package is not None:
        package = packages.locked(session, package.id)
        if packages.is_out(package) or package.state == PackageState.QUARANTINED:
            raise WrongState("It has been sent; correct it instead, which makes a new version.")
        if package.state in STOPPABLE:
            packages.move(session, actor, package, PackageState.TAKEN_BACK)
    move(session, actor, case, CaseState.CURATING)
    case.registered_by = case.release_at = None
    return case


def way_back(session: Session, case: SiteCase) -> str | None:
    """Which step leads a registered case back to curation: take-back while nobody has it, correct afterwards, or none."""
    package = packages.newest(session, case.id, case.revision)
    if case.state != CaseState.REGISTERED:
        return None
    if package is None or not (packages.is_out(package) or package.state == PackageState.QUARANTINED):
        return "take-back"
    return "correct" if case.purged_at is None else None


def correct(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """Open the next version of a case that was sent. The sent one stays as it is."""
    case = locked_for(session, actor, Verb.REGISTER, case_id)
    package = packages.newest(session, case.id, case.revision)
    if package is None or package.state in STOPPABLE:
        raise WrongState("It has not been sent yet; take it back instead.")
    if case.purged_at is not None:
        raise WrongState("Its images are purged here; flag the study again to pull them.")
    move(session, actor, case, CaseState.CURATING)
    case.revision += 1
    case.registered_by = case.release_at = case.purge_at = None
    return case


def picked_images(session: Session, case_id: UUID) -> list[SiteImage]:
    picks = queries.picks_of(session, case_id)
    return [image for image in queries.images_of(session, case_id) if image.id in picks and picks[image.id].picked]


def due_for_purge(session: Session) -> list[SiteCase]:
    """Cases whose identified files have outlived their days."""
    statement = select(SiteCase).where(col(SiteCase.purge_at) <= now_utc(), col(SiteCase.purged_at).is_(None))
    return list(session.exec(statement.with_for_update(skip_locked=True)).all())
