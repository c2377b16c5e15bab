"""Devices and their masks: what the rules cover, drawn to scale, and the devices of held images that no rule knows."""

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.deid.mask_rules import catalogue_version
from core.permissions import Actor, Verb
from core.queries import devices as queries
from core.queries.device_rules import own_rules
from web.deps import SessionDep, may
from web.pages.device_rules import STATES
from web.render import page

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
_LONGEST: Final = 64
KINDS: Final = {
    "unread": "devices.kind.unread",
    "never": "devices.kind.never",
    "size": "devices.kind.size",
    "outside": "devices.kind.outside",
    "double": "devices.kind.double",
    "name": "devices.kind.name",
    "overlap": "devices.kind.overlap",
    "contradict": "devices.kind.contradict",
    "shadowed": "devices.kind.shadowed",
}


@router.get("/devices")
def devices_page(
    request: Request, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_PIXELS, Verb.PEERS, Verb.DEVICE_RULES)]
) -> Response:
    asked = request.query_params
    words, only_here, at = (
        asked.get("words", "").strip()[:_LONGEST],
        asked.get("only") == "here",
        _page(asked.get("page")),
    )
    found = queries.devices(session, actor, words, only_here, at)
    values = {
        "actor": actor,
        "found": found,
        "words": words,
        "only_here": only_here,
        "before": _address(words, only_here, at - 1) if at > 1 else None,
        "after": _address(words, only_here, at + 1) if found.has_more else None,
        "version": catalogue_version(),
        "kinds": KINDS,
        "own": own_rules(session),
        "states": STATES,
        "may_rule": actor.may(Verb.DEVICE_RULES),
    }
    return page(request, "devices.html", values, blocks={"devices": "devices"})


def _page(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and 0 < len(text) < 5 and int(text) else 1


def _address(words: str, only_here: bool, at: int) -> str:
    asked = {"words": words, "only": "here" if only_here else "", "page": at if at > 1 else ""}
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"/devices?{query}" if query else "/devices"
