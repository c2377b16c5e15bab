"""Errors of pages: what happened, what is safe and what to do next, in the person's language; machines keep problem+json."""

from collections.abc import Callable
from typing import Final, cast
from urllib.parse import urlencode, urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match

from core.errors import AppError
from web.render import asks_for_part, page
from web.texts import catalogue

_MACHINES: Final = ("api", "client", "dicom-web", "healthz", "metrics", "readyz")
_KEPT: Final = ("retry-after", "allow")

# An unexpected error is answered outside every middleware, so the page brings its own headers.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Handler = Callable[[Request, Exception], Response]


def install(app: FastAPI) -> None:
    """Wrap the handlers that are there already: what they answer to machines stays, people get a page of that status."""
    for kind in (AppError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _for_people(cast(Handler, app.exception_handlers[kind])))


def is_for_people(request: Request) -> bool:
    """Whether a browser would show the answer: not under an address for machines, and HTML is welcome."""
    accept = request.headers.get("accept", "*/*")
    return request.url.path.split("/")[1] not in _MACHINES and ("text/html" in accept or "*/*" in accept)


def _for_people(machine: Handler) -> Handler:
    def answer(request: Request, exc: Exception) -> Response:
        problem = machine(request, exc)
        if not is_for_people(request):
            return problem
        if problem.status_code == 401:
            return to_sign_in(request)
        kept = {name: problem.headers[name] for name in _KEPT if name in problem.headers}
        return error_page(request, problem.status_code, kept, exc.message if isinstance(exc, AppError) else None)

    return answer


def error_page(
    request: Request, status: int, headers: dict[str, str] | None = None, message: str | None = None
) -> Response:
    """What happened, as a page; for htmx as a note at the top of the page that is open."""
    group = next(key for key in (status, status // 100 * 100) if f"error.{key}.title" in catalogue("en"))
    values = {"status": status, "group": group, "message": message}
    if asks_for_part(request):
        response = page(request, "_shared/_error.html", values, status)
        response.headers.update({"HX-Retarget": "#flash", "HX-Reswap": "innerHTML", "HX-Push-Url": "false"})
    else:
        response = page(request, "error.html", values, status)
        response.headers.update(_HEADERS)
    response.headers.update(headers or {})
    return response


def to_sign_in(request: Request) -> Response:
    """Sign in and come back to this page."""
    if asks_for_part(request):
        shown = urlsplit(request.headers.get("hx-current-url", "/"))
        here = shown.path + (f"?{shown.query}" if shown.query else "")
        return Response(status_code=401, headers={"HX-Redirect": _sign_in(request, here)})
    if request.method == "GET":
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    else:
        here = _page_of_form(request)
    return RedirectResponse(_sign_in(request, here), 303)


def _sign_in(request: Request, here: str) -> str:
    """The sign-in page that leads back to `here`, and says so when what was sent was a form that is lost now."""
    asked = ({"next": here} if here != "/" else {}) | ({"lost": "1"} if request.method != "GET" else {})
    return "/sign-in" + (f"?{urlencode(asked)}" if asked else "")


def _page_of_form(request: Request) -> str:
    """The nearest page above the address of a form; browsers do not tell which page they were on."""
    own = getattr(request.scope.get("route"), "path", None)
    contexts = iter_route_contexts(request.app.routes)
    has_page = any(context.path == own and "GET" in (context.methods or ()) for context in contexts)
    path = request.url.path if has_page else request.url.path.rpartition("/")[0]
    while path not in {"", "/"}:
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes):
            return path
        path = path.rpartition("/")[0]
    return "/"
