"""What the heart panel of a case asks for: the view and beats of a cine, and the volumes that its contours give."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from core.curation.beats import MOST_BEATS
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.services import curation
from web import heart_data
from web.deps import SessionDep, may
from web.pages.case_images import Curator, ImageDep, Sent
from web.render import look_of

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)


class MarksSent(Sent):
    """`beats` [[end diastole, end systole], ...], frames from 1; `version` is the one that was seen, 0 for none."""

    view: str | None = Field(default=None, max_length=32)
    beats: list[tuple[int | None, int | None]] = Field(max_length=MOST_BEATS)
    version: int = Field(ge=0)


def _live(request: Request, session: SessionDep, actor: Actor, case_id: UUID) -> dict[str, Any]:
    return heart_data.live_json(session, queries.readable_case(session, actor, case_id), look_of(request).lang)


@router.get("/cases/{case_id}/heart")
def case_heart(
    request: Request, case_id: UUID, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_CASES)]
) -> Response:
    """The volumes, and the beats that are proposed, as the saved contours have them."""
    return JSONResponse(_live(request, session, actor, case_id))


@router.put("/cases/{case_id}/images/{image_id}/marks")
def case_mark_frames(
    request: Request, body: MarksSent, session: SessionDep, actor: Curator, image: ImageDep
) -> Response:
    marks = curation.mark_frames(session, actor, image.id, body.view, body.beats, body.version)
    return JSONResponse(heart_data.marks_json(image.id, marks) | _live(request, session, actor, image.case_id))
