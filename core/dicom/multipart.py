"""multipart/related (RFC 2046, RFC 2387, PS3.18 section 8.6.1), read and written as streams of constant memory."""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from core.errors import Malformed

MAX_HEADER_BYTES: Final = 16 << 10
MAX_HEADERS: Final = 64

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf';[ \t]*(?:({_WORD})[ \t]*=[ \t]*(?:([^\s";,]+)|"((?:[^"\\]|\\.)*)")[ \t]*)?')
_MEDIA_TYPE = re.compile(rf"[ \t]*({_WORD}/{_WORD})[ \t]*")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_HEADER = re.compile(rf"({_WORD}):[ \t]*(.*?)[ \t]*", re.DOTALL)
_CUT = "The multipart body ends before its closing boundary."
_MAX_PADDING = 256


@dataclass(frozen=True)
class Part:
    """One part: its headers by lower-case name, and its body in pieces, to be taken before the next part."""

    headers: Mapping[str, str]
    body: Iterator[bytes]


def media_type(value: str) -> tuple[str, dict[str, str]]:
    """A Content-Type as (type/subtype in lower case, parameters by lower-case name, unquoted); raises Malformed."""
    match = _MEDIA_TYPE.match(value)
    if match is None:
        raise Malformed("The content type is not well formed.")
    parameters: dict[str, str] = {}
    position = match.end()
    while position < len(value):
        found = _PARAMETER.match(value, position)
        if found is None:
            raise Malformed("The content type is not well formed.")
        name, plain, quoted = found.groups()
        if name:
            text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(name.lower(), text)
        position = found.end()
    return match[1].lower(), parameters


def parts(stream: Iterable[bytes], content_type: str) -> Iterator[Part]:
    """The parts of a multipart/related body in order; what a caller leaves of a part's body is passed over.

    Raises Malformed for another content type, a bad boundary, headers beyond the caps and a body that is cut."""
    kind, parameters = media_type(content_type)
    if kind != "multipart/related":
        raise Malformed("The body must be multipart/related.")
    boundary = parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise Malformed("The multipart boundary is missing or not allowed.")
    return _parts(_Scanner(stream, boundary.encode("ascii")))


def _parts(scanner: "_Scanner") -> Iterator[Part]:
    for _ in scanner.body():
        pass  # the preamble
    while not scanner.is_closed:
        headers = scanner.headers()
        body = scanner.body()
        yield Part(headers, body)
        for _ in body:
            pass


class _Scanner:
    """Looks for delimiters in a stream of pieces, holding no more than one piece and one delimiter."""

    def __init__(self, stream: Iterable[bytes], boundary: bytes) -> None:
        self._stream = iter(stream)
        self._delimiter = b"\r\n--" + boundary
        self._held = bytearray(b"\r\n")  # so that a boundary at the very start looks like any other
        self.is_closed = False

    def _fill(self) -> None:
        for piece in self._stream:
            if piece:
                self._held += piece
                return
        raise Malformed(_CUT)

    def body(self) -> Iterator[bytes]:
        """What comes before the next delimiter, which is taken away up to the line end after it."""
        held, keep = self._held, len(self._delimiter) - 1
        while True:
            at = held.find(self._delimiter)
            if at < 0:
                if len(held) > keep:
                    yield self._cut(len(held) - keep)
                self._fill()
                continue
            if at:
                yield self._cut(at)
            if self._is_delimiter():
                return
            yield self._cut(2)

    def _cut(self, count: int) -> bytes:
        piece = bytes(self._held[:count])
        del self._held[:count]
        return piece

    def _is_delimiter(self) -> bool:
        """Take the delimiter at the start away, up to its line end, if it is one: closing, or alone on its line."""
        length = self._delimiter_length()
        self.is_closed = self._held[length - 2 : length] == b"--" if length else False
        del self._held[:length]
        return bool(length)

    def _delimiter_length(self) -> int:
        held, position = self._held, len(self._delimiter)
        while len(held) < position + 2:
            self._fill()
        if held[position : position + 2] == b"--":
            return position + 2
        while held[position] in b" \t" and position < len(self._delimiter) + _MAX_PADDING:
            position += 1
            while len(held) < position + 2:
                self._fill()
        # the line end stays: it also opens an empty header block
        return position if held[position : position + 2] == b"\r\n" else 0

    def headers(self) -> dict[str, str]:
        held = self._held
        while (end := held.find(b"\r\n\r\n")) < 0:
            if len(held) > MAX_HEADER_BYTES:
                raise Malformed("The headers of a part are too long.")
            self._fill()
        if end > MAX_HEADER_BYTES:
            raise Malformed("The headers of a part are too long.")
        lines = self._cut(end).decode("utf-8", "replace")
        del held[:2]
        while len(held) < len(self._delimiter) and self._delimiter.startswith(bytes(held)):
            self._fill()
        if not (held.startswith(self._delimiter) and self._delimiter_length()):
            del held[:2]  # else a part without any body: its line end belongs to the delimiter
        return _headers(lines)


def _headers(lines: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(re.sub(r"\r\n[ \t]+", " ", lines).split("\r\n")):
        if not line:
            continue
        match = _HEADER.fullmatch(line)
        if match is None or number > MAX_HEADERS:
            raise Malformed("The headers of a part are not well formed.")
        found.setdefault(match[1].lower(), match[2])
    return found


def new_boundary() -> str:
    """A boundary that no body can hold by chance."""
    return f"sonobank-{secrets.token_hex(20)}"


def content_type(boundary: str, part_type: str) -> str:
    """The Content-Type of a body whose parts are of `part_type` (RFC 2387: the type is always quoted)."""
    return f'multipart/related; type="{part_type}"; boundary={boundary}'


def write_parts(parts: Iterable[tuple[Mapping[str, str], Iterable[bytes]]], boundary: str) -> Iterator[bytes]:
    """The body of (headers, pieces) parts, closed. Raises ValueError for a header that would break out of its line."""
    for headers, pieces in parts:
        lines = [f"--{boundary}", *(f"{name}: {value}" for name, value in headers.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header has a line break")
        yield ("\r\n".join(lines) + "\r\n\r\n").encode()
        yield from pieces
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
