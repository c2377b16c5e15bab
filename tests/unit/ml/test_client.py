"""The dataset client against a real HTTP server that is slow of mind, breaks off, lies or redirects."""

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ml import client
from ml.client import PullFailed, Sonobank
from ml.manifest import File, Manifest, load, to_json, verify, version_hash

TOKEN = "t0ken"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Central:
    """What the server holds and how it misbehaves: `faults` maps a request's number to what goes wrong with it."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[int, dict[str, Any]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.faults: dict[int, str] = {}
        self.ranges = True
        self.lock = threading.Lock()

    def freeze(self, version: int, images: list[bytes], card: bytes = b"# card\n") -> Manifest:
        coco = json.dumps({"images": [{"site": "s", "patient": "p", "file_name": f"{sha(i)}.png"} for i in images]})
        parts = [("coco/train.json", coco.encode(), "coco"), ("CARD.md", card, "card")]
        parts += [(f"images/{sha(i)}.png", i, "image") for i in images]
        files = tuple(File(path, sha(data), len(data), kind) for path, data, kind in parts)
        self.blobs |= {sha(data): data for _, data, _ in parts}
        manifest = Manifest("liver", version, version_hash(files), files)
        self.manifests[version] = json.loads(to_json(manifest))
        return manifest


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    central: Central

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        central = self.central
        with central.lock:
            central.requests.append((self.path, self.headers.get("Range")))
            fault = central.faults.pop(len(central.requests), "")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, b"{}")
        if fault.isdigit():
            return self.answer(int(fault), b"no", {"Location": "http://127.0.0.1:9/"})
        if fault == "hang up":
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        return self.route(fault)

    def route(self, fault: str) -> None:
        head = "/api/v1/datasets/liver/versions/"
        rest = self.path.removeprefix(head).split("/")
        versions = self.central.manifests
        number = max(versions) if rest[0] == "latest" else int(rest[0]) if rest[0].isdigit() else -1
        if not self.path.startswith(head) or number not in versions:
            return self.answer(404, b"{}")
        if len(rest) == 1:
            info = {k: versions[number][k] for k in ("name", "version", "hash")} | {"counts": {"images": 1}}
            return self.answer(200, json.dumps(info).encode())
        if rest[1] == "manifest":
            return self.answer(200, json.dumps(versions[number]).encode())
        return self.blob(self.central.blobs[rest[2]], fault)

    def blob(self, data: bytes, fault: str) -> None:
        start = 0
        asked = self.headers.get("Range")
        headers = {}
        if asked and self.central.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        body = data[start:]
        if fault == "damage":
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault == "wrong range":
            headers["Content-Range"] = f"bytes 0-{len(data) - 1}/{len(data)}"
        self.answer(206 if start else 200, body, headers, len(body) // 2 if fault == "cut" else None)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, stop: int | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:stop])
        if stop is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet: half of the tests break connections on purpose."""


@pytest.fixture
def central() -> Iterator[Central]:
    central = Central()
    handler = type("OwnHandler", (Handler,), {"central": central})
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    central.url = f"http://127.0.0.1:{server.server_address[1]}"  # type: ignore[attr-defined]
    yield central
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.001)


def liver(central: Central, version: int | None = None, token: str = TOKEN) -> client.Dataset:
    return Sonobank(central.url, token).dataset("liver", version)  # type: ignore[attr-defined]


IMAGES = [bytes([n]) * (700_000 + n) for n in range(6)]


def test_pull_fetches_a_whole_right_dataset(central: Central, tmp_path: Path) -> None:
    manifest = central.freeze(3, IMAGES)
    pulled = liver(central).pull(tmp_path / "data")
    assert (pulled.name, pulled.version, pulled.hash) == ("liver", 3, manifest.hash)
    assert (pulled.files, pulled.fetched, pulled.kept) == (8, 8, 0)
    assert pulled.bytes_fetched == sum(f.size for f in manifest.files)
    assert verify(tmp_path / "data") == []
    assert load(tmp_path / "data").hash == manifest.hash
    assert not list(tmp_path.rglob("*.part"))


def test_a_second_pull_fetches_nothing_and_mends_what_was_damaged(central: Central, tmp_path: Path) -> None:
    central.freeze(1, IMAGES)
    liver(central, 1).pull(tmp_path)
    assert liver(central, 1).pull(tmp_path).fetched == 0
    (tmp_path / "images" / f"{sha(IMAGES[2])}.png").write_bytes(b"spoiled")
    again = liver(central, 1).pull(tmp_path)
    assert (again.fetched, again.kept) == (1, 7) and verify(tmp_path) == []


def test_it_goes_on_where_it_stopped(central: Central, tmp_path: Path) -> None:
    central.freeze(1, IMAGES[:1])
    images = tmp_path / "images"
    images.mkdir()
    (images / f"{sha(IMAGES[0])}.png.part").write_bytes(IMAGES[0][:400_000])
    pulled = liver(central).pull(tmp_path)
    assert "bytes=400000-" in [asked for _, asked in central.requests]
    assert pulled.bytes_fetched < 400_000 and verify(tmp_path) == []


@pytest.mark.parametrize("part", [IMAGES[1][:500_000], IMAGES[0] + b"x", b"", IMAGES[0], IMAGES[1][: len(IMAGES[0])]])
def test_a_useless_partial_file_does_no_harm(central: Central, tmp_path: Path, part: bytes) -> None:
    central.freeze(1, IMAGES[:1])
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"{sha(IMAGES[0])}.png.part").write_bytes(part)
    liver(central).pull(tmp_path)
    assert verify(tmp_path) == []


@pytest.mark.parametrize("fault", ["500", "503", "429", "hang up", "cut", "damage", "wrong range"])
@pytest.mark.parametrize("ranges", [True, False])
def test_passing_faults_are_survived(central: Central, tmp_path: Path, fault: str, ranges: bool) -> None:
    central.freeze(1, IMAGES)
    central.ranges = ranges
    first = 1 if fault.isdigit() or fault == "hang up" else 3
    central.faults = dict.fromkeys(range(first, 12, 2), fault)
    liver(central).pull(tmp_path)
    assert verify(tmp_path) == []


def test_a_server_that_stays_ill_is_given_up(central: Central, tmp_path: Path) -> None:
    central.freeze(1, IMAGES[:1])
    central.faults = dict.fromkeys(range(3, 500), "500")
    with pytest.raises(PullFailed, match="Gave up"):
        liver(central).pull(tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    assert len(central.requests) < 40


def test_bytes_that_never_fit_are_given_up(central: Central, tmp_path: Path) -> None:
    central.freeze(1, IMAGES[:1])
    central.blobs[sha(IMAGES[0])] = b"z" * len(IMAGES[0])
    with pytest.raises(PullFailed, match="damaged"):
        liver(central).pull(tmp_path)
    assert not (tmp_path / "images" / f"{sha(IMAGES[0])}.png").exists()


@pytest.mark.parametrize(
    ("fault", "words"), [("401", "401"), ("403", "403"), ("404", "404"), ("302", "redirects"), ("400", "400")]
)
def test_lasting_refusals_say_what_is_wrong_at_once(central: Central, tmp_path: Path, fault: str, words: str) -> None:
    central.freeze(1, IMAGES[:1])
    central.faults = {1: fault}
    with pytest.raises(PullFailed, match=words):
        liver(central).pull(tmp_path)
    assert len(central.requests) == 1


def test_a_wrong_token_and_an_unknown_version(central: Central, tmp_path: Path) -> None:
    central.freeze(1, IMAGES[:1])
    with pytest.raises(PullFailed, match="401"):
        liver(central, token="other").pull(tmp_path)
    with pytest.raises(PullFailed, match="404"):
        liver(central, 7).pull(tmp_path)


@pytest.mark.parametrize(
    "path", ["../evil", "/etc/evil", "images/../../evil", "images/x.png", "C:\\evil", "coco/train.json\n"]
)
def test_a_manifest_cannot_write_outside_the_folder(central: Central, tmp_path: Path, path: str) -> None:
    central.freeze(1, IMAGES[:1])
    files = [*central.manifests[1]["files"], {"path": path, "sha256": sha(b"evil"), "size": 4, "kind": "card"}]
    told = version_hash(File(**file) for file in files)
    central.manifests[1] |= {"files": files, "hash": told}
    with pytest.raises(PullFailed, match="not to be trusted"):
        liver(central).pull(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_hash_that_does_not_fit_is_refused(central: Central, tmp_path: Path) -> None:
    central.freeze(1, IMAGES[:1])
    central.manifests[1]["hash"] = "0" * 64
    with pytest.raises(PullFailed, match="hash"):
        liver(central).pull(tmp_path)


def test_a_newer_version_replaces_an_older_one_and_nothing_else(central: Central, tmp_path: Path) -> None:
    central.freeze(1, IMAGES[:4])
    liver(central, 1).pull(tmp_path)
    central.freeze(2, IMAGES[2:], card=b"# second\n")
    pulled = liver(central).pull(tmp_path)
    assert (pulled.version, pulled.kept) == (2, 2) and verify(tmp_path) == []
    with pytest.raises(PullFailed, match="another dataset"):
        Sonobank(central.url, TOKEN).dataset("breast").pull(tmp_path)  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["ftp://host", "host", "http://", "http://user@host", "http://host/?a=1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(PullFailed, match="address"):
        Sonobank(url, TOKEN)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "秘"])
def test_a_token_that_is_none(token: str) -> None:
    with pytest.raises(PullFailed, match="token"):
        Sonobank("https://host", token)


def test_the_command_line_needs_no_package_outside_the_standard_library(central: Central, tmp_path: Path) -> None:
    central.freeze(5, IMAGES[:2])
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-S", "-m", "ml.client", central.url, "liver", str(tmp_path / "d"), "--version", "5"]  # type: ignore[attr-defined]
    done = subprocess.run(command, cwd=root, env={"SONOBANK_TOKEN": TOKEN}, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["version"] == 5 and verify(tmp_path / "d") == []
    bad = subprocess.run(command, cwd=root, env={}, capture_output=True, text=True, check=False)
    assert bad.returncode == 1 and "token" in bad.stderr and "Traceback" not in bad.stderr
