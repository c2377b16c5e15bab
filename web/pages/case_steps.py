"""The steps of a whole case, and where it stands: what is missing, what is open, what is on its way."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.errors import Malformed, NotFound, WrongState
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.queries.case_form import standing_of
from core.queries.case_sheet import sent_of, sheet_page
from core.services import steps
from web import views
from web.deps import Fields, FormDep, SessionDep, may
from web.pages.case_images import SiteDep
from web.render import page, redirect

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Reader = Annotated[Actor, may(Verb.SEE_CASES)]
_NOTES: Final[dict[str, str]] = {
    "unflag": "case_steps.unflag.done",
    "retry": "case_steps.retry.done",
    "cancel": "case_steps.cancel.done",
    "exclude": "case_steps.exclude.done",
    "include": "case_steps.include.done",
    "register": "case_steps.register.done",
    "take-back": "case_steps.take_back.done",
    "correct": "case_steps.correct.done",
}


@router.post("/cases/{case_id}/steps/{step}")
def case_step(
    request: Request,
    case_id: UUID,
    step: steps.Step,
    node: SiteDep,
    session: SessionDep,
    actor: Reader,
    fields: FormDep,
) -> Response:
    """One step; it asks for its own right. What refuses a registration is shown on the sheet."""
    try:
        case = steps.take(node, session, actor, case_id, step, fields.get("reason"))
    except WrongState as refused:
        values = _standing(session, actor, case_id) | {"refused": refused.message}
        if step == "register":
            return page(request, "case/sheet.html", sheet_page(session, actor, case_id) | values, refused.status)
        return page(request, "case/gaps.html", values, refused.status)
    except Malformed as wrong:
        return page(request, "case/gaps.html", _standing(session, actor, case_id) | {"refused": wrong.message}, 422)
    href = f"/cases/{case.id}" if fields.get("then") != "next" else _next(session, actor, fields)
    return redirect(request, href, _NOTES[step])


def _next(session: SessionDep, actor: Actor, fields: Fields) -> str:
    """The case after this one in the list that the person works through; the worklist where there is none."""
    listed = fields.get("list", "")[: views.LONGEST_LIST]
    try:
        case = queries.readable_case(session, actor, UUID(fields.get("next", "")))
    except (ValueError, NotFound):
        return "/worklist"
    return views.case_href(case.id, listed)


@router.get("/cases/{case_id}/gaps")
def case_gaps(request: Request, case_id: UUID, session: SessionDep, actor: Reader) -> Response:
    """Where the case stands; the top bar asks for it again after each save."""
    return page(request, "case/gaps.html", _standing(session, actor, case_id), blocks={"case-standing": "standing"})


def _standing(session: SessionDep, actor: Actor, case_id: UUID) -> dict[str, object]:
    case = queries.readable_case(session, actor, case_id)
    return {"actor": actor, "case": case, "form": standing_of(session, actor, case), "refused": None}


@router.get("/cases/{case_id}/sent")
def case_sent(request: Request, case_id: UUID, session: SessionDep, actor: Reader) -> Response:
    """What became of the case after it was registered."""
    values = sent_of(session, actor, case_id) | {"actor": actor}
    return page(request, "case/sent.html", values, blocks={"case-sent": "sent_block"})
