"""The inside of the sandbox: a process that gives up its rights, then runs one function after the other on bytes."""

import argparse
import ctypes
import importlib
import json
import os
import pwd
import resource
import select
import signal
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from core.errors import AppError

ALLOWED: Final = ("core.dicom.", "core.deid.", "core.curation.")
MAX_HEAD: Final = 16 << 20
MAX_BLOBS: Final = 4096
MAX_BYTES: Final = 1 << 30

_HEADER = struct.Struct(">II")
_LENGTH = struct.Struct(">Q")
_PIECE = 1 << 20
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38


class PipeBroken(Exception):
    """The other end of the pipe is gone, late or talks nonsense."""


def send(fd: int, head: dict[str, Any], blobs: Sequence[bytes], deadline: float | None = None) -> None:
    """Write one message: the lengths of head and blob list, the head as JSON, then each blob after its length."""
    text = json.dumps(head).encode()
    if len(text) > MAX_HEAD:
        raise PipeBroken
    for piece in _packed(text, blobs):
        view = memoryview(piece)
        while view:
            _await(fd, select.POLLOUT, deadline)
            view = view[os.write(fd, view[:_PIECE]) :]


def receive(fd: int, deadline: float | None = None) -> tuple[dict[str, Any], list[bytes]]:
    """Read one message; raises PipeBroken when it is cut, late, too long or not a JSON object."""
    head_length, count = _HEADER.unpack(_exactly(fd, _HEADER.size, deadline))
    if head_length > MAX_HEAD or count > MAX_BLOBS:
        raise PipeBroken
    try:
        head = json.loads(_exactly(fd, head_length, deadline))
    except (ValueError, RecursionError) as error:
        raise PipeBroken from error
    blobs, left = [], MAX_BYTES
    for _ in range(count):
        (length,) = _LENGTH.unpack(_exactly(fd, _LENGTH.size, deadline))
        left -= length
        if left < 0:
            raise PipeBroken
        blobs.append(_exactly(fd, length, deadline))
    if not isinstance(head, dict):
        raise PipeBroken
    return head, blobs


def _packed(text: bytes, blobs: Sequence[bytes]) -> Iterator[bytes]:
    yield _HEADER.pack(len(text), len(blobs)) + text
    for blob in blobs:
        yield _LENGTH.pack(len(blob))
        yield blob


def _exactly(fd: int, count: int, deadline: float | None) -> bytes:
    data = bytearray()
    while len(data) < count:
        _await(fd, select.POLLIN, deadline)
        piece = os.read(fd, min(count - len(data), _PIECE))
        if not piece:
            raise PipeBroken
        data += piece
    return bytes(data)


def _await(fd: int, event: int, deadline: float | None) -> None:
    if deadline is None:
        return
    poll = select.poll()
    poll.register(fd, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise PipeBroken


def _leave_network() -> None:
    """A network namespace of its own has no way out; without the right to make one the other limits stand alone."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) and os.geteuid():
            libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _limit(memory: int, cpu: int) -> None:
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 32)]
    for kind, value in [*limits, (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_AS, memory)]:
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))


def _drop_rights(parent: int) -> None:
    """Become nobody when root, and die with the parent. The order matters: the kernel clears the death signal when
    the user changes."""
    if os.geteuid() == 0:
        with suppress(KeyError, PermissionError):
            nobody = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
            os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def _import(modules: Sequence[str]) -> None:
    for name in modules:
        if not name.startswith(ALLOWED):
            sys.exit(2)
        module = importlib.import_module(name)
        if hasattr(module, "prepare"):
            module.prepare()  # models are files that can no longer be read after the rights are gone
    video = sys.modules.get("core.dicom.video")
    if video is not None:
        video.prepare()
    if "numpy" in sys.modules:
        importlib.import_module("numpy.ma")  # numpy loads it when it is first needed, which is by then too late
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None:
        pillow.preinit()  # its plug-ins would else be looked for on disk once that is no longer readable


def _run(head: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    module, name = str(head["target"]).split(":")
    if not module.startswith(ALLOWED):
        sys.exit(2)
    function = getattr(sys.modules[module], name)
    try:
        result, returned = function(head["params"], blobs)
    except AppError as error:
        return {"error": type(error).__name__, "message": error.message}, []
    return {"result": result}, returned


def main() -> None:
    """Serve calls from stdin to stdout until the pipe closes; any exception that is not ours ends the process."""
    parser = argparse.ArgumentParser()
    for name in ("memory", "cpu", "parent"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("modules", nargs="+")
    arguments = parser.parse_args()
    _leave_network()
    answers = os.dup(1)  # what a library prints must not get between the answers
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
    _import(arguments.modules)
    _limit(arguments.memory, arguments.cpu)
    _drop_rights(arguments.parent)
    while True:
        try:
            head, blobs = receive(0)
        except PipeBroken:
            return
        answer, returned = _run(head, blobs)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        answer["cpu_seconds"] = usage.ru_utime + usage.ru_stime
        del head, blobs
        send(answers, answer, returned)
        del returned


if __name__ == "__main__":
    main()
