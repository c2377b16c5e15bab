"""Take staged originals into a case: facts into the image's row, identity into the vault, all of one batch at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col, select

from core import audit
from core.db import transaction
from core.dicom.facts import InstanceIdentity, read_facts, read_identity
from core.dicom.part10 import open_part10
from core.errors import Refused
from core.models.sitecase import ImageState, SiteImage
from core.node import SiteNode
from core.permissions import SYSTEM, Actor
from core.services.facts import kept_words, stored_facts
from core.vault import InstanceIdentityIn


@dataclass(frozen=True)
class Listed:
    """One instance that the PACS promises."""

    study_uid: str
    series_uid: str
    sop_uid: str


@dataclass(frozen=True)
class Arrived:
    """One staged instance: its new id, its number in the case, what was listed, and the SHA-256 of its bytes."""

    image_id: UUID
    number: int
    listed: Listed
    sha256: bytes


def take_in(node: SiteNode, case_id: UUID, arrived: Sequence[Arrived]) -> None:
    """Staged bytes -> vault rows -> image rows, each step safe to repeat. A file that cannot be used says why."""
    images = read_in(node, case_id, arrived)
    with transaction(node.engine, "retrieve.instances") as session:
        ids = [image.id for image in images]
        stored = set(session.exec(select(SiteImage.id).where(col(SiteImage.id).in_(ids))))
        store(session, SYSTEM, [image for image in images if image.id not in stored])
    node.staging.delete_case([image.id for image in images if image.state == ImageState.REFUSED])


def read_in(node: SiteNode, case_id: UUID, arrived: Sequence[Arrived]) -> list[SiteImage]:
    """Staged bytes -> vault rows, safe to repeat; the rows of the images, which nobody has stored yet."""
    read = {one.image_id: _read(node, case_id, one) for one in arrived}
    sealed = {one.image_id: _sealed(one, *read[one.image_id]) for one in arrived}
    node.vault.seal_instances(case_id, sealed)
    _learn(node, case_id, [identity for _, identity in read.values() if identity is not None])
    return [image for image, _ in read.values()]


def store(session: Session, actor: Actor, images: Sequence[SiteImage]) -> None:
    for image in images:
        session.add(image)
        detail = {"reason": image.reason} if image.reason else {}
        audit.record(session, actor, "image.take-in", image.id, after=image.state, **detail)


def _read(node: SiteNode, case_id: UUID, one: Arrived) -> tuple[SiteImage, InstanceIdentity | None]:
    """The row of an image by its file, and whom the file names as far as it can be read."""
    identity: InstanceIdentity | None = None
    with node.staging.open(one.image_id, "original") as reader:
        image = SiteImage(
            id=one.image_id, case_id=case_id, number=one.number, state=ImageState.STAGED, size=reader.size
        )
        try:
            part10 = open_part10(reader, reader.size)
            identity = read_identity(part10.dataset)
            if identity.sop_uid != one.listed.sop_uid or identity.study_uid != one.listed.study_uid:
                raise Refused("The PACS sent another instance than the one asked for.")
            image.facts = stored_facts(read_facts(part10.dataset, part10.file_meta)) | kept_words(part10.dataset)
            if part10.pixel is not None:
                image.frames, image.rows, image.columns = part10.pixel.frames, part10.pixel.rows, part10.pixel.columns
        except Refused as refusal:
            image.state, image.reason = ImageState.REFUSED, refusal.message
    return image, identity


def _sealed(one: Arrived, image: SiteImage, identity: InstanceIdentity | None) -> InstanceIdentityIn:
    return InstanceIdentityIn(
        sop_uid=one.listed.sop_uid,
        series_uid=one.listed.series_uid,
        extra=identity.as_dict() if identity else {},
        sha256=one.sha256,
        size=image.size,
    )


def _learn(node: SiteNode, case_id: UUID, identities: Sequence[InstanceIdentity]) -> None:
    """The vault learns from the images what the flag did not say: verification needs every value of this patient."""
    said = [(one.study_uid, one.accession, one.patient_name, one.birth_date) for one in identities]
    for study_uid, accession, names, birth_date in dict.fromkeys(said):
        node.vault.learn(case_id, study_uid=study_uid, accession=accession, names=names, birth_date=birth_date)
