"""From the live page: what the model says of a whole case goes to the PACS, because a curator asked."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.errors import NotFound
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.services import infer_report
from web.deps import FormDep, SessionDep, may
from web.render import redirect
from web.site import SiteDep

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)


@router.post("/live/report")
def live_report(
    request: Request, node: SiteDep, session: SessionDep, actor: Annotated[Actor, may(Verb.CURATE)], fields: FormDep
) -> Response:
    """The case is that of the image that is played. Raises NotFound for another thing."""
    try:
        image_id = UUID(fields.get("image", ""))
    except ValueError:
        raise NotFound from None
    image, case = queries.readable_image(session, actor, image_id)
    infer_report.send(node, session, actor, case.id)
    return redirect(request, f"/live?image={image.id}", "live.reported.done")
