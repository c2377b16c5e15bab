"""Runs decoders and OCR on bytes from outside in limited children without network; a dead child is a refusal."""

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from core.errors import AppError, Held, Malformed, Refused
from core.sandbox_child import ALLOWED, MAX_BLOBS, MAX_BYTES, PipeBroken, receive, send

UNSAFE: Final = "The image could not be decoded safely."
CLOSING: Final = "The decoder is shutting down."

_ROOT = Path(__file__).resolve().parent.parent
_ERRORS: Final[dict[str, type[AppError]]] = {"Held": Held, "Malformed": Malformed}
_START_SECONDS = 30.0


@dataclass
class _Child:
    """One running child and the modules that it has loaded."""

    process: subprocess.Popen[bytes]
    modules: frozenset[str]
    is_new: bool = True
    idle_since: float = field(default_factory=time.monotonic)

    def ask(self, head: dict[str, Any], blobs: Sequence[bytes], wall: float) -> tuple[dict[str, Any], list[bytes]]:
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise PipeBroken
        deadline = time.monotonic() + wall + (_START_SECONDS if self.is_new else 0.0)
        send(stdin.fileno(), head, blobs, deadline)
        return receive(stdout.fileno(), deadline)

    def end(self) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait()


class Caller(Protocol):
    """What runs a function of core.dicom, core.deid or core.curation in a limited child: `Sandbox`, or a twin of it in a test."""

    def call(
        self, target: str, params: Mapping[str, Any], blobs: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], list[bytes]]: ...


class Sandbox:
    """A pool of at most `size` children, started when they are needed; safe to share between threads.

    Each child may use `memory_bytes` of address space and `cpu_seconds` in all (then a fresh one takes over); a call
    may take `wall_seconds`. Children idle for `idle_seconds` end."""

    def __init__(
        self,
        size: int = 1,
        memory_bytes: int = 2 << 30,
        wall_seconds: float = 30.0,
        cpu_seconds: int = 600,
        idle_seconds: float = 60.0,
    ) -> None:
        self._memory, self._wall, self._idle = memory_bytes, wall_seconds, idle_seconds
        self._cpu = max(cpu_seconds, 2 * math.ceil(wall_seconds))
        self._modules: set[str] = set()
        self._free: list[_Child] = []
        self._seats = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        # A child gets its death signal when the thread that started it ends: one thread that stays starts them all.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")
        self._timer: threading.Timer | None = None
        self._is_closed = False

    def call(
        self, target: str, params: Mapping[str, Any], blobs: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Run `target` ("package.module:function", of core.dicom, core.deid or core.curation) in a child.

        The function is `(params: dict, blobs: list[bytes]) -> (dict, list[bytes])`. What it raises of
        `core.errors` comes back with its message, as Held, Malformed or else Refused; a child that dies, exceeds its
        limits or answers nonsense is Refused. Raises ValueError for a target outside the allow-list."""
        if not target.startswith(ALLOWED) or target.count(":") != 1:
            raise ValueError("This function may not be run in the sandbox.")
        if len(blobs) > MAX_BLOBS or sum(map(len, blobs)) > MAX_BYTES:
            raise Refused("The image is too large to be decoded safely.")
        answer, returned = self._ask({"target": target, "params": dict(params)}, target.split(":")[0], blobs)
        if "error" in answer:
            raise _ERRORS.get(str(answer["error"]), Refused)(str(answer.get("message") or UNSAFE))
        result = answer.get("result")
        if not isinstance(result, dict):
            raise Refused(UNSAFE)
        return result, returned

    def close(self) -> None:
        """End all idle children and take no more calls; calls under way end theirs themselves."""
        with self._lock:
            self._is_closed = True
            children, self._free = self._free, []
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        for child in children:
            child.end()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, head: dict[str, Any], module: str, blobs: Sequence[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        with self._seats:
            child = self._take(module)
            try:
                answer, returned = child.ask(head, blobs, self._wall)
            except (PipeBroken, OSError) as error:
                child.end()
                raise Refused(UNSAFE) from error
            except BaseException:  # an interrupt, or params that are not JSON: the pipe may be in the middle of a call
                child.end()
                raise
            self._give_back(child, answer)
            return answer, returned

    def _take(self, module: str) -> _Child:
        with self._lock:
            if self._is_closed:
                raise Refused(CLOSING)
            self._modules.add(module)
            modules = frozenset(self._modules)
            ready = [child for child in self._free if module in child.modules and child.process.poll() is None]
            unfit = [child for child in self._free if child not in ready]
            self._free = ready[:-1]
        for child in unfit:
            child.end()
        return ready[-1] if ready else self._starter.submit(self._start, modules).result()

    def _give_back(self, child: _Child, answer: dict[str, Any]) -> None:
        child.is_new, child.idle_since = False, time.monotonic()
        used = answer.get("cpu_seconds")
        is_fresh = isinstance(used, float) and used < self._cpu / 2 and child.process.poll() is None
        with self._lock:
            if is_fresh and not self._is_closed:
                self._free.append(child)
                self._watch()
                return
        child.end()

    def _watch(self) -> None:
        """Have somebody look for idle children; called under the lock."""
        if self._timer is None and self._free:
            self._timer = threading.Timer(self._idle, self._end_idle)
            self._timer.daemon = True
            self._timer.start()

    def _end_idle(self) -> None:
        limit = time.monotonic() - self._idle * 0.9
        with self._lock:
            self._timer = None
            idle = [child for child in self._free if child.idle_since <= limit]
            self._free = [child for child in self._free if child.idle_since > limit]
            if not self._is_closed:
                self._watch()
        for child in idle:
            child.end()

    def _start(self, modules: frozenset[str]) -> _Child:
        environment = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "MALLOC_ARENA_MAX": "2",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        limits = ["--memory", str(self._memory), "--cpu", str(self._cpu), "--parent", str(os.getpid())]
        process = subprocess.Popen(
            [sys.executable, "-m", "core.sandbox_child", *limits, *sorted(modules)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # a trace may quote the image's values: only a developer who asks for it sees one
            stderr=None if os.environ.get("SONOBANK_SANDBOX_TRACE") else subprocess.DEVNULL,
            cwd=_ROOT,
            env=environment,
        )
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        return _Child(process, modules)
