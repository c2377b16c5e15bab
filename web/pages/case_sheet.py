"""The registering sheet and the history of a case."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.permissions import Actor, Verb
from core.queries.case_history import history_page
from core.queries.case_sheet import sheet_page
from web.deps import SessionDep, may
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
