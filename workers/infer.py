"""The `infer` process of a node: holds the models in effect and says what is on frames, over a local socket.

`python -m workers.infer SOCKET`. On stdin the keeper (`workers.infer_keeper`) sends a JSON line whenever other models take
effect: {domain: {folder, id}}; when stdin closes, the process ends. It knows no database, no store and no key."""

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from core import logs
from core.inference import wire
from core.inference.client import LARGE_FRAME, NO_MODEL
from ml import model_file
from ml.heart import Heart
from ml.images import Rgb
from ml.model_file import BadModel
from ml.runtime import PIPELINE_FILE, Pipeline
from ml.tracking import Settings
from workers.infer_beats import beats_of
from workers.infer_follow import Followed, is_follow, told_of

log = logging.getLogger("workers.infer")  # as a script it would be called __main__
MOST_CONNECTIONS: Final = 64
ODD_FRAME: Final = "A frame must come as rows x columns x 3 samples (RGB) of 8 bits: its size is another one."
ODD_REQUEST: Final = "The request for a frame is not well formed."
ANY: Final = "*"


@dataclass(frozen=True)
class Loaded:
    """A model that is ready, and which row of the registry it is."""

    runs: Pipeline | Heart
    id: str

    @classmethod
    def open(cls, folder: Path, id: str) -> "Loaded":
        """A folder with pipeline.json, of a lone detector, or of a model that draws the ventricle. Raises BadModel."""
        is_heart = not (folder / PIPELINE_FILE).is_file() and model_file.load(folder).task == "echo"
        return cls(Heart.open(folder) if is_heart else Pipeline.open(folder), id)

    @property
    def threshold(self) -> float:
        one = self.runs
        return one.detector.spec.threshold if isinstance(one, Pipeline) else one.model.spec.threshold

    @property
    def told(self) -> dict[str, Any]:
        """For a door: the threshold is the one that its person has not moved yet."""
        one = self.runs if isinstance(self.runs, Pipeline) else self.runs.model.spec
        return {"name": one.name, "version": one.version, "id": self.id, "threshold": self.threshold}

    def frame(self, rgb: Rgb, given: Settings, follow: Mapping[str, Any] | None, followed: Followed) -> dict[str, Any]:
        """What is on a frame, as `core.inference.client.Client.frame` tells it. Raises ValueError."""
        if isinstance(self.runs, Heart):
            border = self.runs.border(rgb, given.sure)
            drawn = {"points": border.contour.round(2).tolist(), "score": round(border.score, 6)} if border else None
            return {"boxes": [], "border": drawn} | ({"lesions": []} if follow else {})
        if not follow:
            return {"boxes": [asdict(one) for one in self.runs.frame(rgb, given.sure)]}
        tracker = followed.tracker(str(follow["key"]), self.id, given)
        found = self.runs.frame(rgb, given.faint, turn=tracker.frames)
        lesions = [told_of(one) for one in tracker.frame(found, int(follow["passed"]))]
        return {"boxes": [asdict(one) for one in found if one.score >= given.sure], "lesions": lesions}


class Models:
    """The models by organ domain; others can be taken up while frames are looked at."""

    def __init__(self) -> None:
        self._loaded: dict[str, Loaded] = {}
        self._troubles: dict[str, str] = {}
        self._followed = Followed()
        self._busy = threading.Lock()  # one core: frames of all streams one after the other

    def take_up(self, wanted: Mapping[str, Mapping[str, str]]) -> None:
        """Load what is wanted and not there yet; a model that cannot be loaded leaves none in its place, and says why."""
        loaded: dict[str, Loaded] = {}
        troubles: dict[str, str] = {}
        for domain, one in wanted.items():
            known = self._loaded.get(domain)
            try:
                is_known = known is not None and known.id == one["id"]
                loaded[domain] = known if is_known and known else Loaded.open(Path(one["folder"]), one["id"])
                log.info("model %s takes effect for %s", one["id"], domain)
            except BadModel as trouble:
                troubles[domain] = str(trouble)
                log.warning("the model for %s cannot be loaded: %s", domain, trouble)
        self._loaded, self._troubles = loaded, troubles

    def status(self) -> dict[str, Any]:
        models = {domain: one.told for domain, one in self._loaded.items()}
        return {"models": models, "troubles": self._troubles}

    def look(self, head: Mapping[str, Any], body: bytearray) -> dict[str, Any]:
        """The answer to a frame, or {error, message}."""
        rows, columns, threshold, follow = (head.get(name) for name in ("rows", "columns", "threshold", "follow"))
        if not isinstance(rows, int) or not isinstance(columns, int):
            return {"error": "Malformed", "message": ODD_REQUEST}
        if not _is_threshold(threshold) or not is_follow(follow):
            return {"error": "Malformed", "message": ODD_REQUEST}
        if rows < 1 or columns < 1 or rows * columns * 3 != len(body):
            return {"error": "Malformed", "message": ODD_FRAME}
        model = self._loaded.get(str(head.get("domain"))) or self._loaded.get(ANY)
        if model is None:
            return {"error": "Unavailable", "message": NO_MODEL}
        given = Settings.of(model.threshold if threshold is None else threshold)
        with self._busy:
            begun = time.perf_counter()
            try:
                told = model.frame(
                    np.frombuffer(body, np.uint8).reshape(rows, columns, 3), given, follow, self._followed
                )
            except ValueError as trouble:
                return {"error": "Malformed", "message": str(trouble)}
            ms = (time.perf_counter() - begun) * 1000
        return told | {"ms": round(ms, 2), "model": model.told}

    def answer(self, head: Mapping[str, Any], body: bytearray) -> dict[str, Any]:
        """To any request; one that names nothing else is for a frame."""
        if head.get("op") == "status":
            return self.status()
        return beats_of(head.get("borders")) if head.get("op") == "beats" else self.look(head, body)


def _is_threshold(given: object) -> bool:
    return given is None or (isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 1)


def serve(listener: socket.socket, models: Models) -> None:
    """Answer every connection in a thread of its own, until the process ends."""
    seats = threading.BoundedSemaphore(MOST_CONNECTIONS)
    while True:
        connection, _ = listener.accept()
        seats.acquire()
        threading.Thread(target=_answer, args=(connection, models, seats), daemon=True).start()


def _answer(connection: socket.socket, models: Models, seats: threading.BoundedSemaphore) -> None:
    try:
        while True:
            head, body = wire.receive(connection)
            wire.send(connection, models.answer(head, body))
    except wire.TooLarge:
        with contextlib.suppress(wire.WireBroken):  # the connection ends: what follows is the rest of that frame
            wire.send(connection, {"error": "Malformed", "message": LARGE_FRAME})
    except wire.WireBroken:
        pass
    finally:
        connection.close()
        seats.release()


def listen(path: Path) -> socket.socket:
    """A socket that only this user can open; one that a killed process left behind makes way."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with wire.address_of(path) as address:
            listener.bind(address)
    finally:
        os.umask(mask)
    listener.listen(MOST_CONNECTIONS)
    return listener


def main() -> None:
    """Serve until stdin closes."""
    logs.configure("INFO")
    models = Models()
    # The first line comes before anybody is answered: a node that has a model never says that it has none.
    first = sys.stdin.readline()
    if not first:
        return
    models.take_up(json.loads(first))
    threading.Thread(target=serve, args=(listen(Path(sys.argv[1])), models), daemon=True).start()
    for line in sys.stdin:
        models.take_up(json.loads(line))


if __name__ == "__main__":
    main()
