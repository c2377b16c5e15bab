"""Node processes of the demo, forked from one that has everything imported: seven starts cost one, and share its memory."""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing import context, forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

_PRELOAD = ["api.main", "workers.runner", "commands.serve", "commands.worker"]
_context = context.ForkServerContext()
_PR_SET_PDEATHSIG = 1


def warm_up() -> None:
    """Begin to import everything that a node needs, while the caller does something else."""
    _context.set_forkserver_preload(_PRELOAD)
    forkserver.ensure_running()


class NodeProcess:
    """One process of a node, with the few methods of subprocess.Popen that its keepers need."""

    def __init__(self, verb: str, role: str, env: Mapping[str, str], log: Path) -> None:
        warm_up()
        self._process: BaseProcess = _context.Process(
            target=_run, args=(verb, role, dict(env), str(log)), name=f"{role}-{verb}"
        )
        self._process.start()
        self.pid = int(self._process.pid or 0)

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(verb: str, role: str, env: dict[str, str], log: str) -> None:
    """In the child: its own session, environment and log; it ends when the process it was forked from ends."""
    os.setsid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    for name in [name for name in os.environ if name.startswith("SONOBANK_")]:
        del os.environ[name]
    os.environ.update(env)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["sonobank", verb, "--role", role]
    from commands.main import main

    main()
