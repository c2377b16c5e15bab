"""A DICOMweb peer that we pull from: QIDO-RS and WADO-RS (PS3.18) with deadlines, caps and the configured origin only."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import httpx2

from core.certificates import authorities
from core.dicom import multipart
from core.errors import Malformed, Unavailable

LARGEST_ANSWER: Final = 64 << 20
LARGEST_INSTANCE: Final = 4 << 30
PAGE: Final = 500
_LONGEST_EPILOGUE: Final = 16  # pieces after the instance
AS_STORED: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class PeerTrouble(Unavailable):
    """The PACS does not answer as it should; the case is tried again."""


class DicomWebPeer:
    """One PACS. Every trouble becomes a PeerTrouble whose message a person understands."""

    def __init__(
        self, url: str, *, token: str | None = None, basic: tuple[str, str] | None = None, timeout: float = 30
    ) -> None:
        self._url = url
        self._deadline = timeout
        self._client = httpx2.Client(
            follow_redirects=False,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10)),
            auth=basic,
            # Compressed answers save nothing on compressed pixels and cost both sides time.
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {}),
            trust_env=False,
            verify=authorities(),
        )

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> "DicomWebPeer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def studies(self, **match: str) -> list[dict[str, Any]]:
        """Studies that match, as DICOM JSON. Keys are attribute keywords."""
        return self._search("/studies", match)

    def instances(self, study_uid: str) -> list[dict[str, Any]]:
        """Every instance of a study, as DICOM JSON with at least its SOP, Series and Study UID."""
        return self._search(f"/studies/{quote(study_uid)}/instances", {})

    def echo(self) -> None:
        """Ask for one study: raises PeerTrouble with the reason when the peer cannot be used."""
        self._json("/studies", {"limit": "1"})

    @contextmanager
    def instance(self, study_uid: str, series_uid: str, sop_uid: str) -> Iterator[Iterator[bytes]]:
        """The bytes of one instance as stored, piece by piece."""
        path = f"/studies/{quote(study_uid)}/series/{quote(series_uid)}/instances/{quote(sop_uid)}"
        with self._get(path, {}, AS_STORED) as response:
            pieces = response.iter_bytes()
            try:
                part = next(multipart.parts(pieces, response.headers.get("content-type", "")), None)
            except Malformed:
                raise PeerTrouble("The PACS answers with something that is not a DICOM instance.") from None
            if part is None:
                raise PeerTrouble("The PACS sent an empty answer for an instance that it lists.")
            yield self._capped(part.body)
            for _ in islice(pieces, _LONGEST_EPILOGUE):  # read to its end an answer leaves its connection to the next
                pass

    def store(self, study_uid: str, objects: Sequence[bytes]) -> None:
        """Send DICOM files into a study (STOW-RS). Raises PeerTrouble unless the PACS took every one."""
        boundary = uuid4().hex
        parts = [f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + one + b"\r\n" for one in objects]
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        begun = time.monotonic()
        try:
            answer = self._client.post(
                f"{self._url}/studies/{quote(study_uid)}", content=b"".join([*parts, f"--{boundary}--\r\n".encode()]),
                headers=headers,
            )  # fmt: skip
        except httpx2.HTTPError as exc:
            raise PeerTrouble(_reason(exc, time.monotonic() - begun)) from None
        if answer.status_code in {202, 409}:  # some, or none, were taken (PS3.18 table 10.5.3-1)
            raise PeerTrouble("The PACS did not take all of the results.")
        self._check(answer)

    def _capped(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        try:
            for piece in pieces:
                size += len(piece)
                if size > LARGEST_INSTANCE:
                    raise PeerTrouble("The PACS sends an instance of more than 4 GiB.")
                yield piece
        except httpx2.HTTPError as exc:
            raise PeerTrouble(_reason(exc)) from None
        except Malformed:
            raise PeerTrouble("The PACS broke off in the middle of an instance.") from None

    def _search(self, path: str, match: dict[str, str]) -> list[dict[str, Any]]:
        """All pages of a search: a PACS may cut its answer at any length."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._json(path, {**match, "limit": str(PAGE), "offset": str(len(found))})
            fresh = [entry for entry in page if entry not in found[-PAGE:]]
            found += fresh
            if not fresh or len(page) < PAGE:
                return found

    def _json(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        with self._get(path, query, "application/dicom+json") as response:
            if response.status_code == 204:
                return []
            if "json" not in response.headers.get("content-type", ""):
                raise PeerTrouble(
                    "The PACS answers with a page instead of DICOM JSON: is the address its DICOMweb root?"
                )
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > LARGEST_ANSWER:
                    raise PeerTrouble("The PACS sends a list of more than 64 MiB.")
        try:
            parsed = httpx2.Response(200, content=bytes(body)).json()
        except ValueError:
            raise PeerTrouble("The PACS sends a list that is not JSON.") from None
        if not isinstance(parsed, list) or not all(isinstance(entry, dict) for entry in parsed):
            raise PeerTrouble("The PACS sends a list that is not DICOM JSON.")
        return parsed

    @contextmanager
    def _get(self, path: str, query: dict[str, str], accept: str) -> Iterator[httpx2.Response]:
        begun = time.monotonic()
        try:
            with self._client.stream("GET", self._url + path, params=query, headers={"Accept": accept}) as response:
                self._check(response)
                yield response
        except httpx2.HTTPError as exc:
            raise PeerTrouble(_reason(exc, time.monotonic() - begun)) from None

    @staticmethod
    def _check(response: httpx2.Response) -> None:
        status = response.status_code
        if 300 <= status < 400:
            raise PeerTrouble("The PACS sends us to another address; only the configured one is followed.")
        if status in {401, 403}:
            raise PeerTrouble("The PACS refuses our user or token; the IT desk must renew it.")
        if status == 404:
            raise PeerTrouble("The PACS does not know this study or address.")
        if status >= 400:
            raise PeerTrouble(f"The PACS answers with error {status}.")


def _reason(exc: httpx2.HTTPError, seconds: float = 0) -> str:
    if isinstance(exc, httpx2.ConnectError | httpx2.ConnectTimeout):
        return "The PACS cannot be reached: is it running, and is the address right?"
    if isinstance(exc, httpx2.TimeoutException):
        return f"The PACS is too slow: no data within {seconds:.0f} s." if seconds else "The PACS is too slow."
    return "The connection to the PACS broke off."


def values(entry: dict[str, Any], tag: str) -> list[Any]:
    """The values of one attribute of a DICOM JSON object; [] when it is absent."""
    found = entry.get(tag, {})
    return list(found.get("Value", [])) if isinstance(found, dict) else []
