"""The page of one case: its images in the viewer, its form beside them."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlmodel import Session
from starlette.responses import Response

from core.permissions import Actor, Verb
from core.queries.case_form import form_page
from core.queries.case_page import case_page
from core.queries.comments import open_count
from core.queries.progress import wait_of
from core.queries.reads import blind_read
from core.services import presence, steps_back
from web import case_data, heart_data, views
from web.deps import SessionDep, may
from web.pages.my import WAIT_WORDS
from web.render import look_of, page, redirect

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)


@router.get("/cases/{case_id}")
def case_viewer(
    request: Request,
    case_id: UUID,
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.SEE_CASES)],
    image: Annotated[int, Query(ge=1, description="number of the image that is shown where scripts are off")] = 1,
) -> Response:
    if (mine := blind_read(session, actor, case_id)) is not None and actor.may(Verb.READ):
        return redirect(request, f"/reads/{mine}")
    found = case_page(session, actor, case_id)
    usable = [one for one in found.images if one.is_usable]
    chosen = next((one for one in usable if one.image.number == image), usable[0] if usable else None)
    view = views.list_of(request, session, actor)
    live = _live(session, actor, case_id)
    values = {
        "actor": actor,
        "listed": view.listed if view else "",
        "list_href": views.href(view.query) if view else "/worklist",
        "case_href": views.case_href,
        "case": found.case,
        "images": found.images,
        "usable": usable,
        "chosen": chosen,
        "confirmed": sum(one.is_confirmed for one in usable),
        "form": form_page(session, actor, found.case, view.chosen if view else None, found.there),
        "may_curate": case_data.may_curate(found, actor),
        "may_register": case_data.may_register(found, actor),
        "may_assign": actor.may(Verb.ASSIGN, found.case.domain),
        "may_comment": actor.may(Verb.CURATE, found.case.domain) or actor.may(Verb.REGISTER, found.case.domain),
        "comments": open_count(session, found.case.id),
        "wait": wait_of(session, found.case.id),
        "wait_words": WAIT_WORDS,
        "may_see_pixels": actor.may(Verb.SEE_PIXELS, found.case.domain),
        "heart": heart_data.island(session, found.case, look_of(request).lang),
        "island": case_data.island(found, actor, look_of(request).lang, request.app.state.settings.zone, live),
        "can_undo": live["canUndo"],
        "can_redo": live["canRedo"],
    }
    return page(request, "case.html", values)


def _live(session: Session, actor: Actor, case_id: UUID) -> dict[str, Any]:
    """How far the history goes that the page shows, and whether this person has a step to take back or to do again."""
    can_undo, can_redo = steps_back.can(session, actor, case_id)
    newest = presence.newest_edit(session, case_id)
    return {"newest": str(newest) if newest else None, "canUndo": can_undo, "canRedo": can_redo}
