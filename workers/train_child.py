"""The process of a training: behind everything else on the machine, ended with the worker that started it, then `./run ml`."""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
NICE: Final = 10


def main(parent: int, arguments: list[str]) -> None:
    """Become `python -m commands.main …`. The death signal outlives exec; it comes when the starting thread ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)  # the worker has died already
    os.nice(NICE)
    os.execv(sys.executable, [sys.executable, "-m", "commands.main", *arguments])  # noqa: S606 - our own program


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
