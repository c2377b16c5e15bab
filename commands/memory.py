"""How much memory a process and everything below it use, as the kernel shares it out (PSS)."""

import threading
from pathlib import Path
from typing import Self


def tree(pid: int) -> list[int]:
    """The process and its children, and theirs; those that end meanwhile are left out."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            found += tree(int(child))
    return found


def pss_mb(pid: int) -> float:
    """Of one process, in MB; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


class Peak:
    """Watches a process tree five times a second while a block runs; `mb` is the most that was seen."""

    def __init__(self, pid: int) -> None:
        self._pid, self.mb = pid, 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            self.mb = max(self.mb, round(sum(map(pss_mb, tree(self._pid))), 1))
