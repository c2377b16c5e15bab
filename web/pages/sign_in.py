"""Sign in and out: a browser session in a cookie that no script and no other site can use; a second step where it is wanted."""

from typing import Final

from fastapi import APIRouter, Depends, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from core.errors import AppError, Malformed, NotAuthenticated, TooMany
from core.models.people import User
from core.services import accounts, entering, totp
from core.services.entering import Step
from core.settings import Settings
from web import cookies
from web.deps import FormDep, SessionDep, VisitorDep, refuse_other_sites, session_secret
from web.qr import qr
from web.render import page

router = APIRouter(include_in_schema=False)
_LONGEST_NAME, _LONGEST_PASSWORD, _LONGEST_NEXT = 64, 200, 1000
# Why the log-in service let nobody in, as its page tells this one.
_WHY: Final = {
    "away": "sign_in.oidc.away",
    "other-browser": "sign_in.oidc.other_browser",
    "not-checked": "sign_in.oidc.not_checked",
    "cancelled": "sign_in.oidc.cancelled",
    "not-let-in": "sign_in.oidc.not_let_in",
    "closed": "sign_in.oidc.closed",
}
_WORDS: Final = {Malformed: "sign_in.code.wrong", TooMany: "sign_in.code.too_many"}


@router.get("/sign-in")
def sign_in_page(request: Request, actor: VisitorDep) -> Response:
    if actor is not None:
        return RedirectResponse(next_page(request), 303)
    if why := _WHY.get(request.query_params.get("why", "")):
        return _form(request, why)
    if "lost" in request.query_params:
        return _form(request, "sign_in.lost")
    return _form(request, "sign_in.ended" if session_secret(request) else None)


@router.post("/sign-in", dependencies=[Depends(refuse_other_sites)])
def sign_in(request: Request, session: SessionDep, fields: FormDep) -> Response:
    """A new session for every log-in: a secret that was in the browser before is worth nothing afterwards."""
    name, password = fields.get("name", "").strip(), fields.get("password", "")
    if not _is_complete(name, password):
        return _form(request, "sign_in.incomplete", name, 422)
    try:
        request.app.state.throttle.check(name, request.client.host if request.client else "")
        user = accounts.user_of_password(session, name, password)
    except TooMany as exc:
        return _form(request, "sign_in.too_many", name, exc.status)
    except NotAuthenticated as exc:
        entering.record_wrong_password(session, name)
        return _form(request, "sign_in.wrong", name, exc.status)
    settings: Settings = request.app.state.settings
    step = entering.step_after_password(session, settings, user)
    if step is Step.IN:
        accounts.record_entry(session, user, door="page")
        return enter(request, session, user, RedirectResponse(next_page(request), 303))
    response = RedirectResponse("/sign-in/code" + _query(request), 303)
    cookies.keep(request, response, entering.begin(session, settings, user, step), cookies.HALF)
    return response


@router.get("/sign-in/code")
def sign_in_code_page(request: Request, session: SessionDep) -> Response:
    return _second_step(request, session, None, 200)


@router.post("/sign-in/code", dependencies=[Depends(refuse_other_sites)])
def sign_in_code(request: Request, session: SessionDep, fields: FormDep) -> Response:
    """The second step; who has just enrolled is shown the recovery codes before going on."""
    half = cookies.read(request, cookies.HALF)
    try:
        user, recovery = entering.finish(session, request.app.state.settings, half, fields.get("code", "")[:40])
    except NotAuthenticated:
        return _over(request)
    except AppError as exc:
        return _second_step(request, session, _WORDS.get(type(exc), "sign_in.code.over"), exc.status)
    going = next_page(request)
    response = (
        page(request, "sign_in_codes.html", {"codes": recovery, "going": going})
        if recovery
        else RedirectResponse(going, 303)
    )
    cookies.drop(request, response, cookies.HALF)
    return enter(request, session, user, response)


@router.post("/sign-out")
def sign_out(request: Request, session: SessionDep) -> Response:
    if secret := session_secret(request):
        accounts.close_session(session, secret)
    response = RedirectResponse("/sign-in", 303)
    cookies.drop(request, response)
    return response


def enter(request: Request, session: Session, user: User, response: Response) -> Response:
    """Open a session for this browser; the one that it had before ends."""
    if old := session_secret(request):
        accounts.close_session(session, old)
    cookies.keep(request, response, accounts.open_session(session, user))
    return response


def _form(request: Request, message: str | None, name: str = "", status: int = 200) -> Response:
    settings: Settings = request.app.state.settings
    values = {
        "message": message,
        "name": name[:_LONGEST_NAME],
        "provider": settings.oidc_name if settings.oidc_issuer else None,
    }
    return page(request, "sign_in.html", values, status)


def next_page(request: Request) -> str:
    """The page that asked for the sign-in, if it is one of ours; browsers read `//` and `/\\` as another host."""
    wanted = request.query_params.get("next", "/")
    is_ours = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return wanted if is_ours and len(wanted) <= _LONGEST_NEXT else "/"


def _second_step(request: Request, session: Session, message: str | None, status: int) -> Response:
    """The field for a code, with the QR code above it for who has no authenticator yet."""
    settings: Settings = request.app.state.settings
    try:
        user = entering.half_way(session, cookies.read(request, cookies.HALF))
    except NotAuthenticated:
        return _over(request)
    secret = totp.draft(session, settings, user)
    drawn = qr(totp.address(settings, user, secret)) if secret else None
    return page(request, "sign_in_code.html", {"message": message, "secret": secret, "qr": drawn}, status)


def _over(request: Request) -> Response:
    """Back to the first step: nobody is half-way here, or not any more."""
    response = RedirectResponse("/sign-in" + _query(request), 303)
    cookies.drop(request, response, cookies.HALF)
    return response


def _query(request: Request) -> str:
    return f"?{request.url.query}" if request.url.query else ""


def _is_complete(name: str, password: str) -> bool:
    """Both are there, no longer than an account's can be, and the name is text that a database can look up."""
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable() and 0 < len(password) <= _LONGEST_PASSWORD
