"""An earlier version of something in a case: looked at beside the present one, and restored as a new one."""

from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from core.permissions import Actor, Verb
from core.queries.case_version import Drawn, version_page
from core.services import steps_back
from web.deps import FormDep, SessionDep, may
from web.outlines import path_of
from web.render import page, redirect

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)


@dataclass(frozen=True)
class Picture:
    """The frame on which both versions are drawn; a path is empty where a version shows nothing on it."""

    frame: int
    frames: list[int]
    then: str
    now: str


@router.get("/cases/{case_id}/history/{edit_id}")
def case_version(
    request: Request,
    case_id: UUID,
    edit_id: UUID,
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.SEE_CASES)],
    frame: Annotated[int, Query(ge=1, le=1_000_000)] = 0,
) -> Response:
    values: dict[str, Any] = version_page(session, actor, case_id, edit_id) | {"actor": actor}
    if "drawn" in values:
        values["picture"] = picture_of(values["drawn"], frame)
    return page(request, "case/version.html", values)


def picture_of(drawn: tuple[Drawn, Drawn], wanted: int) -> Picture:
    """On the frame that is asked for, else on the first keyframe of the earlier version that there is."""
    frames = sorted({number for one in drawn if one.track for number in one.track.frames})
    own = next((one.track.frames[0] for one in drawn if one.track), 1)
    frame = wanted if wanted in frames else own
    then, now = (path_of(shape) if (shape := one.on(frame)) else "" for one in drawn)
    return Picture(frame, frames, then, now)


@router.post("/cases/{case_id}/history/{edit_id}")
def case_restore(
    request: Request,
    case_id: UUID,
    edit_id: UUID,
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.CURATE)],
    fields: FormDep,
) -> Response:
    """`version` is the present one as the page showed it."""
    seen = fields.get("version", "")
    steps_back.restore(
        session, actor, case_id, edit_id, int(seen) if seen.isascii() and seen.isdecimal() and len(seen) < 9 else 0
    )
    return redirect(request, f"/cases/{case_id}", "case_version.restored.done")
