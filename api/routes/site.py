"""The site's desk: opt-outs, PACS peers, holidays, packages."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlmodel import SQLModel, col, select

from api.deps import NodeDep, SessionDep, may
from api.roles import site_node
from core import audit
from core.errors import AppError, NotFound
from core.models.sitecase import Holiday, SiteCase
from core.models.transfer import Package
from core.permissions import Actor, Verb
from core.services import optouts, packages, send
from core.services.retrieve import open_peer

router = APIRouter(prefix="/api/v1", tags=["site"])


class ChartIn(SQLModel):
    chart_id: str = Field(min_length=1, max_length=64)


class OptOutDone(SQLModel):
    opted_out: bool
    cases: int = Field(description="how many cases of this patient were stopped")


class PeerOut(SQLModel):
    name: str
    url: str


class PeerTest(SQLModel):
    ok: bool
    reason: str | None = None


class HolidayBody(SQLModel):
    day: date
    name: str = Field(default="", max_length=64)


class PackageOut(SQLModel):
    id: UUID
    case_id: UUID
    case_version: int
    attempt: int
    state: str
    reason: str | None
    size: int | None
    sha256: str | None = Field(description="of the ciphertext")
    created_at: datetime
    changed_at: datetime


OptOutDesk = Annotated[Actor, may(Verb.OPT_OUT)]
ItDesk = Annotated[Actor, may(Verb.PEERS)]


@router.post("/opt-outs", status_code=201)
def opt_out(body: ChartIn, node: NodeDep, session: SessionDep, actor: OptOutDesk) -> OptOutDone:
    """A patient refuses: what is not sent yet is stopped and purged at once."""
    return OptOutDone(opted_out=True, cases=optouts.opt_out(site_node(node), session, actor, body.chart_id))


@router.post("/opt-outs/lift")
def lift(body: ChartIn, node: NodeDep, session: SessionDep, actor: OptOutDesk) -> OptOutDone:
    """A patient takes the refusal back; stopped cases stay stopped and may be flagged again."""
    optouts.lift(site_node(node), session, actor, body.chart_id)
    return OptOutDone(opted_out=False, cases=0)


@router.post("/opt-outs/check")
def check(body: ChartIn, node: NodeDep, session: SessionDep, actor: OptOutDesk) -> OptOutDone:
    audit.record(session, actor, "opt-out.check")
    return OptOutDone(opted_out=site_node(node).vault.is_opted_out(chart_id=body.chart_id), cases=0)


@router.get("/peers")
def peers(node: NodeDep, actor: ItDesk) -> list[PeerOut]:
    return [PeerOut(name=peer.name, url=peer.url) for peer in node.settings.peers]


@router.post("/peers/{name}/test")
def test_peer(name: str, node: NodeDep, actor: ItDesk) -> PeerTest:
    """Ask the PACS for one study, and say in words what is wrong."""
    try:
        with open_peer(node.settings, name) as peer:
            peer.echo()
    except AppError as exc:
        return PeerTest(ok=False, reason=exc.message)
    return PeerTest(ok=True)


@router.get("/holidays")
def holidays(session: SessionDep, actor: ItDesk) -> list[HolidayBody]:
    found = session.exec(select(Holiday).order_by(col(Holiday.day)))
    return [HolidayBody(day=holiday.day, name=holiday.name) for holiday in found]


@router.put("/holidays")
def set_holiday(body: HolidayBody, session: SessionDep, actor: ItDesk) -> HolidayBody:
    """A day on which the PACS is quiet all day."""
    session.merge(Holiday(day=body.day, name=body.name))
    audit.record(session, actor, "holiday.set", body.day.isoformat())
    return body


@router.delete("/holidays/{day}", status_code=204)
def delete_holiday(day: date, session: SessionDep, actor: ItDesk) -> None:
    if holiday := session.get(Holiday, day):
        session.delete(holiday)
        audit.record(session, actor, "holiday.delete", day.isoformat())


def _package(package: Package) -> PackageOut:
    return PackageOut.model_validate(package, from_attributes=True)


@router.get("/packages")
def list_packages(
    session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_PACKAGES)], case_id: UUID | None = None
) -> list[PackageOut]:
    """Each package with its state, as far as central's signed receipts have said."""
    return [_package(package) for package in packages.readable(session, actor, case_id)]


def own_package(package_id: UUID, session: SessionDep, actor: Annotated[Actor, may(Verb.SEND)]) -> Actor:
    """A package of another organ domain looks like one that does not exist. Raises NotFound."""
    of_case = select(SiteCase.domain).join(Package, col(Package.case_id) == SiteCase.id)
    domain = session.exec(of_case.where(Package.id == package_id)).first()
    if domain is None or not actor.may(Verb.SEND, domain):
        raise NotFound
    return actor


@router.post("/packages/{package_id}/retry")
def retry_package(package_id: UUID, session: SessionDep, actor: Annotated[Actor, Depends(own_package)]) -> PackageOut:
    """Send again now instead of at the next try."""
    return _package(send.retry(session, actor, package_id))
