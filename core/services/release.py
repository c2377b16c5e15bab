"""Release in three re-runnable steps: identities first, then files built and verified, then one locked check of everything."""

from math import ceil
from uuid import UUID

from sqlmodel import Session, col, select

from core import audit, jobs
from core.clock import now_utc
from core.db import reading, transaction
from core.deid import headers, verify
from core.deid.candidate import Index
from core.deid.masks import Rect
from core.deid.pseudonyms import Pseudonyms
from core.deid.release import build_file
from core.deid.report import header_report
from core.deid.text_search import Picture
from core.dicom.display import palette_of
from core.dicom.part10 import frame_bytes, open_part10
from core.errors import Held, NotFound, Refused, Unavailable
from core.models.curation import ImageMask, MaskState
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.models.transfer import DeidReport, Package, PackagedImage, PackageState
from core.node import SiteNode
from core.permissions import SYSTEM
from core.queries import cases as queries
from core.services import cases, masks, packages, registry, texts
from core.services.candidate import kind_of
from core.services.facts import regions_of
from core.services.registering import picked_images
from core.store import sha256_of
from core.vault import Link, SealedReader


class TextRemains(Held):
    """Text is visible that nobody has answered for; `image_id` is looked at again."""

    def __init__(self, message: str, image_id: UUID) -> None:
        super().__init__(message)
        self.image_id = image_id


def release(node: SiteNode, case_id: UUID) -> None:
    """The job `release`. Any finding holds the package and gives the case back to a person. May run twice."""
    package = _issue_identities(node, case_id)
    if package is None:
        return
    try:
        node.check_ethics()
        _check_opt_out(node, case_id)
        link = node.vault.link(case_id)
        for image in _to_build(node, package):
            _build(node, package, image, link)
        _complete(node, package)
    except TextRemains as refusal:
        _hold(node, package, refusal.message, refusal.image_id)
    except Refused as refusal:
        _hold(node, package, refusal.message)
    except NotFound:
        _stopped_or_again(node, package)


def _stopped_or_again(node: SiteNode, package: Package) -> None:
    """A file went while it was worked on: because the case was stopped, or another run of this job was quicker."""
    with reading(node.engine) as session:
        row = session.get_one(Package, package.id)
        if row.state == PackageState.BUILDING:
            raise Unavailable("A file of this case is not here now; the release is tried again.")


def _issue_identities(node: SiteNode, case_id: UUID) -> Package | None:
    """Step 1: the linkage row commits first, then the package with every new identity."""
    with reading(node.engine) as session:
        case = session.get(SiteCase, case_id)
        if case is None or case.state != CaseState.REGISTERED:
            return None
    node.vault.link(case_id)
    with transaction(node.engine, "release.identities") as session:
        case = cases.locked(session, case_id)
        if case.state != CaseState.REGISTERED or _is_early(session, case):
            return None
        package = packages.newest(session, case_id, case.revision)
        if package is not None and package.state == PackageState.BUILDING:
            return package
        if package is not None and package.state not in {PackageState.TAKEN_BACK, PackageState.HELD}:
            return None
        package = Package(
            case_id=case_id,
            case_version=case.revision,
            state=PackageState.BUILDING,
            attempt=package.attempt + 1 if package else 1,
        )
        session.add(package)
        session.flush()
        present = queries.masks_of(session, case_id)
        for image in picked_images(session, case_id):
            session.add(PackagedImage(package_id=package.id, image_id=image.id, mask_id=present[image.id].id))
        audit.record(session, SYSTEM, "package.building", package.id, after=package.state, case=str(case_id))
        return package


def _is_early(session: Session, case: SiteCase) -> bool:
    """A job of an earlier registration, which was taken back, must not cut the new delay short: it comes again."""
    left = (case.release_at - now_utc()).total_seconds() if case.release_at else 0.0
    if left > 0:
        jobs.enqueue(session, "release", "pixels", key=f"case:{case.id}", in_seconds=ceil(left), case_id=str(case.id))
    return left > 0


def _to_build(node: SiteNode, package: Package) -> list[PackagedImage]:
    with reading(node.engine) as session:
        rows = select(PackagedImage).where(PackagedImage.package_id == package.id).order_by(col(PackagedImage.id))
        return list(session.exec(rows))


def _build(node: SiteNode, package: Package, packaged: PackagedImage, link: Link) -> None:
    """Step 2, one image: new header round the candidate's stream, verified as written, put create-only into the store."""
    if packaged.sha256 and node.store.size(packaged.sha256) == packaged.size:
        return
    with reading(node.engine) as session:
        mask = queries.current_mask(session, packaged.image_id)
        if mask is None or mask.id != packaged.mask_id or mask.state != MaskState.CONFIRMED:
            raise Refused("The mask was changed after the confirmation; look at it again.")
    needles = node.vault.needles(package.case_id, SYSTEM.name)
    index = Index.of(mask.candidate)
    pseudonyms = Pseudonyms.of(link, node.vault.study_moment(package.case_id, SYSTEM.name))
    with node.staging.open(packaged.image_id, "original") as original:
        source = open_part10(original, original.size)
        header = headers.deidentify(source.dataset, pseudonyms, index, revision=mask.revision, needles=needles)
        verify.uids_are_new(header, source.dataset)
        report = header_report(source.dataset, header, needles)
    with node.staging.open(packaged.image_id, kind_of(mask.revision)) as stream:
        index.check_digest(stream, mask.digest or "")
        node.staging.put(packaged.image_id, "release", build_file(header, stream, index))
    with node.staging.open(packaged.image_id, "release") as written:
        verify.check_released(written, written.size, needles)
        verify.frames_decode(written, open_part10(written, written.size), node.sandbox)
        _check_text(node, packaged.image_id, mask, written)
        written.seek(0)
        sha256, size = sha256_of(written)
        written.seek(0)
        node.store.put(written, sha256)
    with transaction(node.engine, "release.image") as session:
        row = session.get_one(PackagedImage, packaged.id)
        row.sha256, row.size = sha256, size
        row.sop_instance_uid = str(header.SOPInstanceUID)
        row.study_uid, row.series_uid = str(header.StudyInstanceUID), str(header.SeriesInstanceUID)
        session.merge(DeidReport(packaged_image_id=packaged.id, body=report))
    node.staging.delete(packaged.image_id, "release")


def _check_text(node: SiteNode, image_id: UUID, mask: ImageMask, written: SealedReader) -> None:
    """Judge the text of the file's own frames once more: more may be known of a patient than when the mask was confirmed."""
    part10 = open_part10(written, written.size)
    if part10.pixel is None:
        raise Held("The file has no picture.")
    with reading(node.engine) as session:
        image = session.get_one(SiteImage, image_id)
    frames = Picture(part10.pixel, lambda n: frame_bytes(written, part10, n - 1), palette_of(part10.dataset))
    found = texts.look(node, image, frames, regions_of(image.facts), [Rect(*rect) for rect in mask.rects])
    if texts.not_left(mask, found):
        raise TextRemains(
            "Text that nobody has answered for is visible in a picture; look at the image again.", image_id
        )


def _check_opt_out(node: SiteNode, case_id: UUID) -> None:
    if node.vault.is_opted_out(case_id=case_id):
        raise Refused("This patient has opted out.")


def _complete(node: SiteNode, package: Package) -> None:
    """Step 3: under the case's lock, everything is still as it was confirmed."""
    _check_opt_out(node, package.case_id)
    with transaction(node.engine, "release.complete") as session:
        case = cases.locked(session, package.case_id)
        row = packages.locked(session, package.id)
        if case.state != CaseState.REGISTERED or row.state != PackageState.BUILDING:
            return
        _still_confirmed(session, row)
        packages.move(session, SYSTEM, row, PackageState.DEIDENTIFIED)
        jobs.enqueue(session, "pack", "transfer", key=f"package:{row.id}", package_id=str(row.id))


def _still_confirmed(session: Session, package: Package) -> None:
    for packaged in session.exec(select(PackagedImage).where(PackagedImage.package_id == package.id)):
        mask = queries.current_mask(session, packaged.image_id)
        if mask is None or mask.id != packaged.mask_id or mask.state != MaskState.CONFIRMED or not packaged.sha256:
            raise Refused("The mask was changed after the confirmation; look at it again.")


def _hold(node: SiteNode, package: Package, reason: str, image_id: UUID | None = None) -> None:
    """The package is held and the case is a person's again, with the reason; `image_id`: its mask is to be looked at."""
    with transaction(node.engine, "release.hold") as session:
        case = cases.locked(session, package.case_id)
        row = packages.locked(session, package.id)
        if row.state != PackageState.BUILDING:
            return
        packages.move(session, SYSTEM, row, PackageState.HELD, reason)
        if case.state == CaseState.REGISTERED:
            cases.move(session, SYSTEM, case, CaseState.CURATING)
            case.reason = reason
            if image_id is not None:
                masks.look_again(session, SYSTEM, image_id)


def unreferenced_blobs(session: Session, hashes: list[str]) -> set[str]:
    """Of these hashes, the ones that no package of this site and no model names."""
    named = set(session.exec(select(PackagedImage.sha256).where(col(PackagedImage.sha256).in_(hashes))))
    return set(hashes) - named - registry.model_hashes(session, hashes)


def images_of(session: Session, package_id: UUID) -> list[tuple[PackagedImage, SiteImage]]:
    """The images of a package with their site rows, in the order of their numbers."""
    statement = (
        select(PackagedImage, SiteImage)
        .join(SiteImage, col(SiteImage.id) == PackagedImage.image_id)
        .where(PackagedImage.package_id == package_id)
        .order_by(col(SiteImage.number))
    )
    return list(session.exec(statement))
