"""Live: a cine of a case, a file or a camera, with what the model in effect says of each frame drawn over it."""

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from markupsafe import Markup
from sqlmodel import Session
from starlette.responses import Response

from core.dicom.ultrasound import tissue
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.queries.live import Playable, playable
from core.services import heart, registry
from core.services.facts import regions_of
from core.vocabulary import domain as vocabulary
from web.deps import NodeDep, SessionDep, may
from web.render import look_of, page
from web.texts import Language, text

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site", "central")
Looker = Annotated[Actor, may(Verb.INFER)]
_WORDS: Final = (
    "live.word.cyst", "live.word.non_cyst", "live.word.unsure", "live.word.connecting", "live.word.running",
    "live.word.closed", "live.word.no_model", "live.word.no_camera", "live.word.bad_file", "live.word.found",
    "live.word.play", "live.word.pause", "live.word.refused", "live.word.ventricle",
)  # fmt: skip


@router.get("/live")
def live_page(request: Request, node: NodeDep, session: SessionDep, actor: Looker) -> Response:
    lang = look_of(request).lang
    models = registry.in_effect(session)
    images = _images(session, actor) if node.settings.role == "site" else []
    domains = [
        code for code in vocabulary.domains() if actor.may(Verb.INFER, code) and ({code, ALL_DOMAINS} & models.keys())
    ]
    values = {
        "actor": actor,
        "images": images,
        "may_report": actor.may(Verb.CURATE),
        "domains": domains,
        "has_model": bool(domains),
        "island": _island(lang, images),
    }
    response = page(request, "live.html", values)
    # A video from this person's disk plays from memory; nothing else of the policy changes.
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return response


def _images(session: Session, actor: Actor) -> list[Playable]:
    return playable(session, actor) if actor.may(Verb.SEE_PIXELS) else []


def _sector(one: Playable) -> tuple[int, int, int, int] | None:
    """Where a heart lies on its image (x, y, width, height): a model of the ventricle sees no more, as for proposals."""
    shown = tissue(regions_of(one.facts)) if one.domain == heart.DOMAIN else ()
    return (shown[0].x0, shown[0].y0, shown[0].x1 - shown[0].x0 + 1, shown[0].y1 - shown[0].y0 + 1) if shown else None


def _island(lang: Language, images: list[Playable]) -> Markup:
    """What the script needs, as JSON in the page; the browser reads it as text."""
    told: dict[str, Any] = {
        "words": {key.rpartition(".")[2]: text(lang, key) for key in _WORDS},
        "images": [
            {
                "id": str(one.image_id), "frames": one.frames, "stepMs": one.step_ms, "domain": one.domain,
                "href": f"/cases/{one.case_id}/images/{one.image_id}/frames", "sector": _sector(one),
            }
            for one in images
        ],
    }  # fmt: skip
    return Markup.escape(json.dumps(told, ensure_ascii=False))
