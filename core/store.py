"""De-identified blobs by content: the key is the SHA-256, put is create-only, a folder or S3 (obstore)."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError, NotFoundError, PermissionDeniedError
from obstore.store import LocalStore, ObjectStore, S3Store

from core import failpoints
from core.errors import BadConfiguration, NotFound, Unavailable

PIECE: Final = 1 << 20
_TROUBLE = (GenericError, PermissionDeniedError, OSError)


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
    """One bucket or folder behind obstore."""

    def __init__(self, backend: ObjectStore, name: str) -> None:
        self._backend = backend
        self._name = name

    def put(self, source: BinaryIO, sha256: str) -> None:
        """Store a blob under its hash; one that is there already is left. Failpoints before and after."""
        failpoints.hit(f"{self._name}.put:before")
        try:
            obstore.put(self._backend, _key(sha256), source, mode="create", use_multipart=False)
        except AlreadyExistsError:
            pass
        except _TROUBLE:
            raise Unavailable("The file store does not take the file: is it reachable and is there room?") from None
        failpoints.hit(f"{self._name}.put:after")

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
            try:
                yield bytes(obstore.get_range(self._backend, _key(sha256), start=start, end=stop))
            except _TROUBLE:
                raise Unavailable("The file store does not answer.") from None
            start = stop

    def size(self, sha256: str) -> int | None:
        """Size in bytes, None if there is no such blob."""
        try:
            return int(obstore.head(self._backend, _key(sha256))["size"])
        except (NotFoundError, FileNotFoundError):
            return None
        except _TROUBLE:
            raise Unavailable("The file store does not answer.") from None

    def delete(self, sha256: str) -> None:
        try:
            obstore.delete(self._backend, _key(sha256))
        except (NotFoundError, FileNotFoundError):
            return

    def listing(self) -> Iterator[tuple[str, float]]:
        """(sha256, last change as a Unix time) of every blob."""
        for page in obstore.list(self._backend, "sha256/"):
            for entry in page:
                yield str(entry["path"]).rsplit("/", 1)[-1], entry["last_modified"].timestamp()

    def put_named(self, path: str, content: bytes) -> None:
        """A small file beside the blobs, such as an exported audit head; written once, never changed."""
        try:
            obstore.put(self._backend, path, content, mode="create")
        except AlreadyExistsError:
            return
        except _TROUBLE:
            raise Unavailable("The file store does not take the file: is it reachable and is there room?") from None

    def named(self, folder: str) -> Iterator[tuple[str, bytes]]:
        """(path, content) of the small files under `folder`."""
        for page in obstore.list(self._backend, folder):
            for entry in page:
                yield str(entry["path"]), bytes(obstore.get(self._backend, str(entry["path"])).bytes())


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
