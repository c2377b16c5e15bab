"""Asks the `infer` process of this node what is on a frame; a process that was killed is waited for while it starts again."""

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import AppError, Malformed, Unavailable
from core.inference import wire

RESEARCH: Final = "research use"
NO_MODEL: Final = "No model is in effect for this organ: somebody must accept one first."
NOT_RUNNING: Final = "The model does not answer: the worker of this node may be down."
LARGE_FRAME: Final = "A frame may have at most 64 MiB of pixels."
ANSWER_SECONDS: Final = 20.0
_ERRORS: Final[Mapping[str, type[AppError]]] = {"Malformed": Malformed}


@dataclass(frozen=True)
class Pixels:
    """A decoded frame: `data` is rows x columns x RGB, 8 bits each, row by row."""

    rows: int
    columns: int
    data: bytes


@dataclass(frozen=True)
class Follow:
    """Lesions are followed from frame to frame under this key; `passed` frames after the one before (1: the next)."""

    key: str
    passed: int = 1


class Client:
    """Safe to share between threads: each call has a connection of its own, kept for the next."""

    def __init__(self, path: Path, patience_seconds: float = 8.0) -> None:
        self._path, self._patience = path, patience_seconds
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()

    def frame(
        self, pixels: Pixels, domain: str, threshold: float | None = None, follow: Follow | None = None
    ) -> dict[str, Any]:
        """`boxes` [{x, y, width, height, label, score, probabilities}], `ms` of the model, `model` {name, version, id}.

        With `follow` also `lesions` [{number, x, y, width, height, label, score, probabilities, age, seen}] of that stream.
        A model of the task echo finds no box but the ventricle: `border` {points [[x, y], ...], score} or None. All in
        pixels of the frame. Raises Malformed for a frame that cannot be looked at, Unavailable where no model is in
        effect or none answers."""
        if len(pixels.data) > wire.MOST_BODY:
            raise Malformed(LARGE_FRAME)
        head = {"op": "frame", "rows": pixels.rows, "columns": pixels.columns, "domain": domain, "threshold": threshold}
        if follow is not None:
            head["follow"] = {"key": follow.key, "passed": follow.passed}
        return self._told(self._ask(head, pixels.data, self._patience))

    def beats(self, borders: Sequence[Sequence[Sequence[float]] | None]) -> dict[str, Any]:
        """The beats of a cine by the `points` of the ventricle on each of its frames, None where there is none.

        `beats` [[end diastole, end systole], ...], frames from 1; `reason` why there are none. Raises Unavailable."""
        return self._told(self._ask({"op": "beats", "borders": borders}, b"", self._patience))

    def status(self) -> dict[str, Any]:
        """`models` {domain: {name, version, id}} that are loaded and `troubles` {domain: sentence}; neither when it is down."""
        try:
            return self._ask({"op": "status"}, b"", 0)
        except Unavailable:
            return {"models": {}, "troubles": {}}

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _ask(self, head: dict[str, Any], body: bytes, patience: float) -> dict[str, Any]:
        deadline = time.monotonic() + patience
        while True:
            connection = self._take()
            try:
                if connection is None:
                    connection = self._connect()
                wire.send(connection, head, body)
                answer, _ = wire.receive(connection)
            except (wire.WireBroken, OSError):
                if connection is not None:
                    connection.close()
                if time.monotonic() >= deadline and not self._idle:
                    raise Unavailable(NOT_RUNNING) from None
                time.sleep(0.05)
                continue
            with self._lock:
                self._idle.append(connection)
            return answer

    def _take(self) -> socket.socket | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_SECONDS)
        try:
            with wire.address_of(self._path) as address:
                connection.connect(address)
        except OSError:
            with suppress(OSError):
                connection.close()
            raise
        return connection

    def _told(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "error" in answer:
            raise _ERRORS.get(str(answer["error"]), Unavailable)(str(answer.get("message") or NOT_RUNNING))
        return answer
