"""Central's gate: signature, hashes, contract, second look for identity, duplicates, geometry -> ACCEPTED or QUARANTINED, signed."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlmodel import Session, col, delete, select

from core import jobs
from core.clock import now_utc
from core.curation.tracks import to_json
from core.db import reading, transaction
from core.deid import verify
from core.dicom.part10 import Part10, open_part10
from core.errors import Conflict, NotFound, Refused, Unavailable
from core.models.archive import Instance
from core.models.bank import BankCase, BankImage, BankRoi, RecordVersion
from core.models.transfer import Parcel, ParcelState
from core.node import CentralNode
from core.package import archive, contract, envelope, messages
from core.package.contract import CaseRecord, ImageRecord
from core.package.messages import Reason
from core.services import archiving, issue, parcels, registry, training
from core.vocabulary import domain as vocabulary

_MALIGNANCIES: Final = {"benign", "malignant", "no_lesion", "undetermined"}


class Quarantine(Refused):
    """The package is not taken in; `code` says why to the site."""

    def __init__(self, code: Reason) -> None:
        super().__init__(code.value)
        self.code = code


class Checked:
    """A package that passed every check, its files in the store."""

    def __init__(self, record: CaseRecord, files: dict[str, archiving.Described]) -> None:
        self.record, self.files = record, files


def receive(node: CentralNode, parcel_id: UUID) -> None:
    """The job `parcel` at central. Blobs go into the store before the rows. May run twice: same package, same receipt."""
    with reading(node.engine) as session:
        parcel = session.get_one(Parcel, parcel_id)
        if parcel.state == ParcelState.COMPLETE:
            keys = parcels.site_keys(session)
    if parcel.state == ParcelState.COMPLETE:
        try:
            header = envelope.check_header(parcel.header.encode(), parcel.signature, keys)
            _accept(node, parcel_id, _open(node, parcel, header))
        except Quarantine as quarantine:
            _quarantine(node, parcel_id, quarantine.code)
        except Refused:
            _quarantine(node, parcel_id, Reason.SIGNATURE)
        except OSError:
            raise Unavailable("The scratch folder cannot be written: is there room on the disk?") from None
    parcels.drop_spool(node, parcel)
    with transaction(node.engine, "receive.dropped") as session:
        session.get_one(Parcel, parcel_id).spool_deleted_at = now_utc()


def _open(node: CentralNode, parcel: Parcel, header: envelope.Header) -> Checked:
    """Decrypt to a private temporary file, read the archive as a stream, check every image, and only then store them."""
    with (
        tempfile.TemporaryFile(dir=node.folder("scratch")) as plain,
        tempfile.TemporaryDirectory(dir=node.folder("scratch")) as folder,
    ):
        with parcels.spool_path(node, parcel).open("rb") as ciphertext:
            try:
                envelope.decrypt_package(ciphertext, plain, header, node.keys.identity)
            except Refused:
                raise Quarantine(Reason.CIPHERTEXT) from None
        plain.seek(0)
        sink = _Sink(node, Path(folder))
        try:
            record = archive.read_archive(plain, header, sink.take)
        except Quarantine:
            raise
        except Refused:
            raise Quarantine(Reason.ARCHIVE) from None
        _known_codes(record)
        found = {image.sha256: sink.check(image, str(record.research_id)) for image in record.images}
        with reading(node.engine) as session:
            _check_history(session, record, session.get(BankCase, record.case_id))
        sink.store(record)
        return Checked(record, found)


def _known_codes(record: CaseRecord) -> None:
    """Every field of the record is one of its domain's form or follows from it, and every code is in that field's list."""
    try:
        organ = vocabulary.load(record.domain)
    except NotFound:
        raise Quarantine(Reason.UNKNOWN_CODE) from None
    known = {name: {option.code for option in options} for name, options in organ.options.items()}
    known |= {"label": known["diagnosis"], "malignancy": _MALIGNANCIES}
    if four := organ.four_class:
        known["four_class"] = {entry.code for entry in four.classes}
    fields = {field.code for field in organ.fields} | set(organ.derive({}))
    named = {field for values in (record.values, *(image.values for image in record.images)) for field in values}
    if named - fields or any(code not in known.get(field, ()) for field, code in contract.coded(record)):
        raise Quarantine(Reason.UNKNOWN_CODE)


class _Sink:
    """Takes each image of the archive into a scratch file, checks it against the record and can put it into the store."""

    def __init__(self, node: CentralNode, folder: Path) -> None:
        self._node, self._folder = node, folder

    def take(self, image: ImageRecord, chunks: Iterator[bytes]) -> None:
        with (self._folder / image.sha256).open("xb") as out:
            for chunk in chunks:
                out.write(chunk)

    def check(self, image: ImageRecord, research_id: str) -> archiving.Described:
        """The second gate: nothing of what leaves a hospital is believed. Raises Quarantine."""
        with (self._folder / image.sha256).open("rb") as file:
            try:
                part10 = open_part10(file, image.size)
            except Refused:
                raise Quarantine(Reason.UNREADABLE_IMAGE) from None
            _same_as_record(part10, image, research_id)
            try:
                verify.check_structure(part10)
            except Refused:
                raise Quarantine(Reason.PERSONAL_TAG) from None
            try:
                verify.frames_decode(file, part10, self._node.sandbox)
            except Refused:
                raise Quarantine(Reason.UNREADABLE_IMAGE) from None
            return archiving.describe(part10, image.sha256, image.size)

    def store(self, record: CaseRecord) -> None:
        """Put every image into the store; the archive is read to its end and nothing of it was refused."""
        for image in record.images:
            with (self._folder / image.sha256).open("rb") as file:
                self._node.store.put(file, image.sha256)


def _same_as_record(part10: Part10, image: ImageRecord, research_id: str) -> None:
    """The file is the instance, the kind and the patient that the record says, and its pixels have that geometry."""
    dataset, pixel = part10.dataset, part10.pixel
    said = (image.sop_instance_uid, image.study_uid, image.series_uid, image.sop_class_uid, research_id)
    keywords = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "PatientID")
    if tuple(str(dataset.get(keyword)) for keyword in keywords) != said:
        raise Quarantine(Reason.IMAGE_DIFFERS)
    if part10.transfer_syntax != image.transfer_syntax:
        raise Quarantine(Reason.IMAGE_DIFFERS)
    shape = (image.rows, image.columns, image.frames, image.photometric)
    if pixel is None or (pixel.rows, pixel.columns, pixel.frames, pixel.photometric) != shape:
        raise Quarantine(Reason.GEOMETRY)


def _accept(node: CentralNode, parcel_id: UUID, checked: Checked) -> None:
    record = checked.record
    with transaction(node.engine, "receive.accept") as session:
        parcel = session.get_one(Parcel, parcel_id, with_for_update=True)
        if parcel.state != ParcelState.COMPLETE:
            return
        known = session.get(BankCase, record.case_id, with_for_update=True)
        _check_history(session, record, known)
        case = known or BankCase(
            id=record.case_id,
            site=record.site,
            research_id=record.research_id,
            domain=record.domain,
            version=record.case_version,
            package_id=record.package_id,
            accepted_month="",
        )
        case.version, case.package_id = record.case_version, record.package_id
        case.accepted_month, case.replicated_at = now_utc().strftime("%Y-%m"), None
        session.add(case)
        session.flush()
        _replace_images(session, record, checked)
        session.add(RecordVersion(case_id=case.id, version=case.version, record=record.model_dump(mode="json")))
        parcels.move(session, parcel, ParcelState.ACCEPTED)
        issue.receipt(node, session, parcel, messages.Verdict.ACCEPTED, [], record.site_audit_head)
        jobs.enqueue(session, "replicate", "central", key=f"case:{case.id}", case_id=str(case.id))


def _check_history(session: Session, record: CaseRecord, known: BankCase | None) -> None:
    """Nothing is overwritten: only a newer version of the same patient's case of the same site goes on."""
    if known is not None:
        if (known.site, known.research_id, known.domain) != (record.site, record.research_id, record.domain):
            raise Quarantine(Reason.OTHER_CONTENT)
        if record.case_version <= known.version:
            raise Quarantine(Reason.OLD_VERSION)
    uids = [image.sop_instance_uid for image in record.images]
    statement = select(BankImage).where(col(BankImage.sop_instance_uid).in_(uids), BankImage.case_id != record.case_id)
    if session.exec(statement).first() is not None:
        raise Quarantine(Reason.DUPLICATE)


def _replace_images(session: Session, record: CaseRecord, checked: Checked) -> None:
    """The rows of the newest version; older blobs stay as long as a dataset or an older record names them."""
    old = select(BankImage.id).where(BankImage.case_id == record.case_id)
    session.exec(delete(BankRoi).where(col(BankRoi.image_id).in_(old)))
    session.exec(delete(BankImage).where(col(BankImage.case_id) == record.case_id))
    for image in record.images:
        session.add(
            BankImage(
                id=image.image_id, case_id=record.case_id, sop_instance_uid=image.sop_instance_uid, sha256=image.sha256,
                rows=image.rows, columns=image.columns, frames=image.frames,
                mm_per_px=[image.mm_per_px.x, image.mm_per_px.y] if image.mm_per_px else None,
            )
        )  # fmt: skip
        try:
            archiving.store_row(session, checked.files[image.sha256], domain=record.domain)
        except Conflict:
            raise Quarantine(Reason.OTHER_CONTENT) from None
    session.flush()
    for roi in record.rois:
        drawn = to_json(roi.track())
        session.add(
            BankRoi(
                id=roi.roi_id, image_id=roi.image_id, lesion_id=roi.lesion_id, frame=roi.frame, x=roi.x, y=roi.y,
                width=roi.width, height=roi.height, margin=roi.margin, label=roi.label, kind=roi.shape,
                keyframes=drawn["keyframes"], out_of_view=drawn["out_of_view"],
            )
        )  # fmt: skip


def _quarantine(node: CentralNode, parcel_id: UUID, code: Reason) -> None:
    """Keep the verdict and tell the site; nothing of the package is kept in the clear."""
    with transaction(node.engine, "receive.quarantine") as session:
        parcel = session.get_one(Parcel, parcel_id, with_for_update=True)
        if parcel.state == ParcelState.COMPLETE:
            parcels.move(session, parcel, ParcelState.QUARANTINED)
            parcel.reasons = [code.value]
            issue.receipt(node, session, parcel, messages.Verdict.QUARANTINED, [code], None)


def unreferenced_blobs(session: Session, hashes: list[str]) -> set[str]:
    """Of these hashes, the ones that no image, dataset, training, model or archived instance names."""
    named = set(session.exec(select(BankImage.sha256).where(col(BankImage.sha256).in_(hashes))))
    named |= set(session.exec(select(Instance.sha256).where(col(Instance.sha256).in_(hashes))))
    named |= issue.dataset_hashes(session, hashes) | training.training_hashes(session, hashes)
    return set(hashes) - named - registry.model_hashes(session, hashes)
