"""Somebody with a log-in at a node of the demo, who does over public HTTP what an outsider could do."""

from typing import Any

import httpx2

from core.errors import Unavailable


class Person:
    """Somebody with a log-in at one node."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self._client = httpx2.Client(base_url=url, timeout=60, trust_env=False)
        try:
            token = self.call("POST", "/api/v1/login", json={"name": name, "password": password})["token"]
        except Unavailable:
            self.close()
            raise
        self._client.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        self._client.close()

    def call(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 -- JSON
        return self.send(method, path, **options).json()

    def send(self, method: str, path: str, **options: Any) -> httpx2.Response:  # noqa: ANN401 -- httpx's own
        try:
            response = self._client.request(method, path, **options)
        except httpx2.HTTPError:
            raise Unavailable(f"{method} {path}: the node does not answer") from None
        if response.status_code >= 300:
            raise Unavailable(f"{method} {path} answered {response.status_code}: {response.text[:200]}")
        return response
