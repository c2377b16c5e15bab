"""The real OpenID provider of the tests (npm oidc-provider), and a browser's way through its pages without a browser."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest

from tests.node_parts import FOLDER, installed

SECRET = "of-the-tests-only-0123456789"


@dataclass(frozen=True)
class RunningProvider:
    issuer: str
    secret_file: Path

    def settings(self, **groups: object) -> dict[str, object]:
        """Settings of a node whose people sign in here."""
        return {
            "oidc_issuer": self.issuer,
            "oidc_client_id": "sonobank",
            "oidc_client_secret_file": self.secret_file,
            "oidc_name": "病院の統合認証",
            "oidc_groups": groups,
        }

    def walk(self, address: str, login: str) -> str:
        """Log in and agree at the provider; returns the address that it sends the browser back to."""
        with httpx2.Client(timeout=20, trust_env=False) as client:
            answer = client.get(address)
            for _ in range(12):
                if answer.is_redirect:
                    target = urljoin(str(answer.request.url), answer.headers["location"])
                    if not target.startswith(self.issuer):
                        return target
                    answer = client.get(target)
                    continue
                form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                assert form and prompt, answer.text[:400]
                data = {"prompt": prompt[1], "login": login, "password": "any"}
                answer = client.post(urljoin(str(answer.request.url), form[1]), data=data)
        raise AssertionError("the provider's pages do not end")

    def cancel(self, address: str) -> str:
        """Turn back at the provider's log-in."""
        with httpx2.Client(timeout=20, trust_env=False, follow_redirects=True) as client:
            page = client.get(address)
            link = re.search(r'<a href="([^"]+/abort)"', page.text)
            assert link, page.text[:400]
            answer = client.get(urljoin(str(page.request.url), link[1]), follow_redirects=False)
            while urljoin(str(answer.request.url), answer.headers["location"]).startswith(self.issuer):
                target = urljoin(str(answer.request.url), answer.headers["location"])
                answer = client.get(target, follow_redirects=False)
            return answer.headers["location"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def planned_provider(folder: Path) -> RunningProvider:
    """Where a provider will be: its node must know that before, and it must know its node."""
    secret_file = folder / "oidc.secret"
    secret_file.write_text(SECRET)
    return RunningProvider(f"http://127.0.0.1:{free_port()}", secret_file)


@contextmanager
def running_provider(callback: str, planned: RunningProvider) -> Iterator[RunningProvider]:
    """The provider, running, whose one client may come back to `callback`; skipped, by name, without Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed: the tests' OpenID provider needs it")
    installed()
    command = [node, str(FOLDER / "provider.mjs"), planned.issuer.rpartition(":")[2], callback]
    environment = {"PATH": os.environ["PATH"], "SECRET": SECRET, "NO_COLOR": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the provider did not start"
        yield planned
    finally:
        process.terminate()
        process.communicate(timeout=10)
