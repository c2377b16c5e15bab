"""One patient HTTP connection to a central node, for the dataset client. Standard library only."""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

TIMEOUT_S = 60.0


class PullFailed(RuntimeError):
    """The dataset could not be fetched; the message says why and what to do."""


class TryAgain(Exception):
    """A fault that may pass: the server is busy, or the line broke."""


class Connection:
    """GETs to one origin with one bearer token; the token is never sent anywhere else and no redirect is followed."""

    def __init__(self, url: str, token: str, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        plain = not (parts.query or parts.fragment or parts.username)
        if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
            raise PullFailed("The address must look like https://host or http://host:port.")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise PullFailed("The access token is missing or is not one.")
        self._base = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        self._http = (
            http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=context)
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        )

    @contextmanager
    def get(self, path: str, start: int = 0) -> Iterator[http.client.HTTPResponse]:
        """The answer from byte `start` on, or whole (status 200) when the server does no ranges; 416 is let through.

        Raises TryAgain for what may pass and PullFailed for what will not."""
        headers = self._headers | ({"Range": f"bytes={start}-"} if start else {})
        done = False
        try:
            self._http.request("GET", self._base + path, headers=headers)
            response = self._http.getresponse()
            _judge(response.status, bool(start))
            yield response
            done = response.isclosed()
        except ssl.SSLCertVerificationError as error:
            raise PullFailed("The server's certificate is not trusted.") from error
        except (OSError, http.client.HTTPException) as error:
            raise TryAgain("The connection to the server broke.") from error
        finally:
            # What was not read to its end cannot carry another request.
            if not done:
                self._http.close()

    def close(self) -> None:
        self._http.close()


def _judge(status: int, ranged: bool) -> None:
    if status == 200 or (ranged and status in (206, 416)):
        return
    if status == 429 or status >= 500:
        raise TryAgain(f"The server is busy or ill (status {status}).")
    if 300 <= status < 400:
        raise PullFailed("The server redirects; give its final address. The token was not sent on.")
    reasons = {
        401: "The access token is not accepted: it is wrong, has run out, or was taken back (status 401).",
        403: "This access token may not read this dataset (status 403).",
        404: "There is no such dataset or version, or this token may not see it (status 404).",
    }
    raise PullFailed(reasons.get(status, f"The server refuses the request (status {status})."))
