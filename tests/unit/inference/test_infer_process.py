"""The infer process answers frames, takes up other models while it runs, survives nonsense, and is waited for when killed."""

import json
import math
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import Malformed, Unavailable
from core.inference import wire
from core.inference.client import Client, Pixels
from tests.tiny_models import save_heart, save_pipeline

WIDTHS = [20 + 6 * math.cos(math.pi * (frame - 2) / 4) for frame in range(17)]  # widest on frames 3 and 11, from 1
ROOT = Path(__file__).resolve().parents[3]


class Process:
    """workers.infer as its keeper starts it."""

    def __init__(self, path: Path, wanted: dict[str, Any]) -> None:
        self.path = path
        self.child = subprocess.Popen(
            [sys.executable, "-m", "workers.infer", str(path)], cwd=ROOT, stdin=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.tell(wanted)

    def tell(self, wanted: dict[str, Any]) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(wanted) + "\n")
        self.child.stdin.flush()

    def end(self) -> None:
        self.child.kill()
        if self.child.stdin is not None:
            self.child.stdin.close()
        self.child.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    save_pipeline(made / "one")
    save_pipeline(made / "two", dark=True, version=2)
    return made


@pytest.fixture(scope="module")
def process(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    long = tmp_path_factory.mktemp("x" * 90)  # longer than a socket's address may be
    running = Process(long / "socket", {"liver": {"folder": str(folder / "one"), "id": "1"}})
    yield running
    running.end()


@pytest.fixture
def client(process: Process) -> Iterator[Client]:
    made = Client(process.path, patience_seconds=30)
    yield made
    made.close()


def bright() -> Pixels:
    rgb = np.zeros((64, 128, 3), np.uint8)
    rgb[:, 64:96] = 255
    return Pixels(64, 128, rgb.tobytes())


def test_a_frame_gives_boxes_in_its_own_pixels(client: Client) -> None:
    answer = client.frame(bright(), "liver")
    assert answer["model"] == {"name": "tiny-liver", "version": 1, "id": "1", "threshold": 0.6}
    assert answer["ms"] > 0
    assert [(one["x"], one["width"], one["label"]) for one in answer["boxes"]] == [(64, 32, "non-cyst")] * 2
    assert client.frame(bright(), "liver", 1.0)["boxes"] == client.frame(bright(), "liver", 0.9)["boxes"]
    assert client.status() == {"models": {"liver": answer["model"]}, "troubles": {}}


def test_an_organ_without_a_model_is_told_so(client: Client) -> None:
    with pytest.raises(Unavailable, match="No model is in effect"):
        client.frame(bright(), "breast")


@pytest.mark.parametrize(
    ("rows", "columns", "size"), [(64, 128, 3), (0, 0, 0), (-1, 8, 24), (64, 128, 64 * 128 * 6), (1 << 40, 1 << 40, 3)]
)
def test_a_frame_of_another_size_or_depth_is_refused(client: Client, rows: int, columns: int, size: int) -> None:
    with pytest.raises(Malformed, match="8 bits"):
        client.frame(Pixels(rows, columns, bytes(size)), "liver")
    assert client.frame(bright(), "liver")["boxes"]


def test_a_huge_frame_is_refused(client: Client, process: Process) -> None:
    with pytest.raises(Malformed, match="at most 64 MiB"):
        client.frame(Pixels(1 << 13, 1 << 12, bytes(3 << 25)), "liver")
    with socket.socket(socket.AF_UNIX) as rude, wire.address_of(process.path) as address:
        rude.connect(address)
        rude.sendall(struct.pack(">II", 2, 0xFFFFFFFF) + b"{}")
        assert wire.receive(rude)[0]["error"] == "Malformed"
    assert client.frame(bright(), "liver")["boxes"]


@pytest.mark.parametrize(
    "noise", [b"", b"\xff" * 8, struct.pack(">II", 5, 0) + b"[1,2]", struct.pack(">II", 4, 0) + b"nope", b"\0\0\0"]
)
def test_noise_ends_the_connection_and_nothing_else(client: Client, process: Process, noise: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as rude, wire.address_of(process.path) as address:
        rude.connect(address)
        rude.sendall(noise)
    for head in (
        {"op": "frame"},
        {"op": "frame", "rows": "1", "columns": 1},
        {},
        {"op": "frame", "rows": 1, "columns": 1, "threshold": "x"},
    ):
        with socket.socket(socket.AF_UNIX) as odd, wire.address_of(process.path) as address:
            odd.connect(address)
            wire.send(odd, head, b"abc")
            assert wire.receive(odd)[0]["error"] == "Malformed"
    assert client.frame(bright(), "liver")["boxes"]


def test_only_this_user_can_open_the_socket(process: Process, client: Client) -> None:
    client.frame(bright(), "liver")
    assert process.path.stat().st_mode & 0o777 == 0o600


def test_other_models_take_effect_while_frames_come(folder: Path, tmp_path: Path) -> None:
    running = Process(tmp_path / "socket", {"*": {"folder": str(folder / "one"), "id": "1"}})
    client = Client(running.path, patience_seconds=30)
    seen: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.append(client.frame(bright(), "breast")["model"]["version"])

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for wanted in ({"*": {"folder": str(folder / "two"), "id": "2"}}, {"*": {"folder": str(tmp_path), "id": "3"}}):
            while not seen:
                time.sleep(0.01)
            running.tell(wanted)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and (seen[-1] == 1 and watcher.is_alive()):
                time.sleep(0.01)
            if wanted["*"]["id"] == "2":
                assert seen[0] == 1 and seen[-1] == 2 and seen == sorted(seen)
                stop.set()
                watcher.join(30)
        deadline = time.monotonic() + 20
        while not client.status()["troubles"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert client.status() == {"models": {}, "troubles": {"*": "The folder has no model.json."}}
    finally:
        stop.set()
        watcher.join(30)
        client.close()
        running.end()


def test_a_model_of_the_ventricle_draws_its_border(tmp_path: Path) -> None:
    running = Process(tmp_path / "socket", {"heart": {"folder": str(save_heart(tmp_path / "heart")), "id": "1"}})
    client = Client(running.path, patience_seconds=30)
    try:
        dark = np.full((224, 224, 3), 200, np.uint8)
        assert client.frame(Pixels(224, 224, dark.tobytes()), "heart")["border"] is None
        dark[60:120, 90:130] = 0
        told = client.frame(Pixels(224, 224, dark.tobytes()), "heart")
        assert (told["boxes"], told["model"]["threshold"]) == ([], 0.5)
        xs, ys = zip(*told["border"]["points"], strict=True)
        sides = (min(xs), max(xs), min(ys), max(ys))
        assert len(xs) == 80 and sides == pytest.approx((90, 130, 60, 120), abs=1.5)
        assert told["border"]["score"] == pytest.approx(1, abs=0.01)

        beat = [[[100.0 - w, 100.0], [100 - w, 60], [100, 40], [100 + w, 60], [100.0 + w, 100]] for w in WIDTHS]
        assert client.beats(beat) == {"beats": [[3, 7], [11, 15]], "reason": ""}
        assert client.beats([None] * 9) == {"beats": [], "reason": "The ventricle was not found on enough frames."}
        for odd in ("x", [1], [[]], [[[1, 2, 3]]], [[["a", "b"]]], [[[1, None]]], [[[1, 2], [3]]], [None] * 2001):
            with pytest.raises(Malformed, match="request for beats"):
                client.beats(odd)  # type: ignore[arg-type]
    finally:
        client.close()
        running.end()


def test_a_killed_process_is_waited_for(folder: Path, tmp_path: Path) -> None:
    wanted = {"liver": {"folder": str(folder / "one"), "id": "1"}}
    first = Process(tmp_path / "socket", wanted)
    client = Client(first.path, patience_seconds=30)
    assert client.frame(bright(), "liver")["boxes"]
    first.end()
    second = Process(tmp_path / "socket", wanted)  # over the socket that the dead one left
    try:
        assert client.frame(bright(), "liver")["boxes"]
    finally:
        client.close()
        second.end()
    with pytest.raises(Unavailable, match="does not answer"):
        Client(tmp_path / "socket", patience_seconds=0.1).frame(bright(), "liver")


def test_it_ends_when_its_keeper_does(folder: Path, tmp_path: Path) -> None:
    running = Process(tmp_path / "socket", {})
    assert running.child.stdin is not None
    running.child.stdin.close()
    assert running.child.wait(30) == 0
