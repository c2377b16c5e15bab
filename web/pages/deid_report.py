"""The de-identification report of a case: what was taken out, what stays and who decided; it stays at the site."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.permissions import Actor, Verb
from core.queries.deid_report import case_report
from core.services import originals, texts
from web.deps import SessionDep, may
from web.pages.case_images import ImageDep, Looker, SiteDep
from web.render import page

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
THUMB_PX: Final = 320


@router.get("/cases/{case_id}/report")
def case_report_page(
    request: Request, case_id: UUID, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_CASES)]
) -> Response:
    values = {"actor": actor, "report": case_report(session, actor, case_id), "reason_of": texts.reason}
    return page(request, "case/report.html", values)


@router.get("/cases/{case_id}/images/{image_id}/before")
def case_before(node: SiteDep, session: SessionDep, actor: Looker, image: ImageDep) -> Response:
    """The first frame of the identified original, small; looking at it is an audit event."""
    png = originals.frame(node, session, actor, image.id, 1, THUMB_PX)
    return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})
