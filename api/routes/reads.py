"""Second readings: one's own, which nobody else sees until it is handed in; and who assigns them sees what was."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field
from sqlmodel import Session, SQLModel

from api.deps import NodeDep, SessionDep, may
from api.roles import site_node
from api.routes.images import PNG, PRIVATE, FormIn, FormOut, RoiChange, RoiIn
from core.models.curation import Roi
from core.permissions import Actor, Verb
from core.queries import reads as queries
from core.services import curation, reads

router = APIRouter(prefix="/api/v1", tags=["reads"])
Reader = Annotated[Actor, may(Verb.READ)]
Assigner = Annotated[Actor, may(Verb.ASSIGN)]


class ReadOut(SQLModel):
    """Where a reading stands; what it says is read under its own address."""

    id: UUID
    case_number: int
    domain: str
    reader: str
    state: str
    due: date | None
    submitted_at: datetime | None


class AssignIn(SQLModel):
    readers: list[UUID] = Field(min_length=1, max_length=reads.MOST_READERS)
    due: date | None = None


class ReadRoiOut(SQLModel):
    id: UUID
    image_id: UUID
    version: int
    body: dict[str, Any] = Field(description="as an ROI of a case: frame, box, label, lesion and what else is drawn")


class ReadingOut(ReadOut):
    values: dict[str, Any]
    version: int
    rois: list[ReadRoiOut]


def _out(one: queries.Assignment) -> ReadOut:
    read = one.read
    return ReadOut(
        id=read.id, case_number=one.number, domain=one.domain, reader=one.reader, state=read.state, due=read.due,
        submitted_at=read.submitted_at,
    )  # fmt: skip


def _roi(roi: Roi) -> ReadRoiOut:
    return ReadRoiOut(id=roi.id, image_id=roi.image_id, version=roi.version, body=curation.roi_body(roi))


@router.get("/reads")
def own_reads(session: SessionDep, actor: Reader) -> list[ReadOut]:
    """Your readings, open ones first."""
    return [_out(one) for one in queries.own_reads(session, actor)]


@router.get("/reads/{read_id}")
def own_reading(read_id: UUID, session: SessionDep, actor: Reader) -> ReadingOut:
    """What you have said so far. It is yours alone until you hand it in."""
    page = queries.read_page(session, actor, read_id)
    values, version = reads.present_form(session, page.read, page.case)
    known = next(one for one in queries.own_reads(session, actor) if one.read.id == read_id)
    rois = [_roi(roi) for roi in page.rois]
    return ReadingOut(**_out(known).model_dump(), values=values, version=version, rois=rois)


@router.put("/reads/{read_id}/form")
def save_reading(read_id: UUID, body: FormIn, session: SessionDep, actor: Reader) -> FormOut:
    read = reads.save_form(session, actor, read_id, body.values, body.version)
    return FormOut(values=read.values, version=read.version)


@router.post("/reads/{read_id}/images/{image_id}/rois", status_code=201)
def add_reading_roi(read_id: UUID, image_id: UUID, body: RoiIn, session: SessionDep, actor: Reader) -> ReadRoiOut:
    return _roi(reads.add_roi(session, actor, read_id, image_id, body.made(image_id)))


@router.put("/reads/{read_id}/rois/{roi_id}")
def change_reading_roi(read_id: UUID, roi_id: UUID, body: RoiChange, session: SessionDep, actor: Reader) -> ReadRoiOut:
    return _roi(reads.change_roi(session, actor, read_id, roi_id, body.change(), body.version))


@router.get(
    "/reads/{read_id}/images/{image_id}/frames/{frame}",
    response_class=Response,
    responses={200: {"content": {PNG: {}}}},
)
def reading_frame(
    read_id: UUID, image_id: UUID, frame: int, node: NodeDep, session: SessionDep, actor: Reader
) -> Response:
    """One frame of the masked picture as PNG."""
    png, digest = reads.picture(site_node(node), session, actor, read_id, image_id, frame)
    return Response(png, media_type=PNG, headers=PRIVATE | {"Sonobank-Digest": digest})


@router.post("/reads/{read_id}/submit")
def submit_reading(read_id: UUID, session: SessionDep, actor: Reader) -> dict[str, str]:
    """Hand it in: from now on others see it, and it does not change."""
    return {"state": reads.submit(session, actor, read_id).state}


@router.get("/cases/{case_id}/reads")
def readings_of_case(case_id: UUID, session: SessionDep, actor: Assigner) -> list[ReadingOut | ReadOut]:
    """Who reads the case; of readings that were handed in also what they say."""
    given = {one.read.id: one for one in queries.handed_in(session, actor, case_id)}
    return [_whole(session, one, given) for one in queries.reads_of(session, actor, case_id)]


def _whole(session: Session, one: queries.Assignment, given: dict[UUID, queries.HandedIn]) -> ReadingOut | ReadOut:
    known = given.get(one.read.id)
    if known is None:
        return _out(one)
    rois = [_roi(roi) for roi in known.rois]
    return ReadingOut(**_out(one).model_dump(), values=known.read.values, version=known.read.version, rois=rois)


@router.post("/cases/{case_id}/reads", status_code=201)
def assign_reads(case_id: UUID, body: AssignIn, session: SessionDep, actor: Assigner) -> list[UUID]:
    """Ask people to read the case blind; their new readings' ids."""
    return [read.id for read in reads.assign(session, actor, case_id, body.readers, body.due)]


@router.post("/cases/{case_id}/reads/{read_id}/cancel")
def cancel_read(case_id: UUID, read_id: UUID, session: SessionDep, actor: Assigner) -> dict[str, str]:
    return {"state": reads.cancel(session, actor, case_id, read_id).state}
