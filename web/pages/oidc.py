"""Log-in by the hospital's own log-in service: away to it, and back from it."""

from typing import Final, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from core.errors import Denied, NotAuthenticated, NotFound, Unavailable
from core.services import accounts, entering, oidc
from core.settings import Settings
from web import cookies
from web.deps import SessionDep, VisitorDep
from web.pages.sign_in import enter, next_page

router = APIRouter(include_in_schema=False)
_WHY: Final = {
    oidc.AWAY: "away",
    oidc.OTHER_BROWSER: "other-browser",
    oidc.NOT_CHECKED: "not-checked",
    oidc.CANCELLED: "cancelled",
    entering.CLOSED: "closed",
}


@router.get("/sign-in/oidc")
def oidc_begin(request: Request, actor: VisitorDep) -> Response:
    """A link, not a form: the content policy of our pages lets no form end at another site."""
    provider = _provider(request)
    if actor is not None:
        return RedirectResponse(next_page(request), 303)
    try:
        address, sealed = provider.begin(next_page(request))
    except Unavailable as exc:
        return _refused(request, exc)
    response = RedirectResponse(address, 303)
    cookies.keep(request, response, sealed, cookies.OIDC)
    return response


@router.get(oidc.CALLBACK)
def oidc_callback(request: Request, session: SessionDep) -> Response:
    """Whoever has no right here by now is led to their account, which says so."""
    settings: Settings = request.app.state.settings
    try:
        person, wanted = _provider(request).finish(cookies.read(request, cookies.OIDC), request.query_params)
        user = entering.enter_person(session, settings, person)
    except (NotAuthenticated, Denied, Unavailable) as exc:
        return _refused(request, exc)
    has_rights = bool(accounts.actor_of(session, user).rights)
    response = RedirectResponse(wanted if has_rights else "/account", 303)
    cookies.drop(request, response, cookies.OIDC)
    return enter(request, session, user, response)


def _provider(request: Request) -> oidc.Provider:
    """One for the application, made at the first log-in. Raises NotFound where no log-in service is set."""
    state = request.app.state
    if state.settings.oidc_issuer is None:
        raise NotFound
    if not hasattr(state, "oidc_provider"):
        state.oidc_provider = oidc.Provider(state.settings)
    return cast(oidc.Provider, state.oidc_provider)


def _refused(request: Request, exc: NotAuthenticated | Denied | Unavailable) -> Response:
    """Back to the sign-in page, which says why; what came with the address is left behind."""
    asked = {"why": _WHY.get(exc.message, "not-let-in")}
    if (wanted := next_page(request)) != "/":
        asked["next"] = wanted
    response = RedirectResponse(f"/sign-in?{urlencode(asked)}", 303)
    cookies.drop(request, response, cookies.OIDC)
    return response
