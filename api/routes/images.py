"""Curate one case: frames, picks, form, ROIs, masks and their confirmation."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlmodel import SQLModel

from api.deps import NodeDep, SessionDep, may
from api.roles import site_node
from core.errors import NotFound
from core.models.curation import ImageMask, Roi
from core.permissions import Actor, Verb, check
from core.queries import cases as queries
from core.services import curation, masks, originals, text_answers
from core.services.rois import add_once, image_of, measures
from core.services.sent_rois import ChangedRoi, NewRoi

router = APIRouter(prefix="/api/v1", tags=["curation"])
PNG = "image/png"
PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class PickIn(SQLModel):
    picked: bool
    reason: str | None = Field(default=None, pattern=r"^[a-z-]{1,32}$")
    version: int = Field(ge=0, description="the version that you saw, 0 for none")


class PickOut(SQLModel):
    picked: bool
    reason: str | None
    version: int


class FormIn(SQLModel):
    values: dict[str, Any] = Field(max_length=200)
    version: int = Field(ge=0)


class FormOut(SQLModel):
    values: dict[str, Any] = Field(description='{field: {"value", "source": tag | manual | derived, "tag"}}')
    version: int


class RoiIn(NewRoi):
    """A track by its keyframes, or the rectangle of one frame by its tight box."""


class RoiChange(ChangedRoi):
    """What is left out stays; a box alone, if it is another one than before, makes a rectangle of one frame."""


class RoiOut(SQLModel):
    """One drawn object. frame, x, y, width, height is the tight box of its first keyframe, as is what is measured."""

    id: UUID
    image_id: UUID
    lesion_id: UUID
    kind: str = Field(description="rectangle, ellipse, polygon, spline, line or points")
    use: str = Field(description="lesion, caliper, landmark or lv; only a lesion leaves with the case")
    keyframes: list[tuple[int, list[tuple[float, float]]]] = Field(description="[[frame, [[x, y], …]], …]")
    out_of_view: list[tuple[int, int]] = Field(description="[[first, last], …]")
    uncertain: list[tuple[int, int]] = Field(description="[[frame, index of the point], …]")
    frame: int
    x: float
    y: float
    width: float
    height: float
    margin: float
    label: str
    version: int
    centre_px: tuple[float, float]
    crop: tuple[float, float, float, float] = Field(description="x, y, width, height: the box with its margin")
    centre_mm: tuple[float, float] | None = Field(
        description="from the origin of the region that contains it; null without a scale"
    )
    size_mm: tuple[float, float] | None = Field(description="width and height of the box; null without a scale")
    length_mm: float | None = Field(description="of a calliper")


class TextOut(SQLModel):
    """A place on a candidate with text that may identify; what is written there is kept nowhere."""

    frame: int
    box: tuple[int, int, int, int] = Field(description="x0, y0, x1, y1 in pixels of the stored frame, ends exclusive")
    kind: str = Field(description="identifier or question")
    what: str = Field(description="what it seems to be: name, id, birth-date, date, unread, unknown-words …")
    answer: str | None = Field(description="leave, or null until a person answers")


class MaskOut(SQLModel):
    revision: int
    state: str
    rects: list[tuple[int, int, int, int]] = Field(description="x, y, width, height in pixels")
    reasons: list[str]
    rule_id: str | None
    rule_version: str | None
    must_look: bool
    digest: str | None = Field(description="null until the candidate is written")
    to_show: list[int] = Field(description="frames (from 1) that must be looked at before confirming")
    texts: list[TextOut] = Field(description="text that the candidate still shows; each needs an answer")
    text_read: bool = Field(description="the candidate was looked through for text")
    hold: str | None


class MaskIn(SQLModel):
    rects: list[tuple[int, int, int, int]] = Field(max_length=64)
    revision: int = Field(ge=1, description="the revision that you saw")


class TextAnswersIn(SQLModel):
    answers: dict[int, text_answers.Answer] = Field(
        max_length=1000, description="{number of the text in the mask's list, from 0: mask or leave}"
    )
    revision: int = Field(ge=1, description="the revision that you saw")


class ConfirmIn(SQLModel):
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class EditOut(SQLModel):
    kind: str
    object_id: UUID
    version: int
    body: dict[str, Any]
    by: UUID
    at: str


Curator = Annotated[Actor, may(Verb.CURATE)]
Looker = Annotated[Actor, may(Verb.SEE_PIXELS)]


def mask_out(mask: ImageMask) -> MaskOut:
    return MaskOut.model_validate(mask, from_attributes=True)


@router.get("/images/{image_id}/frames/{frame}", response_class=Response, responses={200: {"content": {PNG: {}}}})
def original_frame(image_id: UUID, frame: int, node: NodeDep, session: SessionDep, actor: Looker) -> Response:
    """One frame of the identified original as PNG; looking at it is an audit event."""
    return Response(originals.frame(site_node(node), session, actor, image_id, frame), media_type=PNG, headers=PRIVATE)


@router.put("/images/{image_id}/pick")
def pick(image_id: UUID, body: PickIn, session: SessionDep, actor: Curator) -> PickOut:
    row = curation.pick(session, actor, image_id, body.picked, body.reason, body.version)
    return PickOut(picked=row.picked, reason=row.reason, version=row.version)


@router.get("/cases/{case_id}/form")
def form(case_id: UUID, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_CASES)]) -> FormOut:
    """What is saved, or what the DICOM tags alone fill in (version 0)."""
    values, version = curation.present_form(session, queries.readable_case(session, actor, case_id))
    return FormOut(values=values, version=version)


@router.put("/cases/{case_id}/form")
def save_form(case_id: UUID, body: FormIn, session: SessionDep, actor: Curator) -> FormOut:
    """Save {field: value}; automatic values are filled in again."""
    row = curation.save_form(session, actor, case_id, body.values, body.version)
    return FormOut(values=row.values, version=row.version)


def roi_out(session: SessionDep, roi: Roi) -> RoiOut:
    found = measures(roi, image_of(session, roi))
    return RoiOut.model_validate(roi.model_dump() | asdict(found))


@router.get("/cases/{case_id}/rois")
def rois(case_id: UUID, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_CASES)]) -> list[RoiOut]:
    case = queries.readable_case(session, actor, case_id)
    return [roi_out(session, roi) for roi in queries.rois_of(session, case.id)]


@router.post("/images/{image_id}/rois", status_code=201)
def add_roi(image_id: UUID, body: RoiIn, session: SessionDep, actor: Curator) -> RoiOut:
    return roi_out(session, add_once(session, actor, image_id, body.made(image_id)))


@router.put("/rois/{roi_id}")
def change_roi(roi_id: UUID, body: RoiChange, session: SessionDep, actor: Curator) -> RoiOut:
    """Change or delete an ROI; the version you saw must be the present one."""
    return roi_out(session, curation.change_roi(session, actor, roi_id, body.change(), body.version))


@router.get("/cases/{case_id}/history")
def history(case_id: UUID, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_CASES)]) -> list[EditOut]:
    """Every saved version of the case's form, picks and ROIs, newest first."""
    case = queries.readable_case(session, actor, case_id)
    ids = [
        case.id,
        *(image.id for image in queries.images_of(session, case.id)),
        *(r.id for r in queries.rois_of(session, case.id)),
    ]
    return [
        EditOut(**edit.model_dump(exclude={"id", "at"}), at=edit.at.isoformat())
        for edit in queries.history(session, ids)
    ]


@router.get("/images/{image_id}/mask")
def mask(image_id: UUID, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_CASES)]) -> MaskOut:
    """The present proposal with the reason of each rectangle, and the candidate's digest once it is written."""
    image, _ = queries.readable_image(session, actor, image_id)
    found = queries.current_mask(session, image.id)
    if found is None:
        raise NotFound
    return mask_out(found)


@router.put("/images/{image_id}/mask")
def set_mask(image_id: UUID, body: MaskIn, session: SessionDep, actor: Curator) -> MaskOut:
    """One's own rectangles: a new candidate is made and an earlier confirmation is void."""
    return mask_out(masks.set_rects(session, actor, image_id, body.rects, body.revision))


@router.post("/images/{image_id}/mask/texts")
def answer_texts(image_id: UUID, body: TextAnswersIn, session: SessionDep, actor: Curator) -> MaskOut:
    """Say of text in the candidate whether it is masked (a new candidate is made) or stays because it names nobody."""
    return mask_out(text_answers.answer(session, actor, image_id, body.revision, body.answers))


@router.get(
    "/images/{image_id}/candidate/frames/{frame}", response_class=Response, responses={200: {"content": {PNG: {}}}}
)
def candidate_frame(image_id: UUID, frame: int, node: NodeDep, session: SessionDep, actor: Looker) -> Response:
    """One frame decoded from the candidate as PNG, with the candidate's digest in `Sonobank-Digest`."""
    png, digest = masks.candidate_frame(site_node(node), session, actor, image_id, frame)
    return Response(png, media_type=PNG, headers=PRIVATE | {"Sonobank-Digest": digest})


@router.post("/images/{image_id}/mask/confirm")
def confirm(
    image_id: UUID, body: ConfirmIn, session: SessionDep, actor: Annotated[Actor, may(Verb.REGISTER)]
) -> MaskOut:
    """Confirm the very pixels that leave, by the digest that came with the frames you were shown."""
    return mask_out(masks.confirm(session, actor, image_id, body.digest))


@router.get("/images/{image_id}/mask/shown")
def shown(
    image_id: UUID, session: SessionDep, actor: Looker, limit: Annotated[int, Query(ge=1, le=100_000)] = 10_000
) -> list[int]:
    """The frames of the present candidate that you have been shown."""
    image, case = queries.readable_image(session, actor, image_id)
    check(actor, Verb.SEE_PIXELS, case.domain)
    found = queries.current_mask(session, image.id)
    if found is None or actor.user_id is None:
        raise NotFound
    return sorted(queries.frames_shown(session, found.id, actor.user_id))[:limit]
