"""Streams a generated cine to a node's model as a scanner would: latency, dropped frames and memory over a minute."""

import io
import json
import statistics
import tempfile
import threading
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from websockets.sync.client import ClientConnection, connect

from commands.bench import demo_layout
from commands.demo import Running, running
from commands.demo_person import Person
from commands.memory import pss_mb, tree
from core.dicom.display import palette_of, to_rgb
from core.dicom.frames import decode_stored
from core.dicom.part10 import frame_bytes, open_part10
from core.errors import Unavailable
from core.inference import folder as model_folder
from ml.phantom import make_study, to_bytes

FPS: Final = 30
SECONDS: Final = 60
START_SECONDS: Final = 60


@dataclass
class Heard:
    """What came back: (frame, milliseconds from sending to answer, the model's own, dropped so far), and when each was sent."""

    sent: dict[int, float] = field(default_factory=dict)
    answers: list[tuple[int, float, float, int]] = field(default_factory=list)
    errors: int = 0


def stream(run: Path, rounds: int) -> dict[str, Any]:
    """`rounds` minutes at 30 frames a second through the WebSocket of a demo site that runs the model of RUN."""
    with tempfile.TemporaryDirectory() as folder:
        layout = demo_layout(folder)
        with running(layout) as nodes:
            site = layout.sites[0]
            who = Person(site.url, "admin", nodes.papers[site.name]["users"]["admin"])
            put_in_effect(who, run)
            token = nodes.papers[site.name]["tokens"]["admin"]
            frames = cine()
            return {
                "model": str(run.name),
                "fps": FPS,
                "rounds": [_minute(nodes, site.url, token, frames) for _ in range(rounds)],
            }


def put_in_effect(who: Person, run: Path) -> None:
    """Register the folder for livers and accept it, over public HTTP."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, content in model_folder.from_folder(run).items():
            archive.writestr(path, content)
    model = who.call("POST", "/api/v1/models", params={"domain": "liver"}, content=out.getvalue())
    if model["state"] not in {"ACCEPTED", "PROMOTED"}:
        who.call("POST", f"/api/v1/models/{model['id']}/promote")


def cine() -> list[NDArray[np.uint8]]:
    """Frames (rows, columns, 3) of a generated liver with a cyst."""
    content = to_bytes(make_study(44, "liver", "epiq", 0, 30, "LIV-CYST").instances[0])
    source = io.BytesIO(content)
    part10 = open_part10(source, len(content))
    if part10.pixel is None:
        raise Unavailable("The generated cine has no pixels.")
    palette = palette_of(part10.dataset)
    return [
        to_rgb(decode_stored(frame_bytes(source, part10, number), part10.pixel), part10.pixel, palette)
        for number in range(part10.pixel.frames)
    ]


def _minute(nodes: Running, url: str, token: str, frames: list[NDArray[np.uint8]]) -> dict[str, Any]:
    rows, columns = frames[0].shape[:2]
    head = {"Authorization": f"Bearer {token}"}
    heard = Heard()
    with connect(
        url.replace("http", "ws", 1) + "/api/v1/infer/stream", additional_headers=head, max_size=None
    ) as socket:
        socket.send(
            json.dumps({"type": "start", "format": "grey8", "rows": rows, "columns": columns, "domain": "liver"})
        )
        socket.recv()
        contents = [frame[..., 1].tobytes() for frame in frames]
        waited = _first(socket, contents[0])
        before = _memory(nodes)
        listener = threading.Thread(target=_listen, args=(socket, heard), daemon=True)
        listener.start()
        begun = time.monotonic()
        for number in range(FPS * SECONDS):
            time.sleep(max(begun + number / FPS - time.monotonic(), 0))
            heard.sent[waited + number + 1] = time.monotonic()
            socket.send(contents[number % len(contents)])
        time.sleep(2)
        after = _memory(nodes)
    listener.join(5)
    return _figures(heard) | {"site_mb_before": before, "site_mb_after": after, "rows": rows, "columns": columns}


def _first(socket: ClientConnection, content: bytes) -> int:
    """How many frames went until the model answers: its process starts when the first worker sees it."""
    deadline = time.monotonic() + START_SECONDS
    count = 0
    while time.monotonic() < deadline:
        socket.send(content)
        count += 1
        if json.loads(socket.recv())["type"] == "boxes":
            return count
    raise Unavailable("The model does not answer within a minute.")


def _listen(socket: ClientConnection, heard: Heard) -> None:
    for message in socket:
        told = json.loads(message)
        now = time.monotonic()
        if told["type"] != "boxes":
            heard.errors += 1
        elif told["frame"] in heard.sent:
            took = (now - heard.sent[told["frame"]]) * 1000
            heard.answers.append((told["frame"], took, told["ms"], told["dropped"]))


def _figures(heard: Heard) -> dict[str, Any]:
    """Medians and 95 % of the whole, and of the first and the last ten seconds: a latency that grows shows there."""
    took = [one[1] for one in heard.answers]
    early = [one[1] for one in heard.answers if one[0] <= FPS * 10]
    late = [one[1] for one in heard.answers if one[0] > FPS * (SECONDS - 10)]
    return {
        "sent": len(heard.sent), "answered": len(took), "dropped": heard.answers[-1][3] if heard.answers else None,
        "errors": heard.errors, "median_ms": _round(took, 0.5), "p95_ms": _round(took, 0.95),
        "model_p95_ms": _round([one[2] for one in heard.answers], 0.95),
        "median_ms_first_10_s": _round(early, 0.5), "median_ms_last_10_s": _round(late, 0.5),
    }  # fmt: skip


def _round(numbers: list[float], share: float) -> float | None:
    if len(numbers) < 2:
        return None
    return round(statistics.quantiles(numbers, n=100, method="inclusive")[round(share * 100) - 1], 1)


def _memory(nodes: Running) -> float:
    """MB of the site's door and workers with all their children."""
    processes = [process for name, process in nodes.processes.items() if name.startswith("site")]
    return round(sum(pss_mb(pid) for process in processes for pid in tree(process.pid)), 1)
