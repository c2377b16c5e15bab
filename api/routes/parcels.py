"""The door for sealed packages at the relay and at central: announce, look, append, the signed answers, and offered models."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from sqlmodel import SQLModel
from starlette.concurrency import run_in_threadpool

from api.deps import NodeDep, SessionDep, may
from core.errors import NotFound
from core.models.transfer import Parcel
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.services import forward, offers, parcels

router = APIRouter(prefix="/api/v1", tags=["parcels"])
Machine = Annotated[Actor, may(Verb.DELIVER)]


def speaks_for(site: str, actor: Machine) -> Actor:
    """Another site's parcels and messages look like ones that do not exist. Raises NotFound."""
    if actor.site not in {site, ALL_DOMAINS}:
        raise NotFound
    return actor


SiteMachine = Annotated[Actor, Depends(speaks_for)]


class ParcelIn(SQLModel):
    header: str = Field(max_length=65_536, description="header.json, byte for byte as it was signed")
    signature: str = Field(max_length=200)


class ParcelOut(SQLModel):
    site: str
    package_id: UUID
    state: str = Field(description="RECEIVING until every byte is here")
    received: int
    size: int


class MessageOut(SQLModel):
    n: int
    body: str
    signature: str


class Messages(SQLModel):
    messages: list[MessageOut]


def _out(parcel: Parcel) -> ParcelOut:
    return ParcelOut.model_validate(parcel, from_attributes=True)


@router.post("/parcels", status_code=201)
def announce_parcel(body: ParcelIn, session: SessionDep, actor: Machine) -> ParcelOut:
    """Open a parcel by its signed header, or find it again and learn how many bytes are here."""
    return _out(parcels.announce(session, actor, body.header, body.signature))


@router.get("/parcels/{site}/{package_id}")
def parcel(site: str, package_id: UUID, session: SessionDep, actor: SiteMachine) -> ParcelOut:
    return _out(parcels.readable(session, actor, site, package_id))


@router.put("/parcels/{site}/{package_id}/content", max_body_size=parcels.LARGEST_CHUNK)
async def put_content(
    site: str,
    package_id: UUID,
    request: Request,
    node: NodeDep,
    session: SessionDep,
    actor: SiteMachine,
    offset: Annotated[int, Query(ge=0)],
) -> ParcelOut:
    """Append one chunk at exactly the offset that is here."""
    chunk = await request.body()
    return _out(await run_in_threadpool(parcels.append, node, session, actor, site, package_id, offset, chunk))


@router.get("/messages", response_model=Messages)
def messages(
    node: NodeDep,
    session: SessionDep,
    actor: SiteMachine,
    site: str,
    after: Annotated[int, Query(ge=0, lt=1 << 31)] = 0,
    file: Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$")] = None,
    offset: Annotated[int, Query(ge=0, lt=1 << 40)] = 0,
) -> Messages | Response:
    """What central signed for one site, in order; with `file`, 4 MiB at most from `offset` of a file that one of them offers."""
    if file is not None:
        content = offers.piece(node, session, actor, site, file, offset)
        return Response(content, media_type="application/octet-stream", headers={"X-Content-Type-Options": "nosniff"})
    found = forward.messages_after(session, site, after)
    return Messages(messages=[MessageOut(n=m.n, body=m.body, signature=m.signature) for m in found])
