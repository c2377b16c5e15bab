"""De-identified blobs by content: the key is the SHA-256, put is create-only, a folder or S3 (obstore)."""

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final, Protocol
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, ObjectStore, S3Store

from core import failpoints
from core.errors import BadConfiguration, NotFound, Refused, Unavailable

PIECE: Final = 1 << 20
SMALL: Final = 32 << 20
PART: Final = 8 << 20
PATIENCE: Final = timedelta(seconds=20)
_TROUBLE = (BaseError, OSError)
# A listing that is forbidden is a general error to obstore.
_FORBIDDEN: Final = re.compile(r"status code: 40[13]\b")
_NO_KEY = (PermissionDeniedError, UnauthenticatedError)


class Blobs(Protocol):
    """Content-addressed blobs; `tests/twins.py` has one in memory."""

    def put(self, source: BinaryIO, sha256: str) -> None: ...
    def read(self, sha256: str) -> bytes: ...
    def pieces(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]: ...
    def size(self, sha256: str) -> int | None: ...
    def delete(self, sha256: str) -> None: ...
    def listing(self) -> Iterator[tuple[str, float]]: ...


def _key(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256}"


class Store:
    """One bucket or folder behind obstore. Every verb raises Unavailable when it does not answer or refuses our keys."""

    def __init__(self, backend: ObjectStore, name: str) -> None:
        self._backend = backend
        self._name = name

    def put(self, source: BinaryIO, sha256: str) -> None:
        """Store the rest of `source` under its hash; one that is there already is left. Failpoints before and after.

        Memory is flat. Nothing is there until all of it is. Raises Refused if the bytes have another hash."""
        failpoints.hit(f"{self._name}.put:before")
        pieces = _checked(source, sha256)
        head = b"".join(islice(pieces, SMALL // PIECE))
        with _in_our_words("The file store does not take the file: is it reachable and is there room?"):
            if len(head) < SMALL:
                self._create(_key(sha256), head)
            elif self.size(sha256) is None:
                self._put_parts(_key(sha256), chain([head], pieces))
        failpoints.hit(f"{self._name}.put:after")

    def _create(self, path: str, content: bytes) -> None:
        with suppress(AlreadyExistsError):
            obstore.put(self._backend, path, content, mode="create", use_multipart=False)

    def _put_parts(self, path: str, pieces: Iterator[bytes]) -> None:
        """A put that creates only would need all of it in memory; two writers of one hash write the same bytes."""
        obstore.put(self._backend, path, pieces, use_multipart=True, chunk_size=PART, max_concurrency=2)

    def read(self, sha256: str) -> bytes:
        return b"".join(self.pieces(sha256))

    def pieces(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `start`, in pieces of 1 MiB, memory flat."""
        size = self.size(sha256)
        if size is None:
            raise NotFound
        end = size if length is None else min(size, start + length)
        while start < end:
            stop = min(end, start + PIECE)
            with _in_our_words("The file store does not answer."):
                piece = bytes(obstore.get_range(self._backend, _key(sha256), start=start, end=stop))
            yield piece
            start = stop

    def size(self, sha256: str) -> int | None:
        """Size in bytes, None if there is no such blob."""
        with _in_our_words("The file store does not answer."):
            try:
                return int(obstore.head(self._backend, _key(sha256))["size"])
            except (NotFoundError, FileNotFoundError):
                return None

    def delete(self, sha256: str) -> None:
        with _in_our_words("The file store does not answer."), suppress(NotFoundError, FileNotFoundError):
            obstore.delete(self._backend, _key(sha256))

    def listing(self) -> Iterator[tuple[str, float]]:
        """(sha256, last change as a Unix time) of every blob."""
        with _in_our_words("The file store does not answer."):
            for page in obstore.list(self._backend, "sha256/"):
                for entry in page:
                    yield str(entry["path"]).rsplit("/", 1)[-1], entry["last_modified"].timestamp()

    def put_named(self, path: str, content: bytes) -> None:
        """A small file beside the blobs, such as an exported audit head; written once, never changed."""
        with _in_our_words("The file store does not take the file: is it reachable and is there room?"):
            self._create(path, content)

    def named(self, folder: str) -> Iterator[tuple[str, bytes]]:
        """(path, content) of the small files under `folder`."""
        with _in_our_words("The file store does not answer."):
            for page in obstore.list(self._backend, folder):
                for entry in page:
                    yield str(entry["path"]), bytes(obstore.get(self._backend, str(entry["path"])).bytes())


@contextmanager
def _in_our_words(trouble: str) -> Iterator[None]:
    """What the store says may hold addresses and names of files; it stays here."""
    try:
        yield
    except _TROUBLE as exc:
        if isinstance(exc, _NO_KEY) or _FORBIDDEN.search(str(exc)):
            trouble = "The file store refuses our keys: check AWS_ACCESS_KEY_ID and what they may do."
        raise Unavailable(trouble) from None


def _checked(source: BinaryIO, sha256: str) -> Iterator[bytes]:
    """A stream in pieces of 1 MiB; raises Refused at its end unless it had this hash."""
    digest = hashlib.sha256()
    while piece := _full_piece(source):
        digest.update(piece)
        yield piece
    if digest.hexdigest() != sha256:
        raise Refused("The file is not the one that its hash names.")


def _full_piece(source: BinaryIO) -> bytes:
    piece = source.read(PIECE)
    while piece and len(piece) < PIECE and (more := source.read(PIECE - len(piece))):
        piece += more
    return piece


def open_store(url: str, name: str) -> Store:
    """`file:///folder` or `s3://bucket?endpoint=…` (keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(parts.path)
        folder.mkdir(parents=True, exist_ok=True)
        return Store(LocalStore(folder), name)
    if parts.scheme == "s3":
        query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
        endpoint = query.get("endpoint")
        options = {"allow_http": True} if (endpoint or "").startswith("http://") else {}
        return Store(
            S3Store(
                parts.netloc,
                endpoint=endpoint,
                region=query.get("region", "us-east-1"),
                virtual_hosted_style_request=False,
                client_options=options,  # type: ignore[arg-type]
                retry_config={"max_retries": 3, "retry_timeout": PATIENCE},
            ),
            name,
        )
    raise BadConfiguration("A store address begins with file:/// or s3://.")


def sha256_of(stream: BinaryIO) -> tuple[str, int]:
    """(hex hash, size) of a stream, read in pieces from where it stands."""
    digest, size = hashlib.sha256(), 0
    while piece := stream.read(PIECE):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


class BlobReader(io.RawIOBase, BinaryIO):
    """A blob as a stream that is read once from its beginning to its end."""

    def __init__(self, store: Blobs, sha256: str) -> None:
        super().__init__()
        self._pieces = store.pieces(sha256)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        while size < 0 or len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        cut = len(self._rest) if size < 0 else size
        found, self._rest = self._rest[:cut], self._rest[cut:]
        return found
