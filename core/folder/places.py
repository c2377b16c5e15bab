"""The three folders of a run: which may stand where, who may read them, and what a killed run left behind."""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Final, Self

from core.errors import BadConfiguration, Conflict, Malformed, Unavailable
from core.vault.keys import Keys, create_keys, load_keys

WORK: Final = ".sonobank-part"
_NOT_MINE: Final = "The key folder must belong to you and be closed to everybody else. Fix: chmod 0700 on it."


@dataclass(frozen=True)
class Places:
    """Resolved folders: `source` is only read, `out` receives the candidates, `keys` the secrets and the linkage."""

    source: Path
    out: Path
    keys: Path

    @classmethod
    def of(cls, source: Path, out: Path, keys: Path) -> Self:
        """Raises Malformed for folders that cannot be used together, BadConfiguration for an unsafe key folder."""
        if not source.is_dir():
            raise Malformed("There is no such input folder.")
        if out.exists() and not out.is_dir():
            raise Malformed("The output must be a folder.")
        if keys.is_symlink():
            raise BadConfiguration("The key folder is a link. Name the folder itself.")
        found = cls(source.resolve(), out.resolve(), keys.resolve())
        if any(one.is_relative_to(other) for one, other in permutations((found.source, found.out, found.keys), 2)):
            raise Malformed("The input, output and key folders must not lie in one another.")
        if keys.exists():
            status = keys.stat()
            if not keys.is_dir() or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != 0o700:
                raise BadConfiguration(_NOT_MINE)
        return found

    def open_keys(self) -> Keys:
        """The keys, made at the first run (0400 each, in a folder of mode 0700); never overwritten."""
        if self._has_keys():
            return load_keys(self.keys, self.out)
        try:
            create_keys(self.keys)
        except BadConfiguration:
            if not self._has_keys():  # else another run was quicker
                raise
        return load_keys(self.keys, self.out)

    def _has_keys(self) -> bool:
        return self.keys.is_dir() and any(self.keys.glob("*.key"))

    @property
    def work(self) -> Path:
        """Where files lie until they are whole: in OUT, so that giving them their name is one step."""
        return self.out / WORK

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """OUT is this run's alone; drafts of a killed run are swept at the start. Raises Conflict while another works."""
        try:
            self.out.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self.out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable("The output folder cannot be written.") from error
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict("Another run is writing into this output folder.") from None
            self._sweep()
            self.work.mkdir(mode=0o700)
            try:
                yield
            finally:
                self._sweep()
        finally:
            os.close(folder)

    def _sweep(self) -> None:
        if self.work.is_symlink():
            raise Malformed(f"The output folder holds a link named {WORK}. Remove it.")
        shutil.rmtree(self.work, ignore_errors=True)
