"""Named points at which a test can kill this process: `SONOBANK_FAILPOINT=name[,name…]` or `all`.

With `SONOBANK_FAILPOINT_LOG` (a folder) each point kills once only: the mark is on disk before the kill,
so that a supervisor can start the process again and the work goes on. Without settings a hit costs one look-up."""

import os
import signal
from pathlib import Path


def hit(name: str) -> None:
    """Kill this process (SIGKILL) if `name` is armed."""
    armed = os.environ.get("SONOBANK_FAILPOINT")
    if not armed or not {name, "all"} & set(armed.split(",")):
        return
    if log := os.environ.get("SONOBANK_FAILPOINT_LOG"):
        mark = Path(log) / name.replace("/", "_")
        try:
            fd = os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return
        os.fsync(fd)
        os.close(fd)
    os.kill(os.getpid(), signal.SIGKILL)
