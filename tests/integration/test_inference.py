"""Frames in, boxes out: pictures, DICOM and live streams against a real infer process; what is wrong is said, nothing falls."""

import io
import json
import os
import signal
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from httpx2 import Response
from numpy.typing import NDArray
from PIL import Image
from sqlmodel import select
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from api.routes import infer_stream
from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.models.people import Role
from core.permissions import SYSTEM
from core.security import session_cookie_name
from core.services import accounts
from ml.phantom import make_study, to_bytes
from tests.modelled import boxes, kept, put_in_effect, zipped
from tests.nodes import until
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from tests.tiny_models import bright_cells, save, save_pipeline
from workers.infer_keeper import Keeper

STREAM = "/api/v1/infer/stream"
Rgb = NDArray[np.uint8]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_pipeline(folder / "one")
    save_pipeline(folder / "two", dark=True, version=2)
    return folder


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, models: Path) -> Iterator[tuple[Served, Keeper]]:
    with serve(postgres, "site") as served:
        served.person("pi", [(Role.SITEPI, "*"), (Role.SITEIT, "*")])
        served.person("curator", [(Role.CUR, "*")])
        served.person("breast", [(Role.CUR, "breast")])
        served.person("clerk", [(Role.PTDESK, "*")])
        put_in_effect(served, models / "one", "pi")
        with kept(served) as keeper:
            served.node.inference._patience = 60
            yield served, keeper


@pytest.fixture
def served(site: tuple[Served, Keeper]) -> Served:
    return site[0]


def picture(rows: int = 64, columns: int = 128) -> Rgb:
    """Black with one bright square of half the rows, on the grid of the tiny detector."""
    rgb = np.zeros((rows, columns, 3), np.uint8)
    rgb[: rows // 2, columns // 2 : columns // 2 + rows // 2] = 255
    return rgb


def coded(rgb: Rgb, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, kind, quality=95)
    return out.getvalue()


def post(served: Served, content: bytes, who: str = "curator", coco: bool = False, **params: Any) -> Response:
    path = "/api/v1/infer/coco" if coco else "/api/v1/infer"
    return served.client.post(path, content=content, headers=served.bearer(who), params={"domain": "liver"} | params)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_gives_boxes_and_says_who_said_so(served: Served, kind: str) -> None:
    answer = post(served, coded(picture(), kind)).json()
    assert answer["notice"] == "research use" and answer["model"]["name"] == "tiny-liver"
    (frame,) = answer["frames"]
    assert boxes(frame) == [(64, 0, 32, 32)] and frame["boxes"][0]["label"] == "non-cyst"
    assert (frame["frame"], frame["rows"], frame["columns"]) == (1, 64, 128)
    with reading(served.node.engine) as session:
        event = session.exec(select(AuditEvent).where(AuditEvent.verb == "infer.file")).first()
    assert event is not None and event.detail == {"frames": 1, "found": 1} and event.actor == "curator"


def test_a_cine_gives_boxes_a_frame_and_coco(served: Served) -> None:
    cine = to_bytes(
        next(i for i in make_study(44, "liver", "epiq", 1, 6, "LIV-CYST").instances if "NumberOfFrames" in i.dataset)
    )
    answer = post(served, cine, first=2, last=4, threshold=0.1).json()
    assert [one["frame"] for one in answer["frames"]] == [2, 3, 4]
    coco = post(served, cine, coco=True, threshold=0.1, last=2).json()
    assert [one["id"] for one in coco["images"]] == [1, 2] and coco["info"]["description"] == "research use"
    assert {one["name"] for one in coco["categories"]} == {"cyst", "non-cyst"}
    found = [box for one in post(served, cine, threshold=0.1, last=2).json()["frames"] for box in one["boxes"]]
    assert found and [one["score"] for one in coco["annotations"]] == [one["score"] for one in found]
    assert post(served, cine, first=99).status_code == 422


def deep_png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(out, "PNG")
    return out.getvalue()


def huge_png() -> bytes:
    """30000 x 30000 by its header, a few bytes in truth."""
    good = bytearray(coded(picture()))
    good[16:24] = (30000).to_bytes(4, "big") * 2
    good[29:33] = zlib.crc32(bytes(good[12:29])).to_bytes(4, "big")
    return bytes(good)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "Send a PNG"),
        (b"GIF89a" + bytes(100), "PNG or JPEG"),
        (coded(picture())[:60], "PNG or JPEG"),
        (coded(picture(), "JPEG")[:200], "PNG or JPEG"),
        (deep_png(), "8 bits"),
        (huge_png(), "at most 64 MiB"),
        (bytes(128) + b"DICM" + bytes(50), ""),
    ],
)
def test_what_is_no_frame_is_refused_in_words(served: Served, content: bytes, sentence: str) -> None:
    answer = post(served, content)
    assert answer.status_code == 422 and sentence in answer.json()["detail"]
    assert post(served, coded(picture())).status_code == 200


def test_each_organ_has_its_model_and_its_people(served: Served) -> None:
    assert post(served, coded(picture()), domain="breast").status_code == 503
    assert post(served, coded(picture()), who="breast").status_code == 403
    assert post(served, coded(picture()), who="clerk").status_code == 403
    assert served.client.post("/api/v1/infer", content=b"x").status_code == 401


# Streams


def start(kind: str = "png", **more: Any) -> str:
    return json.dumps({"type": "start", "format": kind, "domain": "liver"} | more)


@pytest.mark.parametrize(
    ("kind", "rows", "columns"), [("png", 64, 64), ("jpeg", 480, 640), ("rgb8", 300, 400), ("grey8", 128, 256)]
)
def test_a_stream_takes_each_format(served: Served, kind: str, rows: int, columns: int) -> None:
    rgb = picture(rows, columns)
    frame = {"rgb8": rgb.tobytes(), "grey8": rgb[..., 0].tobytes()}.get(kind) or coded(rgb, kind.upper())
    with served.client.websocket_connect(STREAM, headers=served.bearer("curator")) as socket:
        socket.send_text(start(kind, rows=rows, columns=columns))
        ready = socket.receive_json()
        assert ready["type"] == "ready" and ready["models"]["liver"]["name"] == "tiny-liver"
        for number in (1, 2):
            socket.send_bytes(frame)
            answer = socket.receive_json()
            assert (answer["type"], answer["frame"], answer["dropped"]) == ("boxes", number, 0)
            assert answer["boxes"] and answer["notice"] == "research use" and answer["total_ms"] >= answer["ms"] > 0
            assert (answer["rows"], answer["columns"], answer["model"]["version"]) == (rows, columns, 1)


def test_lesions_are_followed_until_a_stream_begins_anew(served: Served) -> None:
    rgb = picture(300, 400)
    with served.client.websocket_connect(STREAM, headers=served.bearer("curator")) as socket:
        begin = start("rgb8", rows=300, columns=400, follow=True)
        socket.send_text(begin)
        socket.receive_json()
        told = []
        for number in range(8):
            if number == 4:
                socket.send_text(begin)
            socket.send_bytes(rgb.tobytes())
            told.append(socket.receive_json())
    assert [len(one["boxes"]) for one in told] == [1] * 8
    assert [[lesion["number"] for lesion in one["lesions"]] for one in told] == [[], [], [1], [1], [], [], [1], [1]]
    for one in (told[3], told[7]):
        (box,), (lesion,) = one["boxes"], one["lesions"]
        assert abs(box["x"] - lesion["x"]) < 6 and lesion["label"] == box["label"] and lesion["seen"]
        assert 0 < lesion["score"] <= 1 and lesion["age"] == 3
    with served.client.websocket_connect(STREAM, headers=served.bearer("curator")) as socket:
        socket.send_text(start("rgb8", rows=300, columns=400))
        socket.receive_json()
        socket.send_bytes(rgb.tobytes())
        assert "lesions" not in socket.receive_json()


class Device(threading.Thread):
    """A maker's device: frames of its own size at its own rate, and what came back."""

    def __init__(
        self, client: TestClient, headers: dict[str, str], size: tuple[int, int], fps: int, count: int
    ) -> None:
        super().__init__()
        self._client, self._headers, self._size, self._fps, self._count = client, headers, size, fps, count
        self.answers: list[dict[str, Any]] = []

    def run(self) -> None:
        rows, columns = self._size
        frame = picture(rows, columns).tobytes()
        with self._client.websocket_connect(STREAM, headers=self._headers) as socket:
            socket.send_text(start("rgb8", rows=rows, columns=columns))
            assert socket.receive_json()["type"] == "ready"
            for _ in range(self._count):
                socket.send_bytes(frame)
                time.sleep(1 / self._fps)
            while not self.answers or self.answers[-1]["frame"] < self._count:  # the newest is always looked at
                self.answers.append(socket.receive_json())


def test_three_devices_of_different_sizes_and_rates(served: Served) -> None:
    plans = [((480, 640), 30, 30), ((768, 1024), 15, 15), ((320, 320), 60, 60)]
    devices = [Device(served.client, served.bearer("curator"), *plan) for plan in plans]
    for device in devices:
        device.start()
    for device, ((rows, columns), _, count) in zip(devices, plans, strict=True):
        device.join(120)
        numbers = [one["frame"] for one in device.answers]
        assert numbers == sorted(set(numbers)) and numbers[-1] == count
        assert len(numbers) + device.answers[-1]["dropped"] == count
        assert all((one["rows"], one["columns"]) == (rows, columns) for one in device.answers)
        assert {one["type"] for one in device.answers} == {"boxes"}


def test_the_newest_frame_wins_and_the_dropped_are_counted(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = infer_stream.inference.look

    def slow(*given: Any, **more: Any) -> Any:
        time.sleep(0.5)
        return looks(*given, **more)

    monkeypatch.setattr(infer_stream.inference, "look", slow)
    with served.client.websocket_connect(STREAM, headers=served.bearer("curator")) as socket:
        socket.send_text(start("grey8", rows=8, columns=8))
        socket.receive_json()
        for _ in range(10):
            socket.send_bytes(bytes(64))
            time.sleep(0.01)
        first, second = socket.receive_json(), socket.receive_json()
    assert (first["frame"], second["frame"], second["dropped"]) == (1, 10, 8)


def test_wrong_frames_are_told_and_the_stream_goes_on(served: Served) -> None:
    wrong = [b"", b"no picture", coded(picture())[:50], deep_png(), huge_png(), bytes(infer_stream.LARGEST_FRAME + 1)]
    with served.client.websocket_connect(STREAM, headers=served.bearer("curator")) as socket:
        socket.send_text(start())
        socket.receive_json()
        for number, content in enumerate(wrong, 1):
            socket.send_bytes(content)
            answer = socket.receive_json()
            assert (answer["type"], answer["frame"], answer["status"]) == ("error", number, 422)
            assert answer["message"].endswith(".") and answer["notice"] == "research use"
        socket.send_text(start("rgb8", rows=100, columns=100))
        for content in (bytes(30_001), bytes(60_000)):  # another size; 16 bits
            socket.send_bytes(content)
            assert "another size" in socket.receive_json()["message"]
        socket.send_bytes(bytes(30_000))
        assert socket.receive_json()["type"] == "boxes"


def refused(served: Served, first: str | None, **connect: Any) -> tuple[str, int]:
    """(what is said, the code of the close)."""
    said = ""
    with pytest.raises(WebSocketDisconnect) as closed, served.client.websocket_connect(STREAM, **connect) as socket:
        if first is not None:
            socket.send_text(first)
        said = socket.receive_json()["message"]
        socket.receive_json()
    return said, closed.value.code


def test_who_may_not_is_told_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(served, start())[1] == infer_stream.NOT_SIGNED_IN
    assert refused(served, start(token="x" * 43))[1] == infer_stream.NOT_SIGNED_IN
    assert refused(served, start(), headers=served.bearer("clerk"))[1] == infer_stream.FORBIDDEN
    assert refused(served, start(), headers=served.bearer("curator", ["cases:read"]))[1] == infer_stream.FORBIDDEN
    assert refused(served, start(), headers=served.bearer("breast"))[1] == infer_stream.FORBIDDEN
    for first in (
        "nonsense",
        "{}",
        start("rgb8"),
        start("rgb8", rows=-1, columns=3),
        start("avi"),
        start(domain="../x"),
    ):
        said, code = refused(served, first, headers=served.bearer("curator"))
        assert code == infer_stream.POLICY and said
    monkeypatch.setattr(infer_stream, "FIRST_WORD_SECONDS", 0.05)
    assert "within 2 seconds" in refused(served, None, headers=served.bearer("curator"))[0]


def test_a_token_may_come_in_the_first_message(served: Served) -> None:
    with served.client.websocket_connect(STREAM) as socket:
        socket.send_text(start(token=served.token("curator")))
        assert socket.receive_json()["type"] == "ready"


def test_a_browser_needs_its_session_and_this_origin(served: Served) -> None:
    cookie = {"Cookie": f"{session_cookie_name(served.settings)}={served.cookie('curator')}"}
    own = served.settings.base_url
    with served.client.websocket_connect(STREAM, headers=cookie | {"Origin": own}) as socket:
        socket.send_text(start())
        assert socket.receive_json()["type"] == "ready"
    assert refused(served, start(), headers=cookie)[1] == infer_stream.NOT_SIGNED_IN
    for origin in ("http://evil.example", "null", own + "0"):
        for head in (cookie, served.bearer("curator")):
            with (
                pytest.raises(WebSocketDisconnect),
                served.client.websocket_connect(STREAM, headers=head | {"Origin": origin}),
            ):
                pass


def test_a_token_that_is_revoked_sends_no_more(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer_stream, "CHECK_SECONDS", 0.2)
    served.person("leaver", [(Role.CUR, "*")])
    with served.client.websocket_connect(STREAM, headers=served.bearer("leaver")) as socket:
        socket.send_text(start())
        assert socket.receive_json()["type"] == "ready"
        with transaction(served.node.engine, "test.leave") as session:
            accounts.disable_user(session, SYSTEM, served.people["leaver"].id)
        assert socket.receive_json()["type"] == "error"
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == infer_stream.NOT_SIGNED_IN


def test_streams_are_few(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer_stream, "MOST_STREAMS", 0)
    assert refused(served, None, headers=served.bearer("curator"))[1] == infer_stream.TRY_LATER


# The model's life


def test_a_killed_process_comes_back_and_a_stream_goes_on(site: tuple[Served, Keeper]) -> None:
    served, keeper = site
    with served.client.websocket_connect(STREAM, headers=served.bearer("curator")) as socket:
        socket.send_text(start("grey8", rows=64, columns=64))
        socket.receive_json()
        socket.send_bytes(bytes(4096))
        assert socket.receive_json()["type"] == "boxes"
        process = keeper._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        socket.send_bytes(bytes(4096))
        assert socket.receive_json()["type"] == "boxes"
    assert keeper._process is not None and keeper._process.pid != process.pid


def test_another_version_takes_effect_without_a_restart_and_rolls_back(
    site: tuple[Served, Keeper], models: Path
) -> None:
    served, keeper = site
    assert keeper._process is not None
    pid, head = keeper._process.pid, served.bearer("pi")
    sent = served.client.post(
        "/api/v1/models", params={"domain": "liver"}, content=zipped(models / "two"), headers=head
    )
    assert (sent.status_code, sent.json()["state"], sent.json()["version"]) == (201, "REGISTERED", 2)
    second = sent.json()["id"]
    assert (
        served.client.post(
            "/api/v1/models", params={"domain": "liver"}, content=zipped(models / "two"), headers=head
        ).json()["id"]
        == second
    )
    assert version(served) == 1
    for who, status in (("curator", 403), ("pi", 200)):
        answer = served.client.post(f"/api/v1/models/{second}/promote", headers=served.bearer(who))
        assert answer.status_code == status
    assert answer.json()["state"] == "ACCEPTED"
    until(lambda: version(served) == 2 or None, "the second version")
    listed = {one["version"]: one for one in served.client.get("/api/v1/models", headers=head).json()}
    assert (listed[1]["state"], listed[2]["state"]) == ("RETIRED", "ACCEPTED")
    back = served.client.post(f"/api/v1/models/{listed[1]['id']}/promote", headers=head)
    assert back.json()["state"] == "ACCEPTED"
    until(lambda: version(served) == 1 or None, "the first version again")
    assert keeper._process.pid == pid
    assert served.client.post(f"/api/v1/models/{listed[1]['id']}/promote", headers=head).status_code == 409


def offer(served: Served, content: bytes, domain: str = "liver") -> Response:
    head = served.bearer("pi")
    return served.client.post("/api/v1/models", params={"domain": domain}, content=content, headers=head)


def version(served: Served) -> int:
    return int(post(served, coded(picture())).json()["model"]["version"])


def test_a_model_of_another_organ_does_not_exist(served: Served) -> None:
    served.person("elsewhere", [(Role.SITEPI, "breast"), (Role.SITEIT, "breast")])
    head = served.bearer("elsewhere")
    theirs = served.client.get("/api/v1/models", headers=served.bearer("pi")).json()[0]["id"]
    assert served.client.get("/api/v1/models", headers=head).json() == []
    for step in ("promote", "retire"):
        answers = [served.client.post(f"/api/v1/models/{one}/{step}", headers=head) for one in (theirs, str(uuid4()))]
        assert [one.status_code for one in answers] == [404, 404] and answers[0].content == answers[1].content
    sent = served.client.post("/api/v1/models", params={"domain": "liver"}, content=b"x", headers=head)
    assert sent.status_code == 403


def test_what_is_no_model_is_not_registered(served: Served, tmp_path: Path, models: Path) -> None:
    assert offer(served, b"no zip").status_code == 422
    assert "model.json" in offer(served, zipped(tmp_path)).json()["detail"]
    folder = save(tmp_path / "m", bright_cells(64, 16), side=64, task="detect", decode="fcos", classes=["a"])
    (folder / "model.onnx").write_bytes(b"other")
    assert "not the one" in offer(served, zipped(folder)).json()["detail"]
    other = save_pipeline(tmp_path / "other", cell=32)
    assert offer(served, zipped(other)).status_code == 409
    assert offer(served, zipped(models / "one"), "nowhere").status_code == 422
    evil = io.BytesIO()
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("../model.json", "{}")
    assert offer(served, evil.getvalue()).status_code == 422
