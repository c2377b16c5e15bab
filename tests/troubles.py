"""Troubles made on purpose: a disk of a given size, a file that fills it, a database killed under its users."""

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_FILLER = "filler"


@contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """`folder` on a disk of its own. Skips, by name, where this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k,mode=0755", "sonobank-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("FULL DISK NOT TESTED: mounting a small tmpfs needs root with CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leave_megabytes: float = 0) -> None:
    """Take all room of this disk but so much; what becomes free meanwhile is taken too."""
    with (folder / _FILLER).open("ab") as file:
        while (room := shutil.disk_usage(folder).free - int(leave_megabytes * 2**20)) > 0:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, max(4096, room // 2))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break


def free(folder: Path) -> None:
    (folder / _FILLER).unlink()


def kill_database(data_dir: Path) -> int | None:
    """SIGKILL the postmaster of a node's embedded PostgreSQL; its pid, None when it was down."""
    try:
        pid = int((data_dir / "pg" / "cluster" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
    except (FileNotFoundError, IndexError, ProcessLookupError):
        return None
    return pid


def wait_for_another_postmaster(data_dir: Path, old: int | None, seconds: float = 60) -> None:
    """Until the server was started again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            lines = (data_dir / "pg" / "cluster" / "postmaster.pid").read_text().splitlines()
            if int(lines[0]) != old and lines[-1].strip() == "ready":
                return
        except (FileNotFoundError, IndexError, ValueError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"the database did not come back within {seconds:.0f} s")
