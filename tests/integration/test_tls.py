"""A node that speaks TLS itself: a certificate from the settings, and a plain refusal when it cannot be used."""

import ssl
import subprocess
import threading
import time
from pathlib import Path

import httpx2
import pytest
import uvicorn

from commands.serve import check_certificate
from core.errors import BadConfiguration
from core.settings import Settings
from tests.live import free_port
from tests.postgres_fixture import ScratchPostgres
from tests.served import serve


@pytest.fixture
def papers(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_a_node_speaks_tls_and_its_cookie_says_so(postgres: ScratchPostgres, papers: tuple[Path, Path]) -> None:
    port = free_port()
    files = {"tls_cert_file": papers[0], "tls_key_file": papers[1]}
    with serve(postgres, "central", port=port, **files) as served:
        check_certificate(served.settings)
        config = uvicorn.Config(served.app, port=port, lifespan="off", log_level="error", log_config=None,
                                ssl_certfile=papers[0], ssl_keyfile=papers[1])  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            served.person("lead", [], password="correct horse battery")
            trusted = ssl.create_default_context(cafile=papers[0])
            with httpx2.Client(base_url=served.settings.base_url, verify=trusted, trust_env=False) as client:
                form = {"name": "lead", "password": "correct horse battery"}
                answer = client.post("/sign-in", data=form, headers={"Sec-Fetch-Site": "same-origin"})
            assert answer.status_code == 303
            assert "__Host-sonobank=" in answer.headers["set-cookie"] and "Secure" in answer.headers["set-cookie"]
        finally:
            server.should_exit = True
            thread.join(10)


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "tls.pem").write_text("no certificate")
    settings = Settings(
        _env_file=None, role="central", tls_cert_file=tmp_path / "tls.pem", tls_key_file=tmp_path / "tls.pem"
    )  # type: ignore[call-arg]
    with pytest.raises(BadConfiguration, match="SONOBANK_TLS_CERT_FILE"):
        check_certificate(settings)
