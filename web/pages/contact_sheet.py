"""The contact sheet: the candidates of one or many cases side by side, each to be looked at and confirmed by key."""

import json
from collections import Counter
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlmodel import Session
from starlette.responses import Response

from core.models.sitecase import RETROSPECTIVE, CaseState, SiteCase
from core.permissions import Actor, Verb
from core.queries import contact_sheet
from core.queries.contact_sheet import ContactSheet, SheetImage
from core.services import texts
from core.services.curation import REJECT_REASONS
from web import case_data
from web.deps import SessionDep, may
from web.render import look_of, page
from web.texts import catalogue

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Looker = Annotated[Actor, may(Verb.SEE_PIXELS)]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=10_000)]
Waiting = Annotated[bool, Query(description="only images that are neither confirmed nor rejected")]
# The reasons in the order of their keys 1 to 6; written out, so that no one is without words.
REJECT_WORDS: Final = {
    "no-lesion": "case_form.reject.no_lesion",
    "poor-quality": "case_form.reject.poor_quality",
    "duplicate": "case_form.reject.duplicate",
    "not-ultrasound": "case_form.reject.not_ultrasound",
    "identifier-in-picture": "case_form.reject.identifier",
    "other-organ": "case_form.reject.other_organ",
}
# Pictures up to so many pixels wide stand in so many columns on a wide screen, so that their text can be read.
_COLUMNS: Final = ((720, 3), (1100, 2))
# Words that the script puts into the page; those that count keep both forms.
_TEXTS: Final = (
    "contact.all_done",
    "contact.changed",
    "contact.confirmed_by",
    "contact.confirmed_many",
    "contact.failed",
    "contact.forbidden",
    "contact.frame_alt",
    "contact.frame_place",
    "contact.no_edit",
    "contact.not_all",
    "contact.offline",
    "contact.preparing",
    "contact.reading",
    "contact.seen",
    "contact.state_confirmed",
    "contact.state_held",
    "contact.state_preparing",
    "contact.state_proposed",
    "contact.state_rejected",
    "contact.texts",
    "contact.texts_first",
    "contact.too_small",
)


@router.get("/cases/{case_id}/contact-sheet")
def case_contact_sheet(
    request: Request,
    case_id: UUID,
    session: SessionDep,
    actor: Looker,
    number: PageNumber = 1,
    waiting: Waiting = False,
) -> Response:
    case = contact_sheet.one_case(session, actor, case_id)
    return _answer(request, session, actor, [case], number, waiting)


@router.get("/contact-sheet")
def contact_sheet_page(
    request: Request,
    session: SessionDep,
    actor: Looker,
    case: Annotated[list[UUID] | None, Query(max_length=contact_sheet.MOST_CASES)] = None,
    number: PageNumber = 1,
    waiting: Waiting = False,
) -> Response:
    """The sheet of the cases that were marked in the worklist."""
    chosen = contact_sheet.many_cases(session, actor, case or [])
    return _answer(request, session, actor, chosen, number, waiting)


def _answer(
    request: Request, session: Session, actor: Actor, cases: list[SiteCase], number: int, waiting: bool
) -> Response:
    found = contact_sheet.sheet(session, actor, cases, number, only_waiting=waiting)
    query = [] if "case_id" in request.path_params else [("case", str(case.id)) for case in cases]

    def address(page: int, only: bool) -> str:
        more = [("waiting", "1")] if only else []
        return "?" + urlencode([*query, *more, *([("page", str(page))] if page > 1 else [])])

    values = {
        "actor": actor,
        "sheet": found,
        "address": address,
        "only_waiting": waiting,
        "columns": _columns(found),
        "retrospective": RETROSPECTIVE,
        "reject_words": REJECT_WORDS,
        "open_texts": lambda mask: len(texts.open_places(mask.row)) if mask else 0,
        "reasons_of": lambda mask: Counter(mask.row.reasons) if mask else Counter(),
        "island": _island(request, actor, found, address(found.page + 1, waiting)),
    }
    return page(request, "contact_sheet.html", values)


def _columns(found: ContactSheet) -> int:
    widest = max((image.one.image.columns for image in found.images), default=0)
    return next((columns for width, columns in _COLUMNS if widest <= width), 1)


def _island(request: Request, actor: Actor, found: ContactSheet, following: str) -> str:
    """JSON for the script, as `web.case_data.island` makes it for the case page."""
    lang = look_of(request).lang
    data = {
        "lang": lang,
        "images": [_image(request, actor, one) for one in found.images],
        "next": following if found.page < found.pages else None,
        "reasons": {code: catalogue(lang)[REJECT_WORDS[code]][0] for code in sorted(REJECT_REASONS)},
        "texts": {key.removeprefix("contact."): catalogue(lang)[key] for key in _TEXTS},
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _image(request: Request, actor: Actor, one: SheetImage) -> dict[str, Any]:
    image, pick, mask = one.one.image, one.one.pick, one.one.mask
    is_open = one.case.state == CaseState.CURATING
    zone = request.app.state.settings.zone
    return {
        "id": str(image.id),
        "caseId": str(one.case.id),
        "caseNumber": one.case.number,
        "number": image.number,
        "rows": image.rows,
        "columns": image.columns,
        "frames": image.frames,
        "picked": pick.picked if pick else None,
        "pickReason": pick.reason if pick else None,
        "pickVersion": pick.version if pick else 0,
        "isOpen": is_open,
        "mayConfirm": is_open and actor.may(Verb.REGISTER, one.case.domain),
        "mayCurate": is_open and actor.may(Verb.CURATE, one.case.domain),
        "mask": case_data.mask_json(mask, look_of(request).lang, zone) if mask else None,
    }
