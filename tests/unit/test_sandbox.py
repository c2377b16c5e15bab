"""Children with limits: what they may not do, and that a bad one never takes its caller with it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from core.dicom.pixel_format import PixelFormat
from core.errors import Refused
from core.sandbox import UNSAFE, Sandbox

ROOT = Path(__file__).resolve().parents[2]
DECODE = "core.dicom.frames:sandboxed_decode"
RENDER = "core.dicom.frames:sandboxed_render"
FMT = PixelFormat("1.2.840.10008.1.2.1", 2, 3, 1, 8, 8, 0, "MONOCHROME2", 0, 1)
PARAMS: dict[str, Any] = {"fmt": asdict(FMT)}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(size=2) as pool:
        yield pool


def child_pid(sandbox: Sandbox) -> int:
    sandbox.call(DECODE, PARAMS, [b"123456"])
    return sandbox._free[-1].process.pid


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < until, "the child is still there"
        time.sleep(0.02)


def test_a_call_goes_there_and_back(sandbox: Sandbox) -> None:
    head, blobs = sandbox.call(DECODE, PARAMS, [b"123456"])
    assert (head["shape"], blobs) == ([2, 3], [b"123456"])


def test_a_refusal_keeps_its_reason_and_the_child(sandbox: Sandbox) -> None:
    pid = child_pid(sandbox)
    with pytest.raises(Refused, match="cannot be decoded"):
        sandbox.call(DECODE, PARAMS, [b"12"])
    assert child_pid(sandbox) == pid


def test_a_child_that_dies_is_a_refusal_and_replaced(sandbox: Sandbox) -> None:
    pid = child_pid(sandbox)
    with pytest.raises(Refused) as caught:
        sandbox.call(DECODE, {}, [])
    assert caught.value.message == UNSAFE
    assert child_pid(sandbox) != pid
    os.kill(child_pid(sandbox), signal.SIGKILL)
    time.sleep(0.05)
    assert sandbox.call(DECODE, PARAMS, [b"123456"])[1] == [b"123456"]


@pytest.mark.parametrize("target", ["os:system", "core.vault:reveal", "core.dicom.frames", "core.dicomx:y", "a:b:c"])
def test_only_decoders_may_run(sandbox: Sandbox, target: str) -> None:
    with pytest.raises(ValueError, match="may not be run"):
        sandbox.call(target, {})


def test_memory_is_limited() -> None:
    side = 9000
    fmt = asdict(PixelFormat("1.2.840.10008.1.2.1", side, side, 1, 8, 8, 0, "MONOCHROME2", 0, 1))
    with Sandbox(memory_bytes=500 << 20) as small:
        with pytest.raises(Refused, match="safely"):
            small.call(RENDER, {"fmt": fmt, "media_type": "image/png"}, [bytes(side * side)])
        assert small.call(DECODE, PARAMS, [b"123456"])[1] == [b"123456"]


def test_time_is_limited() -> None:
    side = 4000
    fmt = asdict(PixelFormat("1.2.840.10008.1.2.1", side, side, 1, 8, 8, 0, "MONOCHROME2", 0, 1))
    with Sandbox(wall_seconds=0.05) as hasty:
        pid = child_pid(hasty)
        start = time.monotonic()
        with pytest.raises(Refused, match="safely"):
            hasty.call(RENDER, {"fmt": fmt, "media_type": "image/png"}, [os.urandom(side * side)])
        assert time.monotonic() - start < 5
        assert not is_alive(pid)


def test_the_child_has_given_up_its_rights(sandbox: Sandbox) -> None:
    pid = child_pid(sandbox)
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    limits = Path(f"/proc/{pid}/limits").read_text()
    for line in ("Max file size             0 ", "Max core file size        0 ", "Max open files            32 "):
        assert line in limits
    if os.geteuid() == 0:
        assert "Uid:\t0" not in status
        assert Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert all(name not in environment for name in (b"HOME=", b"SONOBANK", b"VIRTUAL_ENV="))


def test_threads_share_the_pool(sandbox: Sandbox) -> None:
    def one(number: int) -> bytes:
        return sandbox.call(DECODE, PARAMS, [bytes([number]) * 6])[1][0]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(60))) == [bytes([number]) * 6 for number in range(60)]
    assert len(sandbox._free) <= 2


def test_a_child_outlives_the_thread_that_needed_it_first() -> None:
    with Sandbox() as pool:
        thread = threading.Thread(target=pool.call, args=(DECODE, PARAMS, [b"123456"]))
        thread.start()
        thread.join()
        time.sleep(0.1)
        pid = pool._free[-1].process.pid
        assert child_pid(pool) == pid


def test_idle_children_end() -> None:
    with Sandbox(idle_seconds=0.1) as pool:
        pid = child_pid(pool)
        wait_until_gone(pid)
        assert child_pid(pool) != pid


def test_a_child_that_has_used_up_its_time_is_replaced() -> None:
    with Sandbox() as pool:
        pid = child_pid(pool)
        pool._cpu = 0
        pool.call(DECODE, PARAMS, [b"123456"])
        wait_until_gone(pid)
        pool._cpu = 600  # the fresh child needs time to start, more of it on a busy machine
        assert pool.call(DECODE, PARAMS, [b"123456"])[1] == [b"123456"]


def test_no_orphan_remains_when_the_parent_is_killed() -> None:
    program = (
        "from core.sandbox import Sandbox\n"
        f"pool = Sandbox(); pool.call({DECODE!r}, {PARAMS!r}, [b'123456'])\n"
        "print(pool._free[-1].process.pid, flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until_gone(pid)


def test_a_closed_pool_takes_no_calls() -> None:
    pool = Sandbox()
    pid = child_pid(pool)
    pool.close()
    wait_until_gone(pid)
    with pytest.raises(Refused, match="shutting down"):
        pool.call(DECODE, PARAMS, [b"123456"])
