"""The heart: view and beats of a cine, and the volumes of the left ventricle that a case's contours give."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from sqlmodel import SQLModel

from api.deps import SessionDep, may
from core.curation.beats import MOST_BEATS
from core.models.heart import FrameMarks
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.services import curation, heart

router = APIRouter(prefix="/api/v1", tags=["curation"])
Looker = Annotated[Actor, may(Verb.SEE_CASES)]
BEATS = "[[frame of end diastole, frame of end systole], …], frames from 1; one of the two may be null"


class MarksIn(SQLModel):
    view: str | None = Field(default=None, max_length=32, description="code of the list echo_view (CID 12226)")
    beats: list[tuple[int | None, int | None]] = Field(max_length=MOST_BEATS, description=BEATS)
    version: int = Field(ge=0, description="the version that you saw, 0 for none")


class MarksOut(MarksIn):
    version: int = Field(description="0 as long as nobody has marked anything")


class EjectionOut(SQLModel):
    method: str = Field(description="code of the list echo_measure_rhythm (CID 12228)")
    fraction_percent: float
    end_diastolic_ml: float
    end_systolic_ml: float


class VolumesOut(SQLModel):
    """By every method that the contours at end diastole and end systole allow, the preferred one first."""

    ejections: list[EjectionOut]
    length_difference_percent: float | None = Field(
        description="how much the long axes of both views differ; above 10 one is likely foreshortened"
    )
    problem: str | None = Field(description="why the contours give no volumes")


@router.get("/images/{image_id}/marks")
def marks(image_id: UUID, session: SessionDep, actor: Looker) -> MarksOut:
    """Which view the cine shows, and its frames of end diastole and end systole."""
    image, _ = queries.readable_image(session, actor, image_id)
    row = session.get(FrameMarks, image.id) or FrameMarks(image_id=image.id, version=0)
    return MarksOut.model_validate(row, from_attributes=True)


@router.put("/images/{image_id}/marks")
def mark_frames(
    image_id: UUID, body: MarksIn, session: SessionDep, actor: Annotated[Actor, may(Verb.CURATE)]
) -> MarksOut:
    """Replace view and beats; the version you saw must be the present one."""
    row = curation.mark_frames(session, actor, image_id, body.view, body.beats, body.version)
    return MarksOut.model_validate(row, from_attributes=True)


@router.get("/cases/{case_id}/volumes")
def volumes(case_id: UUID, session: SessionDep, actor: Looker) -> VolumesOut:
    """Volumes and ejection fraction of the left ventricle from the contours as they are saved."""
    found = heart.measured(session, queries.readable_case(session, actor, case_id))
    views = (found.four_chamber, found.two_chamber)
    return VolumesOut(
        ejections=[EjectionOut.model_validate(one, from_attributes=True) for one in found.ejections],
        length_difference_percent=found.length_difference_percent,
        problem=found.problem or next((view.problem for view in views if view.problem), None),
    )
