"""What a run over a folder made, read back for a site that takes it in: each original, and how it was masked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any, BinaryIO, Final

from core.dicom.facts import InstanceIdentity
from core.dicom.quiet import PARSER_ERRORS
from core.errors import Malformed, Refused
from core.folder.linkage import FILE, NO_ID, Linkage, Patient
from core.folder.one_file import Status, first_look
from core.folder.places import Places
from core.folder.run import ODD, Progress
from core.folder.walk import Found, Unchanged, walk
from core.vault.keys import load_keys

NO_OUTPUT: Final = "There is no such folder of candidates."
NO_LINKAGE: Final = "This is not the key folder of a run of ./run deid: it holds no linkage."
UNKNOWN: Final = "./run deid has not worked on this file, or it was changed since. Run it again first."
GONE: Final = "Its candidate is no longer in the folder. Run ./run deid again first."
ALTERED: Final = "Its candidate was changed since ./run deid. Run it again first."
Rect = tuple[int, int, int, int]


@dataclass(frozen=True, repr=False)
class Made:
    """One original. `status` is what the run said of it, or refused where it cannot be taken in; then `reason` says why.

    Of a candidate: the original to read again with its SHA-256, whose it is, the candidate's path in OUT with the digest
    of its pixels, and its mask (x, y, width, height in pixels) with the rule that made it. `said` is what the run's
    files say of the patient."""

    name: str
    status: Status
    reason: str | None = None
    file: Unchanged | None = None
    sha256: bytes = b""
    identity: InstanceIdentity = field(default_factory=InstanceIdentity)
    said: Mapping[str, list[str]] = field(default_factory=dict)
    output: str | None = None
    digest: str | None = None
    rects: tuple[Rect, ...] = ()
    rule: str | None = None
    rule_version: str | None = None

    def open(self) -> tuple[BinaryIO, int]:
        """The original once more, and its length. Raises Refused when it is not the file that was read."""
        if self.file is None:
            raise Refused(self.reason)
        return self.file.open()


def read(places: Places, tell: Callable[[Progress], None]) -> list[Made]:
    """Every file below IN, in the order of the walk; nothing is written but the mark that nobody else may work in OUT.

    Raises Malformed for folders that no run has used together, BadConfiguration for unsafe keys, Conflict while a run
    is at work. `tell` is called after every file."""
    if not places.out.is_dir():
        raise Malformed(NO_OUTPUT)
    if not (places.keys / FILE).is_file():
        raise Malformed(NO_LINKAGE)
    with places.occupied():
        linkage = Linkage(places.keys, load_keys(places.keys, places.out))
        try:
            found = list(walk(places.source))
            progress, made = Progress("looking", len(found)), []
            for one in found:
                made.append(_made(one, linkage, places.out))
                progress.done += 1
                tell(progress)
            return made
        finally:
            linkage.close()


def _made(found: Found, linkage: Linkage, out: Path) -> Made:
    if found.problem is not None:
        return Made(found.name, Status.REFUSED, found.problem)
    file = Unchanged(found.path)
    try:
        identity, digest = first_look(file)
        record = linkage.record(linkage.content_key(digest))
        if record is None:
            raise Refused(UNKNOWN)
        if record["status"] != Status.CANDIDATE:
            return Made(found.name, Status(record["status"]), record["reason"])
        _check_unchanged(out / record["output"], record["sha256"])
        patient = _patient(linkage, identity)
    except Refused as refusal:
        return Made(found.name, Status.REFUSED, refusal.message)
    except PARSER_ERRORS:
        return Made(found.name, Status.REFUSED, ODD)
    return Made(
        found.name,
        Status.CANDIDATE,
        file=file,
        sha256=digest,
        identity=identity,
        said=patient.values,
        output=record["output"],
        digest=record["digest"],
        rects=_rects(record),
        rule=record["rule"],
        rule_version=record["rule_version"],
    )


def _patient(linkage: Linkage, identity: InstanceIdentity) -> Patient:
    """Raises Refused for a file without PatientID, also one that the run took for a patient of its own study: whether
    such a patient has opted out cannot be told."""
    if identity.patient_id is None:
        raise Refused(NO_ID)
    return linkage.patient(linkage.patient_key(identity), identity)


def _check_unchanged(candidate: Path, sha256: str) -> None:
    if candidate.is_symlink() or not candidate.is_file():
        raise Refused(GONE)
    try:
        with candidate.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Refused(GONE) from error
    if found != sha256:
        raise Refused(ALTERED)


def _rects(record: Mapping[str, Any]) -> tuple[Rect, ...]:
    return tuple((int(x), int(y), int(width), int(height)) for x, y, width, height in record["masks"])
