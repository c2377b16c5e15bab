"""A real Orthanc with its DICOMweb plugin on loopback, for tests and benches: Debian's packages `orthanc orthanc-dicomweb`."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from core.errors import Unavailable

PLUGINS = Path("/usr/share/orthanc/plugins")
_START_SECONDS = 30


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc: its REST root and its DICOMweb root."""

    url: str

    @property
    def dicom_web(self) -> str:
        return f"{self.url}/dicom-web"

    def store(self, files: Iterable[bytes]) -> int:
        """Put DICOM files in by Orthanc's own REST; returns how many it took."""
        taken = 0
        with httpx2.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            for content in files:
                taken += client.post("/instances", content=content).status_code == 200
        return taken


def program() -> str | None:
    """The path of the Orthanc program, None where it is not installed."""
    found = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    return found if found and any(PLUGINS.glob("libOrthancDicomWeb*")) else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path) -> Iterator[Orthanc]:
    """Orthanc over an empty store in `folder`, ended at the exit."""
    found = program()
    if found is None:
        raise Unavailable(
            "Orthanc with its DICOMweb plugin is not installed: apt-get install orthanc orthanc-dicomweb."
        )
    port = free_port()
    plugin = next(PLUGINS.glob("libOrthancDicomWeb*"))
    configuration = {
        "Name": "test", "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "index"),
        "HttpPort": port, "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomServerEnabled": False,
        "Plugins": [str(plugin)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
        "StorageCompression": False, "SaveJobs": False, "OverwriteInstances": False, "HttpThreadsCount": 8,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([found, str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        _wait(process, port)
        yield Orthanc(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/system", timeout=2, trust_env=False).status_code == 200:
                return
        except httpx2.HTTPError:
            time.sleep(0.1)
    raise Unavailable("Orthanc did not start; its log is beside its store.")
