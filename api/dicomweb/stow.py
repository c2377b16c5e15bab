"""STOW-RS (PS3.18 section 10.5): a body of DICOM files, stored one by one; the answer says what became of each."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, BinaryIO, Final, cast

import anyio.from_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from api.deps import NodeDep, SessionDep, may
from api.dicomweb.accept import JSON_TYPES, best
from api.dicomweb.refusals import BadRequest, DicomwebRoute, UnsupportedMedia
from core import audit
from core.db import transaction
from core.dicom import multipart
from core.dicom.guard import MAX_FILE
from core.dicom.part10 import open_part10
from core.errors import Conflict, Malformed, Refused, Unavailable
from core.node import Node
from core.permissions import Actor, Verb
from core.services import archiving
from core.store import sha256_of

DICOM: Final = "application/dicom"
NO_RESOURCES: Final = 0xA700
WRONG_STUDY: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
DUPLICATE: Final = 0x0111
_IN_MEMORY: Final = 4 << 20
_UIDS = re.compile(rb"\x02\x00([\x02\x03])\x00UI([\x00-\x40])\x00([0-9.]{1,64})", re.DOTALL)

router = APIRouter(route_class=DicomwebRoute)
Writer = Annotated[Actor, may(Verb.DICOM_WRITE)]


class NotStored(Exception):
    """One instance was not stored, for this Failure Reason (PS3.18 table I.2-2)."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Outcome:
    """What became of the parts: (SOP class, SOP instance, study, series) stored; (class, instance, reason) failed."""

    stored: list[tuple[str, str, str, str]] = field(default_factory=list)
    failed: list[tuple[str, str, int]] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)

    def fail(self, uids: tuple[str, str] | None, reason: int) -> None:
        if uids is None:
            self.unknown.append(reason)
        else:
            self.failed.append((*uids, reason))

    @property
    def status(self) -> int:
        """PS3.18 table 10.5.3-1."""
        reasons = [*self.unknown, *(reason for *_, reason in self.failed)]
        if not self.stored:
            return 503 if set(reasons) == {NO_RESOURCES} else 409
        return 202 if reasons else 200


@router.post("/studies", response_class=JSONResponse)
def store(request: Request, node: NodeDep, session: SessionDep, actor: Writer) -> Response:
    """Store the instances of the body."""
    session.rollback()  # the actor is known: no connection is held while the body comes in
    return _store(request, node, actor, None)


@router.post("/studies/{study}", response_class=JSONResponse)
def store_into_study(request: Request, study: str, node: NodeDep, session: SessionDep, actor: Writer) -> Response:
    """Store the instances of the body; those of another study fail."""
    session.rollback()
    return _store(request, node, actor, study)


def _store(request: Request, node: Node, actor: Actor, study: str | None) -> Response:
    kind = best(request, JSON_TYPES)
    outcome = Outcome()
    body = _parts(request)
    while True:
        try:
            part = next(body, None)
            if part is None:
                break
            _take(node, actor, study, part, outcome)
        except Malformed as error:  # the body breaks off: what came whole stays stored, and the rest is told
            if not (outcome.stored or outcome.failed or outcome.unknown):
                raise BadRequest(error.message) from None
            outcome.fail(None, CANNOT_UNDERSTAND)
            break
    if not (outcome.stored or outcome.failed or outcome.unknown):
        raise BadRequest("The body holds no instance.")
    headers = {"Vary": "Accept"} | ({"Retry-After": "5"} if outcome.status == 503 else {})
    return JSONResponse(_answer(f"{node.settings.base_url}/dicom-web", outcome), outcome.status, headers, kind)


def _parts(request: Request) -> Iterator[multipart.Part]:
    """The files of the body as they come in. Raises UnsupportedMedia."""
    text = request.headers.get("content-type", "")
    try:
        kind, parameters = multipart.media_type(text)
    except Malformed:
        raise UnsupportedMedia from None
    if kind == DICOM:
        return iter([multipart.Part({"content-type": DICOM}, _pieces(request))])
    if kind != "multipart/related" or parameters.get("type", DICOM).lower() != DICOM:
        raise UnsupportedMedia
    return multipart.parts(_pieces(request), text)


def _pieces(request: Request) -> Iterator[bytes]:
    """The body, pulled by this thread from the server's event loop: never more of it in memory than one piece."""
    stream = request.stream()

    async def following() -> bytes | None:
        return await anext(stream, None)

    try:
        while (piece := anyio.from_thread.run(following)) is not None:
            if piece:
                yield piece
    except ClientDisconnect:
        raise Malformed("The body breaks off.") from None


def _take(node: Node, actor: Actor, study: str | None, part: multipart.Part, outcome: Outcome) -> None:
    """One part: into a scratch file that goes in any case, checked, then blob before row."""
    uids: tuple[str, str] | None = None
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(node.folder("incoming"))) as spooled:
        scratch = cast(BinaryIO, spooled)
        try:
            size = _write(part, scratch)
            uids = _media_uids(scratch)
            outcome.stored.append(_keep(node, actor, study, scratch, size))
        except Refused:
            outcome.fail(uids, CANNOT_UNDERSTAND)
        except Conflict:
            outcome.fail(uids, DUPLICATE)
        except (Unavailable, OSError):
            outcome.fail(uids, NO_RESOURCES)
        except NotStored as error:
            outcome.fail(uids, error.reason)


def _write(part: multipart.Part, scratch: BinaryIO) -> int:
    """Raises NotStored for a part that is not a DICOM file by its own word, or is larger than one may be."""
    kind = part.headers.get("content-type", DICOM).partition(";")[0].strip().lower()
    if kind != DICOM:
        raise NotStored(CANNOT_UNDERSTAND)
    size = 0
    for piece in part.body:
        size += len(piece)
        if size > MAX_FILE:
            raise NotStored(NO_RESOURCES)
        scratch.write(piece)
    if not size:
        raise NotStored(CANNOT_UNDERSTAND)
    return size


def _media_uids(scratch: BinaryIO) -> tuple[str, str] | None:
    """(SOP class, SOP instance) of the file meta information, to name a file that is refused."""
    scratch.seek(0)
    found: dict[bytes, str] = {}
    for element, length, value in _UIDS.findall(scratch.read(2048)):
        text = value[: length[0]].decode("ascii").strip(".")
        found.setdefault(element, text)
    classes, instances = found.get(b"\x02"), found.get(b"\x03")
    return (classes, instances) if classes and instances else None


def _keep(node: Node, actor: Actor, study: str | None, scratch: BinaryIO, size: int) -> tuple[str, str, str, str]:
    """Store one file as it is, byte by byte. Raises Refused, Conflict, Unavailable and NotStored."""
    part10 = open_part10(scratch, size)
    scratch.seek(0)
    sha256, _ = sha256_of(scratch)
    found = archiving.describe(part10, sha256, size)
    if study is not None and found.study["study_uid"] != study:
        raise NotStored(WRONG_STUDY)
    scratch.seek(0)
    node.store.put(scratch, sha256)
    with transaction(node.engine, "stow.instance") as session:
        if archiving.store_row(session, found):
            audit.record(session, actor, "dicom.store", sha256, bytes=size)
    uids = found.instance
    return uids["sop_class_uid"], uids["sop_instance_uid"], found.study["study_uid"], found.series["series_uid"]


def _answer(service: str, outcome: Outcome) -> dict[str, Any]:
    """The Store Instances Response Module (PS3.18 table I.2-1) in the DICOM JSON model."""
    model: dict[str, Any] = {}
    studies = {study for _, _, study, _ in outcome.stored}
    if len(studies) == 1:
        model["00081190"] = {"vr": "UR", "Value": [f"{service}/studies/{studies.pop()}"]}
    if outcome.failed:
        items = [{**_reference(kind, uid), "00081197": _reason(reason)} for kind, uid, reason in outcome.failed]
        model["00081198"] = {"vr": "SQ", "Value": items}
    if outcome.stored:
        items = []
        for kind, uid, study, series in outcome.stored:
            url = f"{service}/studies/{study}/series/{series}/instances/{uid}"
            items.append({**_reference(kind, uid), "00081190": {"vr": "UR", "Value": [url]}})
        model["00081199"] = {"vr": "SQ", "Value": items}
    if outcome.unknown:  # failures of what cannot be named
        model["0008119A"] = {"vr": "SQ", "Value": [{"00081197": _reason(reason)} for reason in outcome.unknown]}
    return model


def _reference(kind: str, uid: str) -> dict[str, Any]:
    return {"00081150": {"vr": "UI", "Value": [kind]}, "00081155": {"vr": "UI", "Value": [uid]}}


def _reason(reason: int) -> dict[str, Any]:
    return {"vr": "US", "Value": [reason]}
