"""Sealed files: 64 KiB chunks under a key of their own, so that a reader opens only the chunks that it needs."""

import io
import os
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import Conflict, Refused
from core.vault.keys import KEY_ID_BYTES, SECRET_BYTES, Key, fsync_folder
from core.vault.seal import NONCE_BYTES, TAG_BYTES

CHUNK_BYTES: Final = 65_536
PART_SUFFIX: Final = ".part"
_MAGIC: Final = b"SBSF\x01"
_WRAPPED_BYTES: Final = SECRET_BYTES + TAG_BYTES
_NONCE_AT: Final = len(_MAGIC) + KEY_ID_BYTES
_BODY_AT: Final = _NONCE_AT + NONCE_BYTES + _WRAPPED_BYTES
_SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
_CACHED_CHUNKS: Final = 4


class SealedWriter:
    """Writes one sealed file: header (magic, key id, nonce, wrapped file key), then the chunks, the last one marked.

    file_id: what the file is; the same must be given to read it. Nothing stands under `path` before `close`, which
    raises Conflict when a file is there already (unless `replace`). Leaving a `with` block by an error removes the
    draft. Only sealed bytes ever reach the disk."""

    def __init__(self, path: Path, file_id: str, keys: Sequence[Key], replace: bool = False) -> None:
        self._path, self._file_id, self._replace = path, file_id, replace
        self._draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PART_SUFFIX}")
        file_secret = secrets.token_bytes(SECRET_BYTES)
        self._cipher = AESGCM(file_secret)
        self._pending = bytearray()
        self._chunk = 0
        self.size = 0
        descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file: BinaryIO | None = os.fdopen(descriptor, "wb")
        nonce = os.urandom(NONCE_BYTES)
        wrapped = AESGCM(keys[-1].secret).encrypt(nonce, file_secret, _key_aad(file_id, keys[-1].id))
        self._file.write(_MAGIC + keys[-1].id + nonce + wrapped)

    def write(self, content: bytes | bytearray | memoryview) -> int:
        file = self._opened()
        view = memoryview(content).cast("B")
        for start in range(0, len(view), CHUNK_BYTES):
            self._pending += view[start : start + CHUNK_BYTES]
            # A full chunk waits until more comes: only then it is known not to be the last.
            while len(self._pending) > CHUNK_BYTES:
                self._seal(file, bytes(self._pending[:CHUNK_BYTES]), last=False)
                del self._pending[:CHUNK_BYTES]
        self.size += len(view)
        return len(view)

    def close(self) -> None:
        """Seal the last chunk, put everything on the disk, then give the file its name; a second call does nothing."""
        if self._file is None:
            return
        try:
            self._seal(self._file, bytes(self._pending), last=True)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._publish()
        finally:
            self.abort()
        fsync_folder(self._path.parent)

    def abort(self) -> None:
        """Remove the draft."""
        file, self._file = self._file, None
        if file is not None:
            self._pending.clear()
            self._draft.unlink(missing_ok=True)
            # What is still in the buffer may not fit on a full disk; the draft is gone, so nobody misses it.
            with suppress(OSError):
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("This sealed file is closed.")
        return self._file

    def _seal(self, file: BinaryIO, content: bytes, last: bool) -> None:
        # The file key is random and used for this file only, so the counter is a nonce that cannot repeat.
        nonce = self._chunk.to_bytes(NONCE_BYTES, "big")
        file.write(self._cipher.encrypt(nonce, content, _chunk_aad(self._file_id, self._chunk, last)))
        self._chunk += 1

    def _publish(self) -> None:
        if self._replace:
            self._draft.replace(self._path)
            return
        try:
            # A hard link fails when the name is taken; a rename would overwrite.
            self._path.hardlink_to(self._draft)
        except FileExistsError:
            raise Conflict("This file is stored already.") from None


class SealedReader(io.RawIOBase, BinaryIO):
    """Reads a sealed file at any place; a seek is free, a read opens only the chunks that it touches.

    Opening checks the last chunk, so `size` (bytes of the plain content) is proven. Every read that meets a changed,
    moved, missing or foreign chunk raises Refused and gives nothing of it."""

    def __init__(self, path: Path, file_id: str, keys: Sequence[Key]) -> None:
        self._file_id = file_id
        self._position = 0
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._file = path.open("rb", buffering=0)
        try:
            self._cipher = _file_cipher(_read_at(self._file, 0, _BODY_AT), file_id, keys)
            body = os.fstat(self._file.fileno()).st_size - _BODY_AT
            self._last, rest = divmod(max(body, 1) - 1, _SEALED_CHUNK_BYTES)
            self.size = self._last * CHUNK_BYTES + rest + 1 - TAG_BYTES
            self._content(self._last)
        except BaseException:
            self._file.close()
            raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._check_open()
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("A position before the start of the file.")
        self._position = start + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes as asked for, fewer only at the end of the file."""
        self._check_open()
        end = self.size if size is None or size < 0 else min(self.size, self._position + size)
        parts: list[bytes] = []
        while self._position < end:
            chunk, start = divmod(self._position, CHUNK_BYTES)
            part = self._content(chunk)[start : start + end - self._position]
            parts.append(part)
            self._position += len(part)
        return b"".join(parts)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # any writable buffer
        view = memoryview(buffer).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._cache.clear()
            self._file.close()
        super().close()

    def __enter__(self) -> Self:
        return self

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("This sealed file is closed.")

    def _content(self, chunk: int) -> bytes:
        if chunk in self._cache:
            self._cache.move_to_end(chunk)
            return self._cache[chunk]
        sealed = _read_at(self._file, _BODY_AT + chunk * _SEALED_CHUNK_BYTES, _SEALED_CHUNK_BYTES)
        aad = _chunk_aad(self._file_id, chunk, chunk == self._last)
        try:
            content = self._cipher.decrypt(chunk.to_bytes(NONCE_BYTES, "big"), sealed, aad)
        except InvalidTag:
            raise Refused("A sealed file is damaged.") from None
        self._cache[chunk] = content
        if len(self._cache) > _CACHED_CHUNKS:
            self._cache.popitem(last=False)
        return content


def _file_cipher(header: bytes, file_id: str, keys: Sequence[Key]) -> AESGCM:
    """Unwrap the key of a file; a key that is not at hand looks like damage, for neither can be told from the other."""
    key_id = header[len(_MAGIC) : _NONCE_AT]
    key = next((key for key in keys if key.id == key_id), None)
    if len(header) != _BODY_AT or not header.startswith(_MAGIC) or key is None:
        raise Refused("A sealed file is damaged.")
    nonce, wrapped = header[_NONCE_AT : _NONCE_AT + NONCE_BYTES], header[_NONCE_AT + NONCE_BYTES :]
    try:
        return AESGCM(AESGCM(key.secret).decrypt(nonce, wrapped, _key_aad(file_id, key_id)))
    except InvalidTag:
        raise Refused("A sealed file is damaged.") from None


def _read_at(file: io.FileIO, start: int, length: int) -> bytes:
    content = os.pread(file.fileno(), length, start)
    while 0 < len(content) < length:
        more = os.pread(file.fileno(), length - len(content), start + len(content))
        if not more:
            break
        content += more
    return content


def _key_aad(file_id: str, key_id: bytes) -> bytes:
    return b"sonobank-file-1\0" + key_id + file_id.encode()


def _chunk_aad(file_id: str, chunk: int, last: bool) -> bytes:
    return b"sonobank-chunk-1\0" + chunk.to_bytes(8, "big") + (b"\x01" if last else b"\x00") + file_id.encode()
