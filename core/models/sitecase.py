"""A flagged case at the site and its images. No identifier is here: the vault holds them under the case's id."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, UniqueConstraint
from sqlalchemy.dialects.postgresql import TEXT
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Json, Moment


class CaseState(StrEnum):
    FLAGGED = "FLAGGED"
    DEFERRED = "DEFERRED"
    QUEUED = "QUEUED"
    RETRIEVING = "RETRIEVING"
    RETRIEVE_FAILED = "RETRIEVE_FAILED"
    CURATING = "CURATING"
    REGISTERED = "REGISTERED"
    EXCLUDED = "EXCLUDED"
    RECALLED = "RECALLED"
    WITHDRAWN = "WITHDRAWN"


_S = CaseState
CASE_MOVES: Final[dict[CaseState, frozenset[CaseState]]] = {
    _S.FLAGGED: frozenset({_S.DEFERRED, _S.QUEUED, _S.EXCLUDED, _S.WITHDRAWN}),
    _S.DEFERRED: frozenset({_S.FLAGGED, _S.EXCLUDED, _S.WITHDRAWN}),
    _S.QUEUED: frozenset({_S.FLAGGED, _S.RETRIEVING, _S.EXCLUDED, _S.WITHDRAWN}),
    _S.RETRIEVING: frozenset({_S.QUEUED, _S.RETRIEVE_FAILED, _S.CURATING, _S.WITHDRAWN}),
    _S.RETRIEVE_FAILED: frozenset({_S.QUEUED, _S.EXCLUDED, _S.WITHDRAWN}),
    _S.CURATING: frozenset({_S.REGISTERED, _S.EXCLUDED, _S.QUEUED, _S.WITHDRAWN}),
    _S.REGISTERED: frozenset({_S.CURATING, _S.RECALLED, _S.WITHDRAWN}),
    _S.EXCLUDED: frozenset({_S.CURATING, _S.FLAGGED, _S.WITHDRAWN}),
    _S.RECALLED: frozenset({_S.CURATING, _S.WITHDRAWN}),
    _S.WITHDRAWN: frozenset(),
}


RETROSPECTIVE: Final = "retrospective"  # the route of a case whose images came from a folder


class SiteCase(SQLModel, table=True):
    """One study of one patient on its way through the site. `revision` is the case version that leaves."""

    __tablename__ = "site_case"
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, Identity(start=1), unique=True, nullable=False), default=None)
    domain: str = Field(max_length=32, index=True)
    state: CaseState = Field(sa_type=TEXT, index=True)
    route: str = Field(max_length=16, description="rest, csv, kos or retrospective")
    peer: str | None = Field(default=None, max_length=32)
    revision: int = 1
    reason: str | None = Field(default=None, max_length=400, description="why it waits or failed, in plain words")
    expected: int | None = None
    failures: int = 0
    failed_nights: int = 0
    last_failed_night: date | None = None
    not_before: datetime | None = Moment(default=None)
    flagged_by: UUID = Field(foreign_key="user.id")
    registered_by: UUID | None = Field(default=None, foreign_key="user.id")
    release_at: datetime | None = Moment(default=None)
    purge_at: datetime | None = Moment(default=None)
    purged_at: datetime | None = Moment(default=None)
    created_at: datetime = Created()


class ImageState(StrEnum):
    STAGED = "STAGED"
    REFUSED = "REFUSED"


class SiteImage(SQLModel, table=True):
    """One retrieved instance; its bytes lie sealed in staging, its identifiers in the vault."""

    __tablename__ = "site_image"
    __table_args__ = (UniqueConstraint("case_id", "number"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="site_case.id", index=True)
    number: int
    state: ImageState = Field(sa_type=TEXT)
    reason: str | None = Field(default=None, max_length=400)
    size: int = Field(sa_type=BigInteger)
    facts: dict[str, Any] = Json(dict)
    frames: int = 0
    rows: int = 0
    columns: int = 0
    created_at: datetime = Created()


class Holiday(SQLModel, table=True):
    """A day on which the PACS is quiet all day."""

    day: date = Field(primary_key=True)
    name: str = Field(default="", max_length=64)
