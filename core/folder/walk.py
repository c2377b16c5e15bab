"""Every file below a folder, whatever its name; links are named and not followed."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

from core.errors import Refused

LINK: Final = "This is a link; links are not followed."
NO_FILE: Final = "This is not a plain file."
NO_FOLDER: Final = "This folder cannot be read."
UNREADABLE: Final = "The file cannot be read."
CHANGED: Final = "The file changed while it was worked on. Run again."


@dataclass(frozen=True)
class Found:
    """One entry: its path, also relative to the walked folder, and why it is no file to be read, if it is none."""

    path: Path
    name: str
    problem: str | None = None


def walk(folder: Path) -> Iterator[Found]:
    """In the order of names, folder by folder."""
    unreadable: list[Found] = []

    def note(error: OSError) -> None:
        path = Path(os.fsdecode(error.filename))
        unreadable.append(Found(path, _name(path, folder), NO_FOLDER))

    for current, folders, files in os.walk(folder, onerror=note):
        folders.sort()
        for name in sorted([*files, *(one for one in folders if Path(current, one).is_symlink())]):
            path = Path(current, name)
            yield Found(path, _name(path, folder), _problem(path))
    yield from unreadable


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _problem(path: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return UNREADABLE
    if stat.S_ISLNK(mode):
        return LINK
    return None if stat.S_ISREG(mode) else NO_FILE


class Unchanged:
    """An open plain file that is the same when it is opened again: its number, size and time of change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: tuple[int, ...] = ()

    def open(self) -> tuple[BufferedReader, int]:
        """Raises Refused when it cannot be read, is a link by now or has changed since it was opened first."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Refused(UNREADABLE) from error
        file = os.fdopen(descriptor, "rb")
        status = os.fstat(descriptor)
        mark = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if not stat.S_ISREG(status.st_mode) or (self._mark and mark != self._mark):
            file.close()
            raise Refused(CHANGED if self._mark else NO_FILE)
        self._mark = mark
        return file, status.st_size
