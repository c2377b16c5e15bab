"""Cases at the site: flag them, see the worklist, move them. Answers carry the site's own numbers, never an identifier."""

import csv
import io
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response
from pydantic import Field, ValidationError
from sqlmodel import SQLModel

from api.deps import NodeDep, SessionDep, may
from api.roles import site_node
from core.clock import now_utc
from core.errors import AppError, Malformed
from core.models.sitecase import SiteCase
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.services import cases, curation, registering

router = APIRouter(prefix="/api/v1", tags=["cases"])
MOST_ROWS = 5000
MOST_CHARACTERS = 2_000_000


class FlagIn(SQLModel):
    chart_id: str = Field(min_length=1, max_length=64)
    domain: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    accession: str | None = Field(default=None, max_length=64)
    study_uid: str | None = Field(default=None, pattern=r"^[0-9.]{1,64}$")
    deferred_until: datetime | None = None


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
    case, new = cases.flag(site_node(node), session, actor, cases.FlagRequest(**body.model_dump()))
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
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        if not {"chart_id", "domain"} <= set(reader.fieldnames or ()):
            raise Malformed("The first line must name the columns: chart_id, domain, and accession or study_uid.")
        rows = list(reader)
    except csv.Error:
        raise Malformed("This is not CSV that can be read; a field may be too long.") from None
    if len(rows) > MOST_ROWS:
        raise Malformed(f"At most {MOST_ROWS} lines at once.")
    return [_flag_line(node, session, actor, number, row, preview) for number, row in enumerate(rows, 2)]


def _flag_line(
    node: NodeDep, session: SessionDep, actor: Actor, line: int, row: dict[str, Any], preview: bool
) -> CsvLine:
    known = {
        name: value.strip() or None
        for name, value in row.items()
        if name in FlagIn.model_fields and isinstance(value, str)
    }
    try:
        body = FlagIn.model_validate({name: value for name, value in known.items() if value is not None})
        request = cases.FlagRequest(**body.model_dump(), route="csv")
        if preview:
            cases.check_flag(site_node(node), actor, request)
            return CsvLine(line=line, ok=True)
        case, new = cases.flag(site_node(node), session, actor, request)
    except ValidationError as exc:
        fields = ", ".join(str(error["loc"][0]) for error in exc.errors())
        return CsvLine(line=line, ok=False, reason=f"Missing or wrong: {fields}.")
    except AppError as exc:
        return CsvLine(line=line, ok=False, reason=exc.message)
    return CsvLine(line=line, ok=True, case_id=case.id, number=case.number, new=new)


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


Step = Literal["unflag", "retry", "cancel", "exclude", "include", "register", "take-back", "correct"]


@router.post("/cases/{case_id}/{step}")
def move_case(
    case_id: UUID,
    step: Step,
    node: NodeDep,
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.SEE_CASES)],
    body: MoveIn | None = None,
) -> CaseOut:
    """Take one step with a case; each step asks for its own right."""
    site = site_node(node)
    if step == "unflag":
        case = cases.unflag(site, session, actor, case_id)
    elif step == "retry":
        case = cases.retry(session, actor, case_id)
    elif step == "cancel":
        case = cases.cancel(session, actor, case_id)
    elif step == "exclude":
        if body is None or body.reason not in curation.EXCLUDE_REASONS:
            raise Malformed(f"Excluding needs one of the reasons {', '.join(sorted(curation.EXCLUDE_REASONS))}.")
        purge_at = now_utc() + timedelta(days=node.settings.purge_days)
        case = cases.exclude(session, actor, case_id, body.reason, purge_at)
    elif step == "include":
        case = cases.include_again(session, actor, case_id)
    elif step == "register":
        case = registering.register(site, session, actor, case_id)
    elif step == "take-back":
        case = registering.take_back(session, actor, case_id)
    else:
        case = registering.correct(session, actor, case_id)
    return case_out(case)
