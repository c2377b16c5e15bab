"""One file through all steps: read, mask, look for text, new header, verify as written, give it its name."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydicom.dataset import Dataset

from core.deid import headers, unseen, verify
from core.deid.candidate import Index, plan
from core.deid.candidate_stream import write_stream
from core.deid.masks import MOST_RECTS, DeviceFacts, Proposal, Rect, kept_regions, left_visible, propose
from core.deid.pseudonyms import Pseudonyms
from core.deid.release import build_file
from core.dicom.facts import InstanceFacts, InstanceIdentity, read_facts, read_identity
from core.dicom.part10 import Part10, open_part10
from core.errors import Held, Refused, Unavailable
from core.folder.drafts import FULL, Draft
from core.folder.linkage import Linkage, Patient
from core.folder.rules import Rules
from core.folder.texts import Seen, identifiers_of, look
from core.folder.walk import UNREADABLE, Unchanged
from core.sandbox import Sandbox
from core.vault.keys import Key, fsync_folder
from core.vault.moments import first_moment

NO_PICTURE: Final = "This object has no picture."
NOT_ULTRASOUND: Final = "Only ultrasound images are de-identified here."
LISTING: Final = "This is a DICOMDIR, a list of other files; it is not copied."
NO_RULE: Final = (
    "No published rule knows this device at this size, and the image names no ultrasound region. Make a rule for it on "
    "a site's page for devices, publish it, and name the exported rules with --rules."
)
NOT_SILENT: Final = (
    "No published rule knows this device at this size, and there is writing inside its ultrasound regions. Make a rule "
    "for it on a site's page for devices, publish it, and name the exported rules with --rules."
)
QUESTION: Final = "Much of the picture looks like writing that cannot be read: a person must look."
STILL_THERE: Final = "Writing is still found after it was blackened: a person must look."
_DICOMDIR: Final = b"1.2.840.10008.1.3.10"
_TRIES: Final = 5
_MOST_ASKED: Final = 0.05  # of the frame
_PIECE: Final = 1 << 20
_ORIGINALS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class Status(StrEnum):
    """What became of a file."""

    CANDIDATE = "candidate"
    HELD = "held"
    REFUSED = "refused"


@dataclass(frozen=True)
class Bench:
    """What every file of a run is worked on with. `readers` read text."""

    out: Path
    work: Path
    linkage: Linkage
    rules: Rules
    decoders: Sandbox
    readers: Sandbox
    jobs: int
    draft_key: Key
    is_confirmed: bool
    study_is_patient: bool


@dataclass(frozen=True)
class _Source:
    """One opened original."""

    fp: BinaryIO
    part10: Part10
    facts: InstanceFacts
    identity: InstanceIdentity
    patient_key: bytes
    patient: Patient
    needles: tuple[str, ...]
    content: bytes


@dataclass(frozen=True)
class _Masked:
    """A candidate on which nothing is read; `was_silent`: nothing was read on what rule and regions left either."""

    index: Index
    proposal: Proposal
    rects: tuple[Rect, ...]
    was_silent: bool


def opened(fp: BinaryIO, size: int) -> Part10:
    """An ultrasound image from outside; raises Refused, saying what else it is."""
    fp.seek(0)
    if _DICOMDIR in fp.read(512):
        raise Refused(LISTING)
    part10 = open_part10(fp, size)
    if str(part10.dataset.get("SOPClassUID")) not in headers.SOP_CLASSES:
        raise Refused(NOT_ULTRASOUND)
    if part10.pixel is None:
        raise Refused(NO_PICTURE)
    return part10


def first_look(file: Unchanged) -> tuple[InstanceIdentity, bytes]:
    """Whose an original is, and the SHA-256 of its bytes. Raises Refused as `opened` does, PARSER_ERRORS for odd values."""
    source, size = file.open()
    with source:
        identity = read_identity(opened(source, size).dataset)
        source.seek(0)
        return identity, file_digest(source, "sha256").digest()


def make(bench: Bench, fp: BinaryIO, size: int, content: bytes) -> dict[str, Any]:
    """Write the candidate of one original into OUT and say what was done, as the linkage keeps it.

    `content` is its content key. Raises Held or Refused with the reason when nothing may be written, Unavailable when
    OUT or the keys cannot be used any more."""
    part10 = opened(fp, size)
    identity = read_identity(part10.dataset)
    key = bench.linkage.patient_key(identity, study_is_patient=bench.study_is_patient)
    patient = bench.linkage.patient(key, identity)
    needles = bench.linkage.needles(patient, identity)
    facts = read_facts(part10.dataset, part10.file_meta)
    source = _Source(fp, part10, facts, identity, key, patient, needles, content)
    with Draft(bench.work, bench.draft_key) as stream, Draft(bench.work, bench.draft_key) as file:
        masked = _masked(bench, source, stream)
        is_sure = masked.proposal.rule_id is not None and not masked.proposal.must_look and masked.was_silent
        mark = unseen.DEVICE_CONFIRMED if is_sure and bench.is_confirmed else unseen.UNSEEN
        header = _header(bench, source, masked, mark)
        with stream.opened() as (pixels, _):
            file.fill(build_file(header, pixels, masked.index))
        _verify(bench, source, file)
        output = f"{patient.research_id}/{header.StudyInstanceUID}/{header.SOPInstanceUID}.dcm"
        digest = _publish(bench, file, output)
    return {
        "status": Status.CANDIDATE,
        "reason": None,
        "output": output,
        "sha256": digest,
        "digest": masked.index.digest,
        "rule": masked.proposal.rule_id,
        "rule_version": masked.proposal.rule_version,
        "masks": [list(rect) for rect in masked.rects],
        "is_sure": is_sure,
        "is_confirmed": mark == unseen.DEVICE_CONFIRMED,
        "uids": _uids(part10.dataset, header),
    }


def _masked(bench: Bench, source: _Source, stream: Draft) -> _Masked:
    """The candidate by rule and regions; what is still found on it is blackened too, and read again."""
    device, regions = DeviceFacts.of(asdict(source.facts)), source.facts.regions
    proposal = propose(device, regions, bench.rules.rules)
    kept = [(one.x0, one.y0, one.x1 + 1, one.y1 + 1) for one in kept_regions(regions, device.rows, device.columns)]
    if proposal.rule_id is None and not kept:
        raise Held(NO_RULE)
    # Where no region says where the picture is, it is what the mask leaves, and the rule alone decides its edge.
    rule = [] if kept else [_box(rect) for rect in proposal.rects]
    kept = kept or [_box(rect) for rect in left_visible(device, proposal.rects)]
    known = identifiers_of(source.identity, source.patient.values)
    rects, was_silent = proposal.rects, True
    for _ in range(_TRIES):
        index = _written(bench, source, rects, stream)
        with stream.opened() as (pixels, _):
            seen = look(bench.readers, pixels, index, kept, rule, known)
        if seen.is_silent:
            break
        was_silent = False
        _check_may_go(seen, index, proposal)
        rects = tuple(dict.fromkeys((*rects, *seen.rects)))
    if not seen.is_silent:
        raise Held(STILL_THERE)
    return _Masked(index, proposal, rects, was_silent)


def _box(rect: Rect) -> tuple[int, int, int, int]:
    return rect.x, rect.y, rect.x + rect.width, rect.y + rect.height


def _check_may_go(seen: Seen, index: Index, proposal: Proposal) -> None:
    """Raises Held unless what was found may be blackened without asking: little of it, on a device that is known.

    Nobody is there to be asked, so that questions go as identifiers do, but for what would black out the picture."""
    if proposal.rule_id is None:
        raise Held(NOT_SILENT)
    asked = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in {one.box for one in seen.questions})
    if asked > _MOST_ASKED * index.format.rows * index.format.columns or len(seen.rects) > MOST_RECTS:
        raise Held(QUESTION)


def _written(bench: Bench, source: _Source, rects: tuple[Rect, ...], stream: Draft) -> Index:
    if source.part10.pixel is None:
        raise Refused(NO_PICTURE)
    planned = plan(source.part10.dataset, source.part10.pixel, rects, source.facts.regions)

    def store(pieces: Iterator[bytes]) -> None:
        stream.fill(_readable(pieces))

    return write_stream(bench.decoders, source.fp, source.part10, planned, bench.jobs, store)


def _readable(pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except OSError as error:
        raise Refused(UNREADABLE) from error


def _header(bench: Bench, source: _Source, masked: _Masked, mark: str) -> Dataset:
    study = source.identity.study_uid or ""
    own = first_moment([source.identity.as_dict()])
    start = bench.linkage.study_start(source.patient_key, study, own)
    pseudonyms = Pseudonyms.of(source.patient, start)
    revision = bench.linkage.revision(source.content, masked.index.digest)
    dataset = source.part10.dataset
    header = headers.deidentify(dataset, pseudonyms, masked.index, revision=revision, needles=source.needles)
    verify.uids_are_new(header, dataset)
    header.DeidentificationMethod = [headers.METHOD, mark]
    return header


def _verify(bench: Bench, source: _Source, file: Draft) -> None:
    """The file as it will stand in OUT, before it has a name there. The texts in its pixels were looked at already:
    its stream is the candidate's, byte by byte."""
    with file.opened() as (written, size):
        verify.check_released(written, size, source.needles, source.part10.dataset, is_candidate=True)
        verify.frames_decode(written, open_part10(written, size), bench.decoders)


def _publish(bench: Bench, file: Draft, output: str) -> str:
    """The verified file under its name, whole or not at all; returns its SHA-256 (hex)."""
    final, found = bench.out / output, sha256()
    part = bench.work / f"{final.stem}.part"
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target, file.opened() as (written, _):
            while piece := written.read(_PIECE):
                target.write(piece)
                found.update(piece)
            target.flush()
            os.fsync(target.fileno())
        for folder in (final.parent.parent, final.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        part.replace(final)
        fsync_folder(final.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Unavailable(FULL) from error
    return found.hexdigest()


def _uids(original: Dataset, new: Dataset) -> list[list[str]]:
    """[keyword, original, new] of each level, for the mapping that the caller may ask for; kept sealed."""
    return [[keyword, str(original.get(keyword)), str(new.get(keyword))] for keyword in _ORIGINALS]
