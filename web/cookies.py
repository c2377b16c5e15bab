"""The cookies of a browser on its way in: its session, and the two that live for minutes while it is between two steps."""

from typing import Final

from fastapi import Request
from starlette.responses import Response

from core.security import session_cookie_name
from core.settings import Settings

HALF: Final = "step"
OIDC: Final = "oidc"
_MINUTES_S: Final = 600


def read(request: Request, kind: str) -> str | None:
    return request.cookies.get(_name(request, kind))


def keep(request: Request, response: Response, value: str, kind: str = "") -> None:
    """Set the session's cookie, which ends with the browser, or one of a kind that lives for ten minutes."""
    response.set_cookie(
        _name(request, kind),
        value,
        max_age=_MINUTES_S if kind else None,
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="lax",
    )


def drop(request: Request, response: Response, kind: str = "") -> None:
    name = _name(request, kind)
    response.delete_cookie(name, path="/", secure=_is_secure(request), httponly=True, samesite="lax")


def _name(request: Request, kind: str) -> str:
    name = session_cookie_name(_settings(request))
    return f"{name}-{kind}" if kind else name


def _is_secure(request: Request) -> bool:
    return _settings(request).base_url.startswith("https:")


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
