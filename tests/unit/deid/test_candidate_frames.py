"""Many frames at once: in order, all of them, memory bounded, and nothing left running when something stops it."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from core.deid import candidate
from core.deid.candidate import MaskedFrame, Plan
from core.deid.candidate_frames import masked_frames
from core.deid.masks import Rect
from core.dicom.pixel_format import PixelFormat
from core.errors import Held, Refused
from core.sandbox import Sandbox

FMT = PixelFormat("1.2.840.10008.1.2.1", 9, 11, 1, 8, 8, 0, "MONOCHROME2", 0, 100)


class Here:
    """In place of the sandbox: runs in the caller's thread, now and then slowly, and counts."""

    def __init__(self, bad: int | None = None) -> None:
        self.bad, self.calls, self.now, self.most, self.lock = bad, 0, 0, 0, threading.Lock()

    def call(
        self, target: str, params: Mapping[str, Any], blobs: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], list[bytes]]:
        assert target == "core.deid.candidate:sandboxed_mask"
        with self.lock:
            self.calls, self.now = self.calls + 1, self.now + 1
            self.most = max(self.most, self.now)
            number = self.calls
        try:
            time.sleep(0.01 if number % 2 else 0)
            if number == self.bad:
                raise Refused("A frame of the image cannot be decoded.")
            return candidate.sandboxed_mask(dict(params), list(blobs))
        finally:
            with self.lock:
                self.now -= 1


def plan(fmt: PixelFormat = FMT) -> Plan:
    return candidate.plan(Dataset(), fmt, [Rect(0, 0, 11, 2)], [])


def stored(count: int, read: list[int] | None = None) -> Iterator[bytes]:
    for number in range(count):
        if read is not None:
            read.append(number)
        yield np.full((9, 11), number % 256, np.uint8).tobytes()


def one_by_one(count: int) -> list[MaskedFrame]:
    return [plan().response(*candidate.sandboxed_mask(*plan().request(frame))) for frame in stored(count)]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 16, 17, 100])
def test_all_frames_come_back_in_order(workers: int, count: int) -> None:
    sandbox = Here()
    assert list(masked_frames(sandbox, stored(count), plan(), workers)) == one_by_one(count)
    assert sandbox.most <= workers


def test_no_more_is_read_than_is_worked_on() -> None:
    """Batches of 16 frames, two a worker ahead; however long the cine is."""
    read: list[int] = []
    for taken, _ in enumerate(masked_frames(Here(), stored(1000, read), plan(), 2), 1):
        assert len(read) <= taken + 16 * (2 * 2 + 2)
    assert len(read) == 1000


def test_large_frames_go_one_by_one() -> None:
    large = PixelFormat("1.2.840.10008.1.2.1", 4000, 4000, 3, 8, 8, 0, "RGB", 0, 3)
    seen: list[int] = []

    class Counting(Here):
        def call(
            self, target: str, params: Mapping[str, Any], blobs: Sequence[bytes] = ()
        ) -> tuple[dict[str, Any], list[bytes]]:
            seen.append(len(blobs))
            raise Held("Enough.")

    with pytest.raises(Held):
        list(masked_frames(Counting(), iter([b"x"] * 3), plan(large), 1))
    assert set(seen) == {1}


def test_the_first_bad_frame_stops_everything() -> None:
    sandbox, came, read = Here(bad=3), 0, list[int]()
    frames = masked_frames(sandbox, stored(1000, read), plan(), 2)
    with pytest.raises(Refused):
        for _ in frames:
            came += 1
    assert came % 16 == 0 and sandbox.now == 0 and len(read) < 300
    calls = sandbox.calls
    time.sleep(0.03)
    assert sandbox.calls == calls


def test_a_reader_that_fails_stops_everything() -> None:
    def broken() -> Iterator[bytes]:
        yield from stored(50)
        raise Refused("The file ends early.")

    sandbox = Here()
    with pytest.raises(Refused, match="ends early"):
        list(masked_frames(sandbox, broken(), plan(), 2))
    assert sandbox.now == 0


def test_closed_early_nothing_is_left_running() -> None:
    sandbox = Here()
    frames = masked_frames(sandbox, stored(1000), plan(), 2)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    calls = sandbox.calls
    time.sleep(0.03)
    assert sandbox.calls == calls and sandbox.now == 0


def test_an_answer_with_a_frame_less_is_held() -> None:
    class Short(Here):
        def call(
            self, target: str, params: Mapping[str, Any], blobs: Sequence[bytes] = ()
        ) -> tuple[dict[str, Any], list[bytes]]:
            return candidate.sandboxed_mask(dict(params), list(blobs)[:-1])

    with pytest.raises(Held):
        list(masked_frames(Short(), stored(16), plan(), 1))


def test_in_real_children() -> None:
    with Sandbox(size=2) as sandbox:
        assert list(masked_frames(sandbox, stored(40), plan(), 2)) == one_by_one(40)
        with pytest.raises(Refused):
            list(masked_frames(sandbox, [b"short"], plan(), 2))
        assert list(masked_frames(sandbox, stored(3), plan(), 2)) == one_by_one(3)
