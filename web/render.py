"""Pages from templates, in the language and theme of the person."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from core.errors import NotFound
from core.settings import Settings
from core.vocabulary import domain as vocabulary
from web import assets
from web.states import TONES
from web.texts import LANGUAGES, Language, accepted, text

TEMPLATES: Final = Path(__file__).parent / "templates"
CHOICES: Final[dict[str, tuple[str, ...]]] = {"lang": LANGUAGES, "theme": ("light", "dark")}
_YEAR: Final = 365 * 24 * 3600


@dataclass(frozen=True)
class Look:
    """How this person wants pages: asked for in the address, else remembered in a cookie, else what the browser says."""

    lang: Language
    theme: str


def look_of(request: Request) -> Look:
    chosen = {name: _choice(request, name, allowed) for name, allowed in CHOICES.items()}
    lang = next((lang for lang in LANGUAGES if lang == chosen["lang"]), None)
    return Look(lang or accepted(request.headers.get("accept-language", "")), chosen["theme"] or "light")


def _choice(request: Request, name: str, allowed: tuple[str, ...]) -> str | None:
    offered = (request.query_params.get(name), request.cookies.get(f"sonobank-{name}"))
    return next((value for value in offered if value in allowed), None)


@cache
def environment() -> Environment:
    """Escaping is on everywhere, and a name that the page was not given is an error instead of an empty place."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "asset": assets.asset_url,
        "vendor": assets.vendor_url,
        "integrity": assets.integrity,
        "tones": TONES,
    }
    return made


def page(request: Request, template: str, values: Mapping[str, object] | None = None, status: int = 200) -> Response:
    """A whole page. A language or theme that the address asks for is remembered."""
    look = look_of(request)
    settings: Settings = request.app.state.settings
    context = {
        "t": partial(text, look.lang),
        "lang": look.lang,
        "other_lang": "en" if look.lang == "ja" else "ja",
        "theme": look.theme,
        "node": settings,
        "domain_name": partial(domain_name, look.lang),
        "switch": partial(_switch, request),
        "actor": None,
        **(values or {}),
    }
    response = HTMLResponse(environment().get_template(template).render(context), status)
    response.headers["Vary"] = "Accept-Language, Cookie"
    _remember(request, response, settings)
    return response


def _switch(request: Request, **choice: str) -> str:
    """The same page with another choice; relative, so that no address from outside is repeated."""
    return "?" + urlencode({**request.query_params, **choice})


def _remember(request: Request, response: Response, settings: Settings) -> None:
    for name, allowed in CHOICES.items():
        value = request.query_params.get(name)
        if value in allowed:
            response.set_cookie(
                f"sonobank-{name}",
                value or "",
                max_age=_YEAR,
                path="/",
                secure=settings.base_url.startswith("https:"),
                httponly=True,
                samesite="lax",
            )


def domain_name(lang: Language, code: str) -> str:
    """An organ domain in words; one whose file is not here is shown by its code."""
    if code == "*":
        return text(lang, "domain.all")
    try:
        label = vocabulary.load(code).label
    except NotFound:
        return code
    return label.ja if lang == "ja" else label.en
