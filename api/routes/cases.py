"""Cases at the site: flag them, see the worklist, move them. Answers carry the site's own numbers, never an identifier."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response
from pydantic import Field
from sqlmodel import SQLModel

from api.deps import NodeDep, SessionDep, may
from api.roles import site_node
from core.models.sitecase import SiteCase
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.queries import deid_report as reports
from core.services import cases, flagging, registering, steps
from core.services.flagging import MOST_CHARACTERS, FlagIn

router = APIRouter(prefix="/api/v1", tags=["cases"])


class CaseOut(SQLModel):
    id: UUID
    number: int
    domain: str
    state: str
    revision: int
    route: str
    reason: str | None
    expected: int | None
    created_at: datetime
    not_before: datetime | None
    release_at: datetime | None
    purged: bool


class Worklist(SQLModel):
    cases: list[CaseOut]
    total: int
    next: int | None = Field(description="pass it as `after` for the next page; null at the end")


class ImageOut(SQLModel):
    id: UUID
    number: int
    state: str
    reason: str | None
    frames: int
    rows: int
    columns: int
    facts: dict[str, Any]
    picked: bool | None
    pick_reason: str | None
    pick_version: int
    mask_state: str | None


class CaseDetail(CaseOut):
    images: list[ImageOut]
    gaps: list[dict[str, str]]


class CsvLine(SQLModel):
    line: int
    ok: bool
    case_id: UUID | None = None
    number: int | None = None
    new: bool | None = None
    reason: str | None = None


def case_out(case: SiteCase) -> CaseOut:
    return CaseOut.model_validate(case, from_attributes=True, update={"purged": case.purged_at is not None})


@router.post("/cases", status_code=201)
def flag(
    body: FlagIn, response: Response, node: NodeDep, session: SessionDep, actor: Annotated[Actor, may(Verb.FLAG)]
) -> CaseOut:
    """Flag one study. A study that is flagged already answers 200 with its case."""
    case, new = cases.flag(site_node(node), session, actor, flagging.request_of(site_node(node), body, "rest"))
    response.status_code = 201 if new else 200
    return case_out(case)


@router.post("/cases/csv", max_body_size=4 * MOST_CHARACTERS)  # UTF-8
def flag_csv(
    node: NodeDep,
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.FLAG)],
    text: Annotated[str, Body(media_type="text/csv", max_length=MOST_CHARACTERS)],
    preview: Annotated[bool, Query(description="check only, flag nothing")] = False,
) -> list[CsvLine]:
    """Flag many: columns chart_id, domain, and accession or study_uid. Each line answers for itself."""
    found = flagging.lines_of(site_node(node), session, actor, text, preview=preview)
    return [_csv_line(line, preview) for line in found]


def _csv_line(line: flagging.Line, preview: bool) -> CsvLine:
    """A preview says only whether the line would do."""
    case = None if preview else line.case
    return CsvLine(
        line=line.line,
        ok=line.ok,
        case_id=case.id if case else None,
        number=case.number if case else None,
        new=None if preview else line.new,
        reason=line.reason,
    )


@router.get("/cases")
def worklist(
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.SEE_CASES)],
    state: str | None = None,
    domain: str | None = None,
    after: int = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Worklist:
    """Cases of one's domains in the order of their numbers."""
    page, total = queries.worklist(session, actor, state, domain, after, limit)
    following = page[-1].number if len(page) == limit else None
    return Worklist(cases=[case_out(case) for case in page], total=total, next=following)


@router.get("/cases/{case_id}")
def one_case(case_id: UUID, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_CASES)]) -> CaseDetail:
    """A case with its images and what is still missing."""
    case = queries.readable_case(session, actor, case_id)
    picks, masks = queries.picks_of(session, case.id), queries.masks_of(session, case.id)
    images = []
    for image in queries.images_of(session, case.id):
        pick, mask = picks.get(image.id), masks.get(image.id)
        images.append(
            ImageOut.model_validate(
                image,
                from_attributes=True,
                update={
                    "picked": pick.picked if pick else None,
                    "pick_reason": pick.reason if pick else None,
                    "pick_version": pick.version if pick else 0,
                    "mask_state": mask.state if mask else None,
                },
            )
        )
    missing = registering.gaps(session, case) if case.state == "CURATING" else []
    gaps = [{"where": gap.where, "message": gap.message} for gap in missing]
    return CaseDetail.model_validate(case_out(case).model_dump() | {"images": images, "gaps": gaps})


class MoveIn(SQLModel):
    reason: str | None = Field(default=None, pattern=r"^[a-z-]{1,32}$", description="a coded reason; needed to exclude")


@router.post("/cases/{case_id}/{step}")
def move_case(
    case_id: UUID,
    step: steps.Step,
    node: NodeDep,
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.SEE_CASES)],
    body: MoveIn | None = None,
) -> CaseOut:
    """Take one step with a case; each step asks for its own right."""
    case = steps.take(site_node(node), session, actor, case_id, step, body.reason if body else None)
    return case_out(case)


@router.get("/cases/{case_id}/deid-report")
def deid_report(case_id: UUID, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_CASES)]) -> dict[str, Any]:
    """What de-identification did to the newest package of the case; no value that was taken out is in it."""
    return reports.as_json(reports.case_report(session, actor, case_id))
