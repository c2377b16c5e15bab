"""Headers that every answer carries, and the same-origin check for requests that bring a cookie."""

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem

CSP: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_ALWAYS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class SecurityHeaders:
    """CSP without inline, nosniff, no referrer, no-store unless a route says otherwise; cross-site writes with a cookie end here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        is_too_large = False

        async def answer(message: Message) -> None:
            nonlocal is_too_large
            if message["type"] == "http.response.start" and _is_plain_refusal(message):
                is_too_large = True
                await problem(413, "The request is larger than what this address takes.")(scope, receive, with_headers)
            elif not is_too_large:
                await with_headers(message)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        if scope["method"] not in _SAFE and "cookie" in headers and not _same_origin(scope, headers):
            await problem(403, "This request came from another site.")(scope, receive, with_headers)
            return
        await self._app(scope, receive, answer)


def _is_plain_refusal(start: Message) -> bool:
    """Starlette refuses a body by its Content-Length in plain text, past all handlers; machines know problems only."""
    return start["status"] == 413 and MutableHeaders(scope=start).get("content-type", "").startswith("text/plain")


def _same_origin(scope: Scope, headers: Headers) -> bool:
    """Sec-Fetch-Site where the browser sends it, else Origin against our own; a cookie with neither is refused."""
    if site := headers.get("sec-fetch-site"):
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and origin == _own_origin(scope)


def _own_origin(scope: Scope) -> str:
    parts = urlsplit(scope["app"].state.settings.base_url)
    return f"{parts.scheme}://{parts.netloc}"
