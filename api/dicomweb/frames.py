"""WADO-RS frames and bulk data (PS3.18 sections 10.4.1.1.5 and 10.4.1.1.6): as stored where the client takes that."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request, Response

from api.deps import NodeDep, SessionDep
from api.dicomweb.accept import ANY, Accepted, accepted, covers
from api.dicomweb.answers import Parts, send, send_parts
from api.dicomweb.pixels import (
    DECODABLE,
    blob_file,
    check_frame,
    frame_size,
    plain_frame,
    plain_size,
    stored_frame,
)
from api.dicomweb.refusals import BadRequest, DicomwebRoute, NotAcceptable
from api.dicomweb.transcode import EXPLICIT, swap_words
from api.dicomweb.wado import INSTANCE, Reader, readable, validators
from api.ranges import asked_range
from core.dicom.codestream import H264
from core.dicom.guard import NATIVE, encoding_of
from core.dicom.part10 import open_part10
from core.errors import NotFound
from core.node import Node
from core.queries.archive import Stored

OCTETS: Final = "application/octet-stream"
MP4: Final = "video/mp4"
PIXEL_DATA: Final = "7FE00010"
_TYPES: Final = {  # PS3.18 table 8.7.3-5; the last components of 1.2.840.10008.1.2
    "5": "image/dicom-rle", "4.50": "image/jpeg", "4.51": "image/jpeg", "4.57": "image/jpeg", "4.70": "image/jpeg",
    "4.80": "image/jls", "4.81": "image/jls", "4.90": "image/jp2", "4.91": "image/jp2", "4.92": "image/jpx",
    "4.93": "image/jpx", "4.201": "image/jphc", "4.202": "image/jphc", "4.203": "image/jphc", "4.100": "video/mpeg",
    "4.101": "video/mpeg", "4.102": "video/mp4", "4.103": "video/mp4", "4.104": "video/mp4", "4.105": "video/mp4",
    "4.106": "video/mp4", "4.107": "video/mp4", "4.108": "video/mp4",
}  # fmt: skip
_LIST = re.compile(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*")
_PATH = re.compile(r"[0-9A-F]{8}(/[0-9]{1,6}/[0-9A-F]{8})*")
_MOST: Final = 10_000
_NOT_SO: Final = "The frames are not available in this media type and transfer syntax."

router = APIRouter(route_class=DicomwebRoute)


def frame_list(text: str, stored: Stored) -> list[int]:
    """The frames asked for, counted from 0. Raises BadRequest, and NotFound when one of them is not there."""
    if not _LIST.fullmatch(text) or text.count(",") >= _MOST:
        raise BadRequest("The frames must be a list of numbers from 1, such as 1,2,5.")
    indexes = [int(number) - 1 for number in text.split(",")]
    for index in indexes:
        check_frame(stored, index)
    return indexes


@dataclass(frozen=True)
class _Form:
    """How frames are sent: alone or in parts, as stored or uncompressed, and under which names."""

    is_single: bool
    is_stored: bool
    kind: str
    transfer_syntax: str

    @property
    def content_type(self) -> str:
        return f"{self.kind}; transfer-syntax={self.transfer_syntax}"


def _form(request: Request, stored: Stored, may_be_single: bool) -> _Form:
    """The first form that the client takes. Raises NotAcceptable."""
    for entry in accepted(request):
        alone = entry.part is None and not entry.is_wild
        if alone and not may_be_single:
            continue
        named = _named(entry, stored)
        if named is not None:
            kind, is_stored = named
            return _Form(alone, is_stored, kind, stored.transfer_syntax if is_stored else EXPLICIT)
    raise NotAcceptable(_NOT_SO)


def _named(entry: Accepted, stored: Stored) -> tuple[str, bool] | None:
    """(media type, whether as stored) of what this range takes of these frames; None for nothing."""
    wanted, syntax, own = entry.part or entry.kind, entry.transfer_syntax, stored.transfer_syntax
    is_native = own in NATIVE
    kind = OCTETS if is_native else _TYPES.get(own.removeprefix("1.2.840.10008.1.2."), OCTETS)
    if own in H264:  # a frame of a video is not stored by itself
        return (OCTETS, False) if covers(wanted, OCTETS) and syntax in {None, "*", EXPLICIT} else None
    takes_own = syntax in {None, "*", own}
    if is_native:
        return (OCTETS, False) if covers(wanted, OCTETS) and (takes_own or syntax == EXPLICIT) else None
    if takes_own and (wanted == ANY or (kind != OCTETS and covers(wanted, kind))):
        return kind, True
    if not covers(wanted, OCTETS):
        return None
    if syntax in {"*", own}:
        return OCTETS, True
    return (OCTETS, False) if syntax in {None, EXPLICIT} and own in DECODABLE else None


@router.get(f"{INSTANCE}/frames/{{frames}}")
@router.head(f"{INSTANCE}/frames/{{frames}}", include_in_schema=False)
def frames(
    request: Request, study: str, series: str, instance: str, frames: str, node: NodeDep, session: SessionDep,
    actor: Reader,
) -> Response:  # fmt: skip
    """Frames by number from 1, as stored or uncompressed; alone when the client asks for one without multipart.

    Those of a video are given uncompressed only: its stream is one piece, the bulk data."""
    stored = readable(session, actor, study, series, instance)[0]
    return _frames(request, node, stored, frame_list(frames, stored), may_be_single=frames.isdecimal())


def _frames(request: Request, node: Node, stored: Stored, indexes: Sequence[int], may_be_single: bool) -> Response:
    form = _form(request, stored, may_be_single)
    made, headers = validators(node, [stored], *map(str, indexes), str(form))
    if (answer := made.not_modified(request)) is not None:
        return answer
    if form.is_single:
        size = frame_size(stored, indexes[0]) if form.is_stored else plain_size(stored.format)
        headers["Content-Disposition"] = "attachment"
        return send(request, form.content_type, _body(node, stored, indexes[0], form), headers, size)
    size = sum(frame_size(stored, i) if form.is_stored else plain_size(stored.format) for i in indexes)
    return send_parts(request, form.kind, _parts(node, stored, indexes, form), headers, size)


def _parts(node: Node, stored: Stored, indexes: Sequence[int], form: _Form) -> Parts:
    base = f"{node.settings.base_url}/dicom-web{stored.path}/frames"
    for index in indexes:
        head = {"Content-Type": form.content_type, "Content-Location": f"{base}/{index + 1}"}
        yield head, _body(node, stored, index, form)


def _body(node: Node, stored: Stored, index: int, form: _Form) -> Iterator[bytes]:
    if form.is_stored:
        yield from stored_frame(node, stored, index)
    else:
        yield plain_frame(node, stored, index)


@router.get(f"{INSTANCE}/bulkdata/{{path:path}}")
@router.head(f"{INSTANCE}/bulkdata/{{path:path}}", include_in_schema=False)
def bulkdata(
    request: Request, study: str, series: str, instance: str, path: str, node: NodeDep, session: SessionDep,
    actor: Reader,
) -> Response:  # fmt: skip
    """What a BulkDataURI of the metadata points at: a value of the data set, or all pixel data."""
    if not _PATH.fullmatch(path):
        raise NotFound
    stored = readable(session, actor, study, series, instance)[0]
    in_parts = _in_parts(request)
    if path != PIXEL_DATA:
        return _value(request, node, stored, path, in_parts)
    check_frame(stored, 0)
    every = range(len(stored.ranges))
    if stored.transfer_syntax in H264 and any(covers(entry.part or "", MP4) for entry in accepted(request)):
        return _video(request, node, stored, path)
    if in_parts and stored.transfer_syntax not in NATIVE:
        return _frames(request, node, stored, every, may_be_single=False)
    if stored.transfer_syntax not in DECODABLE:
        raise NotAcceptable(_NOT_SO)
    return _octets(request, node, stored, _Samples(node, stored), in_parts)


def _in_parts(request: Request) -> bool:
    for entry in accepted(request):
        if covers(entry.part or entry.kind, OCTETS) or (entry.part or "").startswith(("image/", "video/")):
            return entry.part is not None
    raise NotAcceptable(f"Bulk data are given as {OCTETS}, alone or as multipart/related.")


def _video(request: Request, node: Node, stored: Stored, path: str) -> Response:
    """The whole stream of a video as one part (PS3.18 section 8.7.3.3.2)."""
    made, headers = validators(node, [stored], path, MP4)
    if (answer := made.not_modified(request)) is not None:
        return answer
    stream = open_part10(blob_file(node, stored), stored.size).stream
    head = {
        "Content-Type": f"{MP4}; transfer-syntax={stored.transfer_syntax}",
        "Content-Location": f"{node.settings.base_url}/dicom-web{stored.path}/bulkdata/{path}",
    }
    body = (piece for offset, length in stream for piece in node.store.pieces(stored.sha256, offset, length))
    return send_parts(request, MP4, [(head, body)], headers, sum(length for _, length in stream))


class _Samples:
    """All frames uncompressed, end to end."""

    def __init__(self, node: Node, stored: Stored) -> None:
        self._node, self._stored, self._each = node, stored, plain_size(stored.format)
        self.size = self._each * len(stored.ranges)

    def slice(self, start: int, length: int) -> Iterator[bytes]:
        end = start + length
        while start < end:
            index, skipped = divmod(start, self._each)
            piece = plain_frame(self._node, self._stored, index)[skipped : skipped + end - start]
            yield piece
            start += len(piece)


class _Bytes:
    def __init__(self, value: bytes) -> None:
        self._value, self.size = value, len(value)

    def slice(self, start: int, length: int) -> Iterator[bytes]:
        yield self._value[start : start + length]


def _value(request: Request, node: Node, stored: Stored, path: str, in_parts: bool) -> Response:
    ds = open_part10(blob_file(node, stored), stored.size).dataset
    if not encoding_of(stored.transfer_syntax)[1]:
        swap_words(ds)
    *way, last = path.split("/")
    for tag, item in zip(way[::2], way[1::2], strict=True):
        element = ds.get(int(tag, 16))
        if element is None or element.VR != "SQ" or int(item) >= len(element.value):
            raise NotFound
        ds = element.value[int(item)]
    found = ds.get(int(last, 16))
    if found is None or not isinstance(found.value, bytes):
        raise NotFound
    return _octets(request, node, stored, _Bytes(found.value), in_parts, path)


def _octets(
    request: Request, node: Node, stored: Stored, source: _Samples | _Bytes, in_parts: bool, path: str = PIXEL_DATA
) -> Response:
    """These bytes alone, or the one range of them that was asked for (section 8.4), or as the one part."""
    made, headers = validators(node, [stored], path, str(in_parts))
    if (answer := made.not_modified(request)) is not None:
        return answer
    kind = f"{OCTETS}; transfer-syntax={EXPLICIT}"
    if in_parts:
        location = f"{node.settings.base_url}/dicom-web{stored.path}/bulkdata/{path}"
        part = ({"Content-Type": kind, "Content-Location": location}, source.slice(0, source.size))
        return send_parts(request, OCTETS, [part], headers, source.size)
    headers |= {"Accept-Ranges": "bytes", "Content-Disposition": "attachment"}
    start, length, status = asked_range(request.headers.get("range"), source.size)
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{source.size}"
    response = send(request, kind, source.slice(start, length), headers, length)
    response.status_code = status
    return response
