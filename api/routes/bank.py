"""Central: accepted cases with their images and ROIs, all de-identified."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from sqlmodel import SQLModel

from api.deps import SessionDep, may
from core.models.bank import BankCase
from core.permissions import Actor, Verb
from core.queries import bank

router = APIRouter(prefix="/api/v1", tags=["bank"])
Reader = Annotated[Actor, may(Verb.SEE_BANK)]


class BankCaseOut(SQLModel):
    id: UUID
    site: str
    research_id: UUID
    domain: str
    version: int
    accepted_month: str
    replicated_at: datetime | None


class BankImageOut(SQLModel):
    id: UUID
    sop_instance_uid: str
    sha256: str
    rows: int
    columns: int
    frames: int
    replicated: bool


class BankRoiOut(SQLModel):
    id: UUID
    image_id: UUID
    lesion_id: UUID
    frame: int
    x: float
    y: float
    width: float
    height: float
    margin: float
    label: str
    kind: str
    keyframes: list[tuple[int, list[tuple[float, float]]]]
    out_of_view: list[tuple[int, int]]


class BankCaseDetail(BankCaseOut):
    images: list[BankImageOut]
    rois: list[BankRoiOut]
    record: dict[str, Any]


class Count(SQLModel):
    domain: str
    site: str
    cases: int


def _case(case: BankCase) -> BankCaseOut:
    return BankCaseOut.model_validate(case, from_attributes=True)


@router.get("/cases")
def bank_cases(
    session: SessionDep,
    actor: Reader,
    site: str | None = None,
    domain: str | None = None,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[BankCaseOut]:
    """Accepted cases in the order of their random ids; pass the last id as `after` for the next page."""
    return [_case(case) for case in bank.page(session, actor, site, domain, after, limit)]


@router.get("/cases/{case_id}")
def bank_case(case_id: UUID, session: SessionDep, actor: Reader) -> BankCaseDetail:
    case = bank.one(session, actor, case_id)
    images = [BankImageOut.model_validate(i, from_attributes=True) for i in bank.images_of(session, case.id)]
    rois = [BankRoiOut.model_validate(r, from_attributes=True) for r in bank.rois_of(session, case.id)]
    record = bank.record_of(session, case).record
    return BankCaseDetail(**_case(case).model_dump(), images=images, rois=rois, record=record)


@router.get("/counts")
def bank_counts(session: SessionDep, actor: Reader) -> list[Count]:
    return [Count(domain=domain, site=site, cases=cases) for domain, site, cases in bank.counts(session, actor)]
