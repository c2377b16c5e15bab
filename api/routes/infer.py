"""Frames in, boxes out: a picture or DICOM file in one request; live frames have a stream of their own (`api.routes.infer_stream`)."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from sqlmodel import Session, SQLModel

from api.deps import NodeDep, SessionDep, may
from api.roles import site_node
from core import audit
from core.errors import Malformed
from core.inference.client import RESEARCH
from core.node import Node
from core.permissions import ALL_DOMAINS, Actor, Verb, check
from core.services import infer_report as report
from core.services import inference, registry

router = APIRouter(prefix="/api/v1", tags=["inference"])
site_router = APIRouter(prefix="/api/v1", tags=["inference"])
Looker = Annotated[Actor, may(Verb.INFER)]
LARGEST_FILE: Final = 128 << 20
DOMAIN: Final = r"^(\*|[a-z][a-z0-9_]{0,31})$"


class ModelSaid(SQLModel):
    name: str
    version: int
    id: str = Field(description="of the version in the registry")
    threshold: float = Field(description="its own, which counts where none was asked for")


class BoxOut(SQLModel):
    x: float = Field(description="of the upper left corner, in pixels of the frame")
    y: float
    width: float
    height: float
    label: str = Field(description="the class; empty where the model abstains")
    score: float
    probabilities: dict[str, float]


class BorderOut(SQLModel):
    points: list[tuple[float, float]] = Field(
        description="from one end of the mitral plane over the apex to the other, in pixels of the frame"
    )
    score: float = Field(description="the mean probability within")


class FrameOut(SQLModel):
    frame: int = Field(description="from 1")
    rows: int
    columns: int
    boxes: list[BoxOut]
    border: BorderOut | None = Field(default=None, description="of the left ventricle, by a model that draws it")
    ms: float = Field(description="the model's own time")


class InferOut(SQLModel):
    notice: str
    model: ModelSaid
    frames: list[FrameOut]


BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            name: {"schema": {"type": "string", "format": "binary"}}
            for name in ("image/png", "image/jpeg", "application/dicom")
        },
    }
}


@router.post("/infer", max_body_size=LARGEST_FILE, openapi_extra=BODY)
async def infer(
    request: Request,
    node: NodeDep,
    session: SessionDep,
    actor: Looker,
    domain: Annotated[str, Query(pattern=DOMAIN, description="the organ, or * for the model of any")] = ALL_DOMAINS,
    threshold: Annotated[float | None, Query(ge=0, le=1, description="instead of the model's own")] = None,
    first: Annotated[int, Query(ge=1)] = 1,
    last: Annotated[int | None, Query(ge=1)] = None,
) -> InferOut:
    """Boxes of each frame of a PNG, JPEG or DICOM image (still or cine, frames `first` to `last`). Research use only."""
    looks = await _looks(request, node, session, actor, domain, threshold, first, last)
    frames = [FrameOut.model_validate(one, from_attributes=True) for one in looks]
    return InferOut(notice=RESEARCH, model=ModelSaid(**looks[0].model), frames=frames)


@router.post("/infer/coco", max_body_size=LARGEST_FILE, openapi_extra=BODY)
async def infer_coco(
    request: Request,
    node: NodeDep,
    session: SessionDep,
    actor: Looker,
    domain: Annotated[str, Query(pattern=DOMAIN)] = ALL_DOMAINS,
    threshold: Annotated[float | None, Query(ge=0, le=1)] = None,
    first: Annotated[int, Query(ge=1)] = 1,
    last: Annotated[int | None, Query(ge=1)] = None,
) -> dict[str, Any]:
    """The same as COCO detection results: an image a frame, an annotation a box, with its score."""
    looks = await _looks(request, node, session, actor, domain, threshold, first, last)
    model = await run_in_threadpool(registry.of_domain, session, domain)
    return inference.as_coco(looks, model.classes if model else [])


class ReportOut(SQLModel):
    objects: int = Field(description="SR and presentation states that the PACS took")
    lesions: int
    images: int
    model: str
    notice: str = RESEARCH


@site_router.post("/cases/{case_id}/infer/report")
def infer_report(
    case_id: UUID, node: NodeDep, session: SessionDep, actor: Annotated[Actor, may(Verb.CURATE)]
) -> ReportOut:
    """Send what the model says of a case to the PACS that it came from: SR (TID 1500) and presentation states."""
    return ReportOut.model_validate(report.send(site_node(node), session, actor, case_id), from_attributes=True)


async def _looks(
    request: Request,
    node: Node,
    session: Session,
    actor: Actor,
    domain: str,
    threshold: float | None,
    first: int,
    last: int | None,
) -> list[inference.Look]:
    check(actor, Verb.INFER, domain)
    body = await request.body()
    if not body:
        raise Malformed("Send a PNG, JPEG or DICOM file as the body of the request.")
    looks = await run_in_threadpool(inference.look_at_file, node, body, domain, threshold, first, last)
    found = sum(len(one.boxes) for one in looks)
    audit.record(session, actor, "infer.file", looks[0].model["id"], None, None, frames=len(looks), found=found)
    return looks
