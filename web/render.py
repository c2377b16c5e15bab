"""Pages from templates, in the language and theme of the person; for htmx the block that it asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.curation.wall_motion import NOT_EVALUATED
from core.errors import NotFound
from core.permissions import Actor
from core.services.heart import ANSWERS
from core.settings import Settings
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import Option
from web import assets, words
from web.markdown import markdown
from web.nav import menu
from web.said import said
from web.states import TONES
from web.texts import LANGUAGES, Language, accepted, catalogue, text

TEMPLATES: Final = Path(__file__).parent / "templates"
CHOICES: Final[dict[str, tuple[str, ...]]] = {"lang": LANGUAGES, "theme": ("light", "dark")}
NOTE: Final = "sonobank-note"
_YEAR: Final = 365 * 24 * 3600
_BLANKS: Final = re.compile(r"\s+")


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
        "modules": assets.modules,
        "vendor": assets.vendor_url,
        "integrity": assets.integrity,
        "icon": icon,
        "tones": TONES,
        "measured_fields": ANSWERS,
        "not_evaluated": NOT_EVALUATED,
    }
    made.filters |= {"search_words": search_words, "markdown": markdown}
    return made


def search_words(option: Option) -> str:
    """What somebody may type to find a choice: its words in both languages, its code and its synonyms."""
    return " | ".join(dict.fromkeys((option.label.ja, option.label.en, option.code, *option.synonyms)))


@cache
def icon(name: str) -> Markup:
    """One drawing of the vendored set, for the eye only: the word or the accessible name stands beside it."""
    drawing = (assets.VENDOR / assets.vendored()["lucide-static"].folder / f"{name}.svg").read_text("utf-8")
    drawing = drawing[drawing.index("<svg") :].replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    drawing = _BLANKS.sub(" ", drawing.replace('width="24"', 'width="18"').replace('height="24"', 'height="18"'))
    return Markup(drawing.replace("> <", "><").replace(' xmlns="http://www.w3.org/2000/svg"', "").strip())  # noqa: S704 - our own file


def asks_for_part(request: Request) -> bool:
    """Whether htmx wants a fragment: boosted links and restored history want whole pages."""
    headers = request.headers
    return (
        headers.get("hx-request") == "true"
        and "hx-boosted" not in headers
        and "hx-history-restore-request" not in headers
    )


def page(
    request: Request,
    template: str,
    values: Mapping[str, object] | None = None,
    status: int = 200,
    blocks: Mapping[str, str] | None = None,
) -> Response:
    """A whole page, or for htmx the block that `blocks` names for its target ({element id: block name}).

    A language or theme that the address asks for is remembered."""
    context = context_of(request, values)
    made = environment().get_template(template)
    block = (blocks or {}).get(request.headers.get("hx-target", "")) if asks_for_part(request) else None
    if block:
        body = "".join(made.blocks[block](made.new_context(context)))
    else:
        body = made.render(context)
    response = HTMLResponse(body, status)
    response.headers["Vary"] = "Accept-Language, Cookie, HX-Request, HX-Target"
    _remember(request, response)
    if context["note"] and not block:
        response.delete_cookie(NOTE, path="/")
    return response


def context_of(request: Request, values: Mapping[str, object] | None = None) -> dict[str, object]:
    """What every template may use; `values` come last."""
    look, settings = look_of(request), _settings(request)
    actor = (values or {}).get("actor")
    return {
        "t": partial(text, look.lang),
        "said": partial(said, look.lang),
        "lang": look.lang,
        "other_lang": "en" if look.lang == "ja" else "ja",
        "theme": look.theme,
        "node": settings,
        "number": partial(words.number, look.lang),
        "size": partial(words.size, look.lang),
        "moment": lambda at: words.moment(look.lang, at, settings.zone),
        "day": partial(words.day, look.lang),
        "ago": partial(words.ago, look.lang),
        "age": partial(words.age, look.lang),
        "domain_name": partial(domain_name, look.lang),
        "switch": partial(_switch, request),
        "menu": menu(settings.role, actor if isinstance(actor, Actor) else None),
        "note": note_of(request, look.lang),
        "actor": None,
        **(values or {}),
    }


def redirect(request: Request, href: str, note: str | None = None, count: int | None = None) -> Response:
    """Go on to one of our pages, which says `note` once; htmx follows the header, a plain form the 303."""
    response: Response = (
        HTMLResponse(headers={"HX-Redirect": href}) if asks_for_part(request) else RedirectResponse(href, 303)
    )
    if note:
        is_secure = _settings(request).base_url.startswith("https:")
        value = note if count is None else f"{note}|{count}"
        response.set_cookie(NOTE, value, max_age=60, path="/", secure=is_secure, httponly=True, samesite="lax")
    return response


def note_of(request: Request, lang: Language) -> str | None:
    """What the form before this page did, in words; it was told by its key, never by a sentence."""
    key, _, count = request.cookies.get(NOTE, "").partition("|")
    if not key.endswith(".done") or key not in catalogue(lang):
        return None
    return text(lang, key, count=int(count) if count.isdecimal() and len(count) < 9 else 0)


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _switch(request: Request, **choice: str) -> str:
    """The same page with another choice; relative, so that no address from outside is repeated."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in choice]
    return "?" + urlencode([*kept, *choice.items()])


def _remember(request: Request, response: Response) -> None:
    for name, allowed in CHOICES.items():
        value = request.query_params.get(name)
        if value in allowed:
            response.set_cookie(
                f"sonobank-{name}",
                value or "",
                max_age=_YEAR,
                path="/",
                secure=_settings(request).base_url.startswith("https:"),
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
