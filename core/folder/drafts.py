"""Bytes that are not verified yet: in memory while they are few, else on disk under a key that only this run knows."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, Self

from core.errors import Refused, Unavailable
from core.vault.files import SealedReader, SealedWriter
from core.vault.keys import SECRET_BYTES, Key

IN_MEMORY: Final = 16 << 20
FULL: Final = "The output folder cannot be written: is the disk full?"


def passing_key() -> Key:
    """For the drafts of one run: kept nowhere, so that what a killed run leaves can be read by nobody."""
    return Key("seal", 1, secrets.token_bytes(SECRET_BYTES))


class Draft:
    """One stream on its way. `fill` replaces what was there; `drop` forgets it."""

    def __init__(self, folder: Path, key: Key) -> None:
        self._path = folder / f"{secrets.token_hex(12)}.sealed"
        self._key = key
        self._content = b""

    def fill(self, pieces: Iterable[bytes]) -> Self:
        """Raises Unavailable when the disk does not take it; what the pieces raise comes through."""
        self.drop()
        head, rest = BytesIO(), iter(pieces)
        for piece in rest:
            head.write(piece)
            if head.tell() > IN_MEMORY:
                self._seal(head, rest)
                return self
        self._content = head.getvalue()
        return self

    def _seal(self, head: BytesIO, rest: Iterator[bytes]) -> None:
        try:
            with SealedWriter(self._path, self._path.name, [self._key]) as writer:
                writer.write(head.getbuffer())
                for piece in rest:
                    writer.write(piece)
        except OSError as error:
            raise Unavailable(FULL) from error

    @contextmanager
    def opened(self) -> Iterator[tuple[BinaryIO, int]]:
        """The stream from its start, and its length."""
        if self._content:
            yield BytesIO(self._content), len(self._content)
            return
        if not self._path.exists():
            raise Refused("The image is empty.")
        with SealedReader(self._path, self._path.name, [self._key]) as reader:
            yield reader, reader.size

    def drop(self) -> None:
        self._content = b""
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()
