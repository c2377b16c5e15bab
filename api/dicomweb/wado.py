"""WADO-RS (PS3.18 section 10.4): instances and their metadata, row -> permission -> bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy import event
from sqlmodel import Session

from api.deps import NodeDep, SessionDep, may
from api.dicomweb import transcode
from api.dicomweb.accept import ANY, JSON_TYPES, accepted, best, covers
from api.dicomweb.answers import Validators, etag, send, send_json, send_parts
from api.dicomweb.refusals import DicomwebRoute, NotAcceptable
from core import audit
from core.db import transaction
from core.node import Node
from core.permissions import Actor, Verb
from core.queries import archive
from core.queries.archive import Stored

DICOM: Final = "application/dicom"
router = APIRouter(route_class=DicomwebRoute)
Reader = Annotated[Actor, may(Verb.DICOM_READ)]
STUDY: Final = "/studies/{study}"
SERIES: Final = "/studies/{study}/series/{series}"
INSTANCE: Final = "/studies/{study}/series/{series}/instances/{instance}"
_BATCH: Final = 50
_REMEMBERED: Final = 60.0
_MOST_REMEMBERED: Final = 10_000
_recorded: dict[tuple[str, UUID], float] = {}


def readable(
    session: Session, actor: Actor, study: str, series: str | None = None, instance: str | None = None
) -> list[Stored]:
    """The instances behind a path, the reading of them recorded. Raises NotFound."""
    found = archive.instances(session, actor, study, series, instance)
    _record(session, actor, found[0].study_id)
    return found


def _record(session: Session, actor: Actor, study_id: UUID) -> None:
    """One event per person, study and five minutes; who reads a study frame by frame does not ask the database each
    time. What is remembered here is committed."""
    key, now = (actor.name, study_id), monotonic()
    if now - _recorded.get(key, -_REMEMBERED) < _REMEMBERED:
        return
    audit.record_read(session, actor, "dicom.read", study_id)

    def remember(_: Session) -> None:
        if len(_recorded) >= _MOST_REMEMBERED:
            _recorded.clear()
        _recorded[key] = now

    event.listen(session, "after_commit", remember, once=True)


def validators(node: Node, found: Sequence[Stored], *choices: str) -> tuple[Validators, dict[str, str]]:
    """Validators of what these instances and choices make, and the headers of the answer."""
    tag = etag(node.settings.base_url, *choices, *(stored.sha256 for stored in found))
    made = Validators(tag, max(stored.created_at for stored in found))
    headers = made.headers
    if node.settings.role == "central":  # nothing there names a patient: a client may keep it and ask again
        headers["Cache-Control"] = "private, no-cache"
    return made, headers


@router.get(STUDY)
@router.head(STUDY, include_in_schema=False)
def study(request: Request, study: str, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    """All instances of a study as multipart/related of application/dicom."""
    return _files(request, node, readable(session, actor, study))


@router.get(SERIES)
@router.head(SERIES, include_in_schema=False)
def series(request: Request, study: str, series: str, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    """All instances of a series as multipart/related of application/dicom."""
    return _files(request, node, readable(session, actor, study, series))


@router.get(INSTANCE)
@router.head(INSTANCE, include_in_schema=False)
def instance(
    request: Request, study: str, series: str, instance: str, node: NodeDep, session: SessionDep, actor: Reader
) -> Response:
    """One instance, as multipart/related or alone; with transfer-syntax=* the very bytes that were stored."""
    return _files(request, node, readable(session, actor, study, series, instance), may_be_single=True)


@router.get(f"{STUDY}/metadata")
@router.head(f"{STUDY}/metadata", include_in_schema=False)
def study_metadata(request: Request, study: str, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    """The attributes of all instances of a study in the DICOM JSON model."""
    return _metadata(request, node, session, readable(session, actor, study))


@router.get(f"{SERIES}/metadata")
@router.head(f"{SERIES}/metadata", include_in_schema=False)
def series_metadata(
    request: Request, study: str, series: str, node: NodeDep, session: SessionDep, actor: Reader
) -> Response:
    """The attributes of all instances of a series in the DICOM JSON model."""
    return _metadata(request, node, session, readable(session, actor, study, series))


@router.get(f"{INSTANCE}/metadata")
@router.head(f"{INSTANCE}/metadata", include_in_schema=False)
def instance_metadata(
    request: Request, study: str, series: str, instance: str, node: NodeDep, session: SessionDep, actor: Reader
) -> Response:
    """The attributes of one instance in the DICOM JSON model."""
    return _metadata(request, node, session, readable(session, actor, study, series, instance))


@dataclass(frozen=True)
class _Wish:
    """How a client takes files: alone or in parts, and in which transfer syntaxes ("*": as stored)."""

    is_single: bool
    syntaxes: frozenset[str]

    def as_stored(self, stored: Stored) -> bool:
        return bool(self.syntaxes & {"*", stored.transfer_syntax})


def _wish(request: Request, may_be_single: bool) -> _Wish:
    """Raises NotAcceptable. Without a transfer syntax the default is Explicit VR Little Endian (section 8.7.3.5.2);
    a range that takes any type at all takes the file as it is stored."""
    is_single: bool | None = None
    syntaxes: set[str] = set()
    for entry in accepted(request):
        alone = entry.part is None and not entry.is_wild
        kind = entry.kind if entry.part is None else entry.part
        if not covers(kind, DICOM) or (alone and not may_be_single):
            continue
        is_single = alone if is_single is None else is_single
        if alone == is_single:
            syntaxes.add(entry.transfer_syntax or ("*" if kind == ANY else transcode.EXPLICIT))
    if is_single is None:
        raise NotAcceptable("DICOM files are given as multipart/related of application/dicom.")
    return _Wish(is_single, frozenset(syntaxes))


def _files(request: Request, node: Node, found: list[Stored], may_be_single: bool = False) -> Response:
    wish = _wish(request, may_be_single)
    for stored in found:
        can_be_written = transcode.EXPLICIT in wish.syntaxes and transcode.is_possible(stored)
        if not wish.as_stored(stored) and not can_be_written:
            raise NotAcceptable("The instance is not available in this transfer syntax.")
    made, headers = validators(node, found, str(wish.is_single), *sorted(wish.syntaxes))
    if (answer := made.not_modified(request)) is not None:
        return answer
    if wish.is_single:
        stored = found[0]
        kind, size = _file_type(stored, wish), stored.size if wish.as_stored(stored) else None
        return send(request, kind, _file(node, stored, wish), headers, size)
    parts = (
        ({"Content-Type": _file_type(stored, wish), "Content-Location": _url(node, stored)}, _file(node, stored, wish))
        for stored in found
    )
    # what is decoded is longer than what is stored: stream it
    size = sum(stored.size if wish.as_stored(stored) else 1 << 40 for stored in found)
    return send_parts(request, DICOM, parts, headers, size)


def _url(node: Node, stored: Stored) -> str:
    return f"{node.settings.base_url}/dicom-web{stored.path}"


def _file_type(stored: Stored, wish: _Wish) -> str:
    return f"{DICOM}; transfer-syntax={stored.transfer_syntax if wish.as_stored(stored) else transcode.EXPLICIT}"


def _file(node: Node, stored: Stored, wish: _Wish) -> Iterator[bytes]:
    return node.store.pieces(stored.sha256) if wish.as_stored(stored) else transcode.explicit_file(node, stored)


def _metadata(request: Request, node: Node, session: Session, found: list[Stored]) -> Response:
    kind = best(request, JSON_TYPES)
    made, headers = validators(node, found, "metadata", kind)
    if (answer := made.not_modified(request)) is not None:
        return answer
    ids, base_url = [stored.id for stored in found], node.settings.base_url
    if len(ids) <= _BATCH:
        texts = iter(archive.metadata(session, ids, base_url))
        return send_json(request, kind, texts, headers, is_long=False)
    return send_json(request, kind, _in_batches(node, ids, base_url), headers, is_long=True)


def _in_batches(node: Node, ids: Sequence[UUID], base_url: str) -> Iterator[str]:
    """A long study's metadata, a short transaction for each batch: none stays open while a client reads."""
    waiting = iter(ids)
    while batch := list(islice(waiting, _BATCH)):
        with transaction(node.engine, "wado.metadata") as session:
            texts = archive.metadata(session, batch, base_url)
        yield from texts
