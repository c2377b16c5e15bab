"""What the open page of a case asks between saves: undo and redo, who else is here, and what others saved meanwhile."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session
from starlette.responses import JSONResponse, Response

from core.clock import now_utc
from core.errors import Conflict
from core.models.curation import Edit, Pick, Roi
from core.models.sitecase import SiteCase
from core.permissions import Actor, Verb
from core.services import curation, presence, rois, steps_back
from web.case_data import roi_json
from web.deps import SessionDep, may
from web.render import look_of
from web.said import said

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Curator = Annotated[Actor, may(Verb.CURATE)]
Reader = Annotated[Actor, may(Verb.SEE_CASES)]


class Here(BaseModel):
    """`seen` is the newest edit that the page knows of, `image` the number of the image it shows."""

    model_config = ConfigDict(extra="forbid")
    seen: UUID | None = None
    image: int | None = Field(default=None, ge=1, le=1_000_000)


def changed_json(session: Session, edit: Edit) -> dict[str, Any]:
    """The object of an edit as it is now, for the page to put in its place."""
    if edit.kind == "form":
        entries, version = curation.present_form(session, session.get_one(SiteCase, edit.object_id))
        return {"kind": "form", "version": version, "answers": entries}
    if edit.kind == "pick":
        row = session.get(Pick, edit.object_id)
        told = {"picked": row.picked, "reason": row.reason, "version": row.version} if row else None
        return {"kind": "pick", "imageId": str(edit.object_id)} | (
            told or {"picked": None, "reason": None, "version": 0}
        )
    if edit.kind == "marks":
        return {"kind": "marks", "imageId": str(edit.object_id)}
    roi = session.get_one(Roi, edit.object_id)
    return {"kind": "roi", "imageId": str(roi.image_id), "roi": roi_json(roi, rois.image_of(session, roi))}


def _stepped(session: Session, step: steps_back.Step) -> Response:
    told = {"changed": changed_json(session, step.edit), "canUndo": step.can_undo, "canRedo": step.can_redo}
    return JSONResponse(told | {"newest": str(step.edit.id), "at": now_utc().isoformat()})


def _not_done(request: Request, session: Session, error: Conflict) -> Response:
    """What speaks against it, in the person's language; nothing was changed."""
    session.rollback()
    return JSONResponse({"said": said(look_of(request).lang, error.message)}, error.status)


@router.post("/cases/{case_id}/undo")
def case_undo(request: Request, case_id: UUID, session: SessionDep, actor: Curator) -> Response:
    """Take back this person's latest edit of the case."""
    try:
        return _stepped(session, steps_back.undo(session, actor, case_id))
    except Conflict as error:
        return _not_done(request, session, error)


@router.post("/cases/{case_id}/redo")
def case_redo(request: Request, case_id: UUID, session: SessionDep, actor: Curator) -> Response:
    try:
        return _stepped(session, steps_back.redo(session, actor, case_id))
    except Conflict as error:
        return _not_done(request, session, error)


@router.post("/cases/{case_id}/presence")
def case_presence(case_id: UUID, body: Here, session: SessionDep, actor: Reader) -> Response:
    """Who else is at the case; which objects others saved after `seen`; the newest edit of all."""
    others = presence.here(session, actor, case_id, body.image)
    changes = presence.changes_after(session, actor, case_id, body.seen) if body.seen else []
    newest = presence.newest_edit(session, case_id)
    return JSONResponse(
        {
            "others": [{"name": one.name, "image": one.image} for one in others],
            "changes": [{"by": one.by, "kind": one.edit.kind, "image": one.image} for one in changes],
            "newest": str(newest) if newest else None,
        }
    )


@router.get("/cases/{case_id}/changes")
def case_changes(case_id: UUID, session: SessionDep, actor: Reader, after: UUID | None = None) -> Response:
    """What others saved after that edit, each object as it is now."""
    changes = presence.changes_after(session, actor, case_id, after)
    newest = presence.newest_edit(session, case_id)
    return JSONResponse(
        {
            "changes": [changed_json(session, one.edit) | {"by": one.by} for one in changes],
            "newest": str(newest) if newest else None,
        }
    )
