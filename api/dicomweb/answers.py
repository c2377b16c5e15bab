"""Answers that stream, with validators: ETag, Last-Modified, 304 and HEAD (RFC 9110), multipart (PS3.18 section 8.6)."""

import gzip
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from itertools import chain
from typing import Final

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from core.dicom import multipart

WHOLE: Final = 4 << 20
"""Up to so many bytes are sent as one; more than that is streamed."""
_GZIP_FROM: Final = 1 << 10

Parts = Iterable[tuple[Mapping[str, str], Iterable[bytes]]]


def etag(*names: str) -> str:
    """A validator of what is made of these hashes and choices; weak: a multipart boundary differs each time."""
    return f'W/"{hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:40]}"'


class Validators:
    """What says whether a client's copy is still good."""

    def __init__(self, tag: str, changed: datetime) -> None:
        self._tag, self._changed = tag, changed.replace(microsecond=0)

    @property
    def headers(self) -> dict[str, str]:
        return {"ETag": self._tag, "Last-Modified": format_datetime(self._changed, usegmt=True), "Vary": "Accept"}

    def not_modified(self, request: Request) -> Response | None:
        """304 when the client has it already; If-None-Match rules over If-Modified-Since (RFC 9110 section 13.2.2)."""
        tags = request.headers.get("if-none-match")
        if tags is not None:
            known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
            same = "*" in known or self._tag.removeprefix("W/") in known
        else:
            same = self._unchanged_since(request.headers.get("if-modified-since"))
        return Response(status_code=304, headers=self.headers) if same else None

    def _unchanged_since(self, since: str | None) -> bool:
        try:
            return since is not None and self._changed <= parsedate_to_datetime(since)
        except (TypeError, ValueError):
            return False


def send(
    request: Request, kind: str, pieces: Iterator[bytes], headers: Mapping[str, str], size: int | None = None
) -> Response:
    """These bytes, in one go when they are few. The first piece is made before the answer begins, so that what cannot
    be made is still an error and not a broken body."""
    known = {**headers, **({"Content-Length": str(size)} if size is not None else {})}
    if request.method == "HEAD":
        return _head(kind, known)
    if size is not None and size <= WHOLE:
        return _typed(Response(b"".join(pieces), headers=dict(headers)), kind)
    first = next(pieces, b"")
    return _typed(StreamingResponse(chain([first], pieces), headers=known), kind)


def _head(kind: str, headers: Mapping[str, str]) -> Response:
    """The answer to HEAD: a length only where it is known without making the body."""
    response = _typed(Response(headers=dict(headers)), kind)
    if "Content-Length" not in headers:
        del response.headers["Content-Length"]
    return response


def _typed(response: Response, kind: str) -> Response:
    response.headers["Content-Type"] = kind
    return response


def send_parts(request: Request, part_type: str, parts: Parts, headers: Mapping[str, str], size: int) -> Response:
    """multipart/related with a boundary of its own. `size` is about that of all parts: few are sent as one."""
    boundary = multipart.new_boundary()
    kind = multipart.content_type(boundary, part_type)
    if request.method == "HEAD":
        return _head(kind, headers)
    pieces = multipart.write_parts(parts, boundary)
    if size <= WHOLE:
        return _typed(Response(b"".join(pieces), headers=dict(headers)), kind)
    first = list(_until_body(pieces))
    return _typed(StreamingResponse(chain(first, pieces), headers=dict(headers)), kind)


def _until_body(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The head of the first part and the first piece of its body."""
    for _ in range(2):
        yield next(pieces, b"")


def send_json(request: Request, kind: str, texts: Iterator[str], headers: Mapping[str, str], is_long: bool) -> Response:
    """Texts of JSON objects as one array, never parsed again; compressed when the client takes gzip."""
    if request.method == "HEAD":
        return _head(kind, headers)
    if is_long:
        return _typed(StreamingResponse(_array(texts), headers=dict(headers)), kind)
    body = ("[" + ",".join(texts) + "]").encode()
    known = {**headers, "Vary": "Accept, Accept-Encoding"}
    if len(body) >= _GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        body, known["Content-Encoding"] = gzip.compress(body, 1), "gzip"
    return _typed(Response(body, headers=known), kind)


def _array(texts: Iterator[str]) -> Iterator[bytes]:
    opening = "["
    for text in texts:
        yield (opening + text).encode()
        opening = ","
    yield b"[]" if opening == "[" else b"]"
