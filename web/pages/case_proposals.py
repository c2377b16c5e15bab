"""What the viewer asks of a model while a case is open: its proposals, and the person's answer to each."""

from typing import Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import model_validator
from starlette.responses import JSONResponse, Response

from core.errors import NotFound
from core.models.proposals import ModelProposal
from core.services import proposals
from web import case_data
from web.deps import SessionDep
from web.pages.case_images import Curator, ImageDep, RoiSent, Sent, SiteDep

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
_HERE: Final = "/cases/{case_id}/images/{image_id}/proposals"


class Answered(Sent):
    """`roi` is what comes of an accepted one, as the page draws it; `roiId` the contour that took up a border."""

    answer: Literal["accept", "reject"]
    roi: RoiSent | None = None
    roi_id: UUID | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Answered":
        if [self.roi, self.roi_id].count(None) != (1 if self.answer == "accept" else 2):
            raise ValueError("an accepted proposal comes with its ROI, a rejected one without")
        return self


@router.post(_HERE)
def case_proposals(node: SiteDep, session: SessionDep, actor: Curator, image: ImageDep) -> Response:
    """What the model proposes on the candidate as it is now; it looks when it is asked for the first time."""
    asked, found = proposals.ask(node, session, actor, image.id)
    model = {"name": asked.model, "version": asked.model_version}
    return JSONResponse({"model": model, "proposals": [_told(one) for one in found]})


@router.post(_HERE + "/{proposal_id}")
def case_answer_proposal(
    proposal_id: UUID, body: Answered, session: SessionDep, actor: Curator, image: ImageDep
) -> Response:
    if proposals.image_of(session, proposal_id) != image.id:
        raise NotFound
    if body.roi_id is not None:
        proposals.accept_into(session, actor, proposal_id, body.roi_id)
        return JSONResponse({"state": "ACCEPTED"})
    if body.roi is None:
        proposals.reject(session, actor, proposal_id)
        return JSONResponse({"state": "REJECTED"})
    roi = proposals.accept(session, actor, proposal_id, body.roi.made(image.id))
    return JSONResponse({"state": "ACCEPTED", "roi": case_data.roi_json(roi, image)})


def _told(one: ModelProposal) -> dict[str, Any]:
    return {
        "id": str(one.id), "frame": one.frame, "kind": one.kind, "points": one.points, "label": one.label,
        "score": one.score, "state": one.state,
    }  # fmt: skip
