"""The registering sheet, the history of a case, and the other cases of its patient."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.permissions import Actor, Verb
from core.queries.case_history import history_page
from core.queries.case_sheet import sheet_page
from core.services.earlier import earlier_cases
from web.deps import SessionDep, may
from web.pages.case_images import SiteDep
from web.render import page

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Reader = Annotated[Actor, may(Verb.SEE_CASES)]


@router.get("/cases/{case_id}/sheet")
def case_sheet(request: Request, case_id: UUID, session: SessionDep, actor: Reader) -> Response:
    """Exactly what leaves, and one button."""
    values = sheet_page(session, actor, case_id) | {"actor": actor, "refused": None}
    return page(request, "case/sheet.html", values, blocks={"sheet": "sheet_block"})


@router.get("/cases/{case_id}/history")
def case_history(request: Request, case_id: UUID, session: SessionDep, actor: Reader) -> Response:
    values = history_page(session, actor, case_id) | {"actor": actor}
    return page(request, "case/history.html", values, blocks={"case-history": "history_block"})


@router.get("/cases/{case_id}/earlier")
def case_earlier(request: Request, case_id: UUID, node: SiteDep, session: SessionDep, actor: Reader) -> Response:
    """What else this hospital has of the same patient, by case number; the page names nobody."""
    case, others = earlier_cases(node, session, actor, case_id)
    values = {"actor": actor, "case": case, "others": others}
    return page(request, "case/earlier.html", values, blocks={"case-earlier": "earlier_block"})
