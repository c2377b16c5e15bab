"""Keeps the `infer` process of a node running, and hands it the models that people let take effect.

One worker of a node keeps it; the others wait to take over. A node without a model has no such process."""

import fcntl
import json
import logging
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from core.db import reading
from core.errors import AppError
from core.node import Node
from core.services import registry

log = logging.getLogger(__name__)
ROLES: Final = frozenset({"site", "central"})
LOOK_SECONDS: Final = 1.0
_ROOT: Final = Path(__file__).resolve().parent.parent
Wanted = dict[str, dict[str, str]]


class Keeper:
    """A thread's work: `run` until `stop`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stop = threading.Event()
        self._folder = node.folder("infer")
        self._process: subprocess.Popen[str] | None = None
        self._told: Wanted = {}

    def run(self) -> None:
        with (self._folder / "lock").open("w") as lock:
            try:
                while not self._stop.is_set():
                    if _is_mine(lock):
                        self._look()
                    self._stop.wait(LOOK_SECONDS)
            finally:
                self._end()

    def stop(self) -> None:
        self._stop.set()

    def _look(self) -> None:
        try:
            wanted = self._wanted()
        except AppError as trouble:
            log.warning("infer: %s", trouble.message)
            return
        except OSError:
            log.warning("infer: a model cannot be written; is there room on the disk?")
            return
        process = self._process
        if process is not None and process.poll() is not None:
            log.warning("the infer process ended (%s) and is started again", process.returncode)
            self._end()
        if not wanted:
            self._end()
        elif self._process is None:
            self._start(wanted)
        elif wanted != self._told:
            self._tell(wanted)
            self._forget(wanted)

    def _wanted(self) -> Wanted:
        """{domain: {folder, id}} of the models in effect, unpacked."""
        with reading(self._node.engine) as session:
            models = registry.in_effect(session)
            files = {domain: registry.files_of(session, model) for domain, model in models.items()}
        places = {domain: self._folder / "models" / str(model.id) for domain, model in models.items()}
        return {
            domain: {"folder": str(registry.unpack(self._node, files[domain], places[domain])), "id": str(model.id)}
            for domain, model in models.items()
        }

    def _start(self, wanted: Wanted) -> None:
        environment = {
            "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.infer", str(self._folder / "socket")],
            stdin=subprocess.PIPE, text=True, cwd=_ROOT, env=environment,
        )  # fmt: skip
        self._tell(wanted)

    def _tell(self, wanted: Wanted) -> None:
        pipe: IO[str] | None = self._process.stdin if self._process else None
        if pipe is not None:
            with suppress(BrokenPipeError):  # it died: the next look starts another
                pipe.write(json.dumps(wanted) + "\n")
                pipe.flush()
                self._told = wanted

    def _end(self) -> None:
        process, self._process, self._told = self._process, None, {}
        if process is not None:
            with suppress(BrokenPipeError):
                if process.stdin is not None:
                    process.stdin.close()
            process.kill()
            process.wait()

    def _forget(self, wanted: Wanted) -> None:
        """Folders of models that are no longer in effect."""
        for folder in (self._folder / "models").glob("*"):
            if folder.name not in {one["id"] for one in wanted.values()}:
                shutil.rmtree(folder, ignore_errors=True)


def _is_mine(lock: IO[str]) -> bool:
    """Whether this worker keeps the process: the lock goes with the worker that dies."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
