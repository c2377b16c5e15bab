"""Carry a sealed parcel over HTTP to the next node: site to relay, relay to central; resumable, and poll what comes back."""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, cast
from uuid import UUID

import httpx2

from core.certificates import authorities
from core.errors import Refused, Unavailable

CHUNK: Final = 4 << 20


class NextNode:
    """The one node that this node may open connections to."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, follow_redirects=False, trust_env=False,
            verify=authorities(),
            timeout=httpx2.Timeout(60, connect=10),
        )  # fmt: skip

    def __enter__(self) -> "NextNode":
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def deliver(
        self, site: str, package_id: UUID, header: str, signature: str, read: Callable[[int, int], bytes], size: int
    ) -> str:
        """Announce, send what is missing in chunks; returns the parcel's state there.

        `read(offset, length)` gives bytes of the ciphertext. Raises Refused when the other side refuses it for good,
        Unavailable when it should be tried again."""
        parcel = self._ask("POST", "/api/v1/parcels", json={"header": header, "signature": signature})
        while parcel["state"] == "RECEIVING":
            offset = int(parcel["received"])
            if not 0 <= offset < size:
                raise Unavailable("The next node claims more bytes than were sent.")
            parcel = self._ask(
                "PUT",
                f"/api/v1/parcels/{site}/{package_id}/content",
                params={"offset": offset},
                content=read(offset, CHUNK),
            )
        return str(parcel["state"])

    def messages(self, site: str, after: int) -> Iterator[dict[str, Any]]:
        """Signed messages for one site with a number above `after`, in order."""
        while page := self._ask("GET", "/api/v1/messages", params={"site": site, "after": after})["messages"]:
            yield from page
            after = int(page[-1]["n"])

    def fetch(self, site: str, sha256: str, size: int, into: BinaryIO) -> None:
        """Write the file of an offer, which has `size` bytes, in chunks. Raises Unavailable; the hash is the caller's to check."""
        while (offset := into.tell()) < size:
            response = self._send("GET", "/api/v1/messages", params={"site": site, "file": sha256, "offset": offset})
            if not response.content or offset + len(response.content) > size:
                raise Unavailable("The next node gives another file than was offered; it is tried again.")
            into.write(response.content)

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 -- httpx's own options
        response = self._send(method, path, **options)
        try:
            return cast(dict[str, Any], response.json())
        except ValueError:
            raise Unavailable("The next node answers with something that is not JSON.") from None

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:  # noqa: ANN401 -- httpx's own options
        try:
            response = self._client.request(method, path, **options)
        except httpx2.HTTPError:
            raise Unavailable("The next node cannot be reached; it is tried again.") from None
        if response.status_code == 422:
            raise Refused(_detail(response))
        if response.status_code >= 300:
            raise Unavailable(f"The next node answers with {response.status_code}; it is tried again.")
        return response


def _detail(response: httpx2.Response) -> str:
    """The other node's reason: our own software, but its words are cut and kept printable."""
    try:
        detail = str(response.json().get("detail", ""))
    except (ValueError, AttributeError):
        detail = ""
    return "".join(ch for ch in detail if ch.isprintable())[:200] or "The next node refuses the package."
