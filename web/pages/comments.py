"""Review comments of a case: read, answered, resolved and opened again."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.errors import Malformed
from core.node import SiteNode
from core.permissions import Actor, Verb
from core.queries import cases as case_queries
from core.queries.comments import threads
from core.services import comments
from web.deps import FormDep, SessionDep, may
from web.render import page, redirect
from web.site import SiteDep

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Worker = Annotated[Actor, may(Verb.CURATE, Verb.REGISTER)]


@router.get("/cases/{case_id}/comments")
def case_comments(request: Request, case_id: UUID, node: SiteDep, session: SessionDep, actor: Worker) -> Response:
    return _shown(request, node, session, actor, case_id)


def _shown(
    request: Request, node: SiteNode, session: Session, actor: Actor, case_id: UUID, status: int = 200, **more: object
) -> Response:
    case = comments.commented_case(session, actor, case_id)
    images = {image.id: image.number for image in case_queries.images_of(session, case.id)}
    values = {
        "actor": actor,
        "case": case,
        "threads": threads(node, session, actor, case_id),
        "rois": [(roi, images[roi.image_id]) for roi in case_queries.rois_of(session, case.id)],
        "longest": comments.LONGEST,
        "problem": None,
        "typed": "",
        **more,
    }
    return page(request, "case/comments.html", values, status)


@router.post("/cases/{case_id}/comments")
def case_add_comment(
    request: Request, case_id: UUID, node: SiteDep, session: SessionDep, actor: Worker, fields: FormDep
) -> Response:
    """A new thread on the case or an ROI, or an answer to one."""
    text = fields.get("text", "")
    try:
        roi_id, parent_id = (_id(fields.get(name, "")) for name in ("roi", "parent"))
        comments.add(node, session, actor, case_id, text, roi_id=roi_id, parent_id=parent_id)
    except Malformed as wrong:
        return _shown(request, node, session, actor, case_id, wrong.status, problem=wrong.message, typed=text)
    return redirect(request, f"/cases/{case_id}/comments", "comments.added.done")


def _id(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Malformed("The ROI of a comment is one of the case.") from None


@router.post("/cases/{case_id}/comments/{comment_id}/resolve")
def case_resolve_comment(
    request: Request, case_id: UUID, comment_id: UUID, session: SessionDep, actor: Worker
) -> Response:
    comments.resolve(session, actor, case_id, comment_id, True)
    return redirect(request, f"/cases/{case_id}/comments", "comments.resolve.done")


@router.post("/cases/{case_id}/comments/{comment_id}/reopen")
def case_reopen_comment(
    request: Request, case_id: UUID, comment_id: UUID, session: SessionDep, actor: Worker
) -> Response:
    comments.resolve(session, actor, case_id, comment_id, False)
    return redirect(request, f"/cases/{case_id}/comments", "comments.reopen.done")
