"""A PACS that misbehaves on purpose: DICOMweb over http.server, with the faults that a real one shows."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class BadPacs:
    """What it holds and how it fails. `instances`: {SOP UID: bytes}; `fault` names what goes wrong."""

    patient_id: str = "00012345"
    accession: str = "A1"
    study_uid: str = "1.2.3"
    series_uid: str = "1.2.3.1"
    instances: dict[str, bytes] = field(default_factory=dict)
    fault: str = ""
    gets: list[str] = field(default_factory=list)
    url: str = ""


def _values(**attributes: str) -> dict[str, Any]:
    tags = {
        "study": ("0020000D", "UI"),
        "series": ("0020000E", "UI"),
        "sop": ("00080018", "UI"),
        "patient": ("00100020", "LO"),
    }
    return {tags[name][0]: {"vr": tags[name][1], "Value": [value]} for name, value in attributes.items()}


@contextmanager
def running(pacs: BadPacs) -> Iterator[BadPacs]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            return

        def do_GET(self) -> None:
            pacs.gets.append(self.path)
            path = self.path.split("?")[0]
            if pacs.fault == "html":
                self._send(200, "text/html", b"<html>Please log in</html>")
            elif pacs.fault == "redirect":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif pacs.fault == "error":
                self._send(500, "text/plain", b"boom")
            elif pacs.fault == "slow":
                time.sleep(6)
                self._send(200, "application/dicom+json", b"[]")
            elif path.endswith("/instances"):
                listed = [
                    _values(study=pacs.study_uid, series=pacs.series_uid, sop=uid) for uid in sorted(pacs.instances)
                ]
                self._json(listed if "offset=0" in self.path else [])
            elif path.endswith("/studies"):
                self._json([_values(study=pacs.study_uid, patient=pacs.patient_id)] if "offset=0" in self.path else [])
            else:
                self._instance(path.rsplit("/", 1)[-1])

        def _instance(self, uid: str) -> None:
            if pacs.fault == "missing" and uid == max(pacs.instances):
                self._send(404, "text/plain", b"")
                return
            body = b"--b0\r\nContent-Type: application/dicom\r\n\r\n" + pacs.instances[uid] + b"\r\n--b0--\r\n"
            if pacs.fault == "cut":
                body = body[: len(body) // 2]
            self._send(200, 'multipart/related; type="application/dicom"; boundary=b0', body)

        def _json(self, found: list[dict[str, Any]]) -> None:
            self._send(200, "application/dicom+json", json.dumps(found).encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pacs.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()
