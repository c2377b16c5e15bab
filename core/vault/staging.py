"""Identified files on their way through the site: sealed, named by the instance's ID alone, purged after use."""

import errno
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from core.errors import Conflict, Malformed, NotFound, Unavailable
from core.vault.files import PART_SUFFIX, SealedReader, SealedWriter
from core.vault.keys import Key

ORIGINAL: Final = "original"
LEAST_FREE_BYTES: Final = 1 << 30
SWEEP_AGE_SECONDS: Final = 24 * 3600
_KIND: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NAME: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.[a-z][a-z0-9-]{0,31}\.sealed")
_DISK_TROUBLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class Staging:
    """Sealed files of one site, one for each instance and kind (`original`, `candidate-3`, …)."""

    def __init__(self, folder: Path, keys: Sequence[Key], least_free_bytes: int = LEAST_FREE_BYTES) -> None:
        self._folder, self._keys, self.least_free_bytes = folder, keys, least_free_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, instance_id: UUID, kind: str, chunks: Iterable[bytes]) -> int:
        """Seal these bytes as they come; returns how many. Nothing is there until all of it is on the disk.

        An original is never overwritten (Conflict); what is made from it may be made again. Raises Unavailable when
        the disk is full."""
        path = self._path(instance_id, kind)
        self.check_space()
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            if kind == ORIGINAL and path.exists():
                raise Conflict("This file is stored already.")
            with SealedWriter(path, path.name, self._keys, replace=kind != ORIGINAL) as writer:
                for chunk in chunks:
                    writer.write(chunk)
        except OSError as error:
            if error.errno not in _DISK_TROUBLE:
                raise
            raise Unavailable("The staging disk cannot be written; free some space.") from None
        return writer.size

    def open(self, instance_id: UUID, kind: str) -> SealedReader:
        """Raises NotFound if there is no such file, Refused if it is damaged."""
        path = self._path(instance_id, kind)
        try:
            return SealedReader(path, path.name, self._keys)
        except FileNotFoundError:
            raise NotFound from None

    def exists(self, instance_id: UUID, kind: str) -> bool:
        return self._path(instance_id, kind).is_file()

    def delete(self, instance_id: UUID, kind: str) -> bool:
        """False if it was not there."""
        path = self._path(instance_id, kind)
        there = path.is_file()
        path.unlink(missing_ok=True)
        return there

    def delete_case(self, instance_ids: Iterable[UUID]) -> int:
        """Delete every file of these instances, drafts too. Returns how many."""
        removed = 0
        for instance_id in instance_ids:
            shard = self._shard(instance_id)
            for path in [*shard.glob(f"{instance_id}.*"), *shard.glob(f".{instance_id}.*{PART_SUFFIX}")]:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def sweep(self, known_ids: Collection[UUID], older_than_seconds: float = SWEEP_AGE_SECONDS) -> int:
        """Delete old drafts and old files of instances that no row knows. Returns how many.

        The age keeps what a worker is just writing: its row comes after its file."""
        limit = time.time() - older_than_seconds
        removed = 0
        for path in self._files():
            named = _NAME.fullmatch(path.name)
            unknown = named is not None and UUID(named[1]) not in known_ids
            try:
                if (unknown or path.name.endswith(PART_SUFFIX)) and path.stat().st_mtime <= limit:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue
        return removed

    def used_bytes(self) -> int:
        """Bytes on the disk, for the operator's page."""
        return sum(path.stat().st_size for path in self._files() if not path.name.endswith(PART_SUFFIX))

    def check_space(self) -> None:
        """Raises Unavailable when the disk has less room than it must keep."""
        if shutil.disk_usage(self._folder).free < self.least_free_bytes:
            raise Unavailable("The staging disk is almost full; free some space.")

    def _files(self) -> Iterator[Path]:
        return (path for shard in sorted(self._folder.iterdir()) if shard.is_dir() for path in list(shard.iterdir()))

    def _shard(self, instance_id: UUID) -> Path:
        # The last digits are random in every kind of UUID; the first ones of a uuid7 are the date.
        return self._folder / instance_id.hex[-2:]

    def _path(self, instance_id: UUID, kind: str) -> Path:
        if not _KIND.fullmatch(kind):
            raise Malformed("There is no such kind of file.")
        return self._shard(instance_id) / f"{instance_id}.{kind}.sealed"
