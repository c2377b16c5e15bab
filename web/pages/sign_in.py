"""Sign in and out: a browser session in a cookie that no script and no other site can use."""

from fastapi import APIRouter, Depends, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from core.errors import NotAuthenticated, TooMany
from core.models.people import User
from core.security import session_cookie_name
from core.services import accounts
from core.settings import Settings
from web.deps import FormDep, SessionDep, VisitorDep, refuse_other_sites, session_secret
from web.render import page

router = APIRouter(include_in_schema=False)
_LONGEST_NAME, _LONGEST_PASSWORD = 64, 200


@router.get("/sign-in")
def sign_in_page(request: Request, actor: VisitorDep) -> Response:
    if actor is not None:
        return RedirectResponse(next_page(request), 303)
    return _form(request, "sign_in.ended" if session_secret(request) else None)


@router.post("/sign-in", dependencies=[Depends(refuse_other_sites)])
def sign_in(request: Request, session: SessionDep, fields: FormDep) -> Response:
    """A new session for every log-in: a secret that was in the browser before is worth nothing afterwards."""
    name, password = fields.get("name", "").strip(), fields.get("password", "")
    if not _is_complete(name, password):
        return _form(request, "sign_in.incomplete", name, 422)
    try:
        request.app.state.throttle.check(name, request.client.host if request.client else "")
        user = accounts.log_in(session, name, password)
    except TooMany as exc:
        return _form(request, "sign_in.too_many", name, exc.status)
    except NotAuthenticated as exc:
        return _form(request, "sign_in.wrong", name, exc.status)
    return _enter(request, session, user)


@router.post("/sign-out")
def sign_out(request: Request, session: SessionDep) -> Response:
    if secret := session_secret(request):
        accounts.close_session(session, secret)
    response = RedirectResponse("/sign-in", 303)
    settings: Settings = request.app.state.settings
    response.delete_cookie(
        session_cookie_name(settings), path="/", secure=_is_secure(settings), httponly=True, samesite="lax"
    )
    return response


def _enter(request: Request, session: Session, user: User) -> Response:
    if old := session_secret(request):
        accounts.close_session(session, old)
    response = RedirectResponse(next_page(request), 303)
    settings: Settings = request.app.state.settings
    response.set_cookie(
        session_cookie_name(settings),
        accounts.open_session(session, user),
        path="/",
        secure=_is_secure(settings),
        httponly=True,
        samesite="lax",
    )
    return response


def _is_complete(name: str, password: str) -> bool:
    """Both are there, no longer than an account's can be, and the name is text that a database can look up."""
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable() and 0 < len(password) <= _LONGEST_PASSWORD


def _is_secure(settings: Settings) -> bool:
    return settings.base_url.startswith("https:")


def next_page(request: Request) -> str:
    """The page that asked for the sign-in, if it is one of ours; browsers read `//` and `/\\` as another host."""
    wanted = request.query_params.get("next", "/")
    is_ours = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return wanted if is_ours else "/"


def _form(request: Request, message: str | None, name: str = "", status: int = 200) -> Response:
    return page(request, "sign_in.html", {"message": message, "name": name[:_LONGEST_NAME]}, status)
