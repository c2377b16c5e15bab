"""Packages on their way: the site's own, the parcels that relay and central hold, and central's signed messages."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, UniqueConstraint
from sqlalchemy.dialects.postgresql import TEXT
from sqlmodel import Field, SQLModel

from core.ids import outward_id, uuid7
from core.models.base import Created, Json, Moment


class PackageState(StrEnum):
    BUILDING = "BUILDING"
    DEIDENTIFIED = "DEIDENTIFIED"
    STAGED = "STAGED"
    SENT = "SENT"
    SEND_FAILED = "SEND_FAILED"
    RECEIVED = "RECEIVED"
    ACCEPTED = "ACCEPTED"
    QUARANTINED = "QUARANTINED"
    REPLICATED = "REPLICATED"
    TAKEN_BACK = "TAKEN_BACK"
    HELD = "HELD"


_P = PackageState
PACKAGE_MOVES: Final[dict[PackageState, frozenset[PackageState]]] = {
    _P.BUILDING: frozenset({_P.DEIDENTIFIED, _P.HELD, _P.TAKEN_BACK}),
    _P.DEIDENTIFIED: frozenset({_P.STAGED, _P.HELD, _P.TAKEN_BACK}),
    _P.STAGED: frozenset({_P.SENT, _P.SEND_FAILED, _P.TAKEN_BACK, _P.HELD}),
    _P.SEND_FAILED: frozenset({_P.STAGED, _P.SENT, _P.TAKEN_BACK, _P.HELD}),
    _P.SENT: frozenset({_P.RECEIVED, _P.ACCEPTED, _P.QUARANTINED}),
    _P.RECEIVED: frozenset({_P.ACCEPTED, _P.QUARANTINED}),
    _P.ACCEPTED: frozenset({_P.REPLICATED}),
    _P.QUARANTINED: frozenset(),
    _P.REPLICATED: frozenset(),
    _P.TAKEN_BACK: frozenset(),
    _P.HELD: frozenset(),
}


class Package(SQLModel, table=True):
    """One version of one case on its way out. The id is the package's id for everybody."""

    __table_args__ = (UniqueConstraint("case_id", "case_version", "attempt"),)
    id: UUID = Field(default_factory=outward_id, primary_key=True)
    case_id: UUID = Field(foreign_key="site_case.id", index=True)
    case_version: int
    attempt: int = 1
    state: PackageState = Field(sa_type=TEXT, index=True)
    reason: str | None = Field(default=None, max_length=400)
    header: str | None = None
    signature: str | None = Field(default=None, max_length=200)
    size: int | None = Field(default=None, sa_type=BigInteger)
    sha256: str | None = Field(default=None, max_length=64)
    sent_bytes: int = Field(default=0, sa_type=BigInteger)
    failures: int = 0
    created_at: datetime = Created()
    changed_at: datetime = Created()


class PackagedImage(SQLModel, table=True):
    """The outward identity and the released blob of one image in one package."""

    __tablename__ = "packaged_image"
    __table_args__ = (UniqueConstraint("package_id", "image_id"),)
    id: UUID = Field(default_factory=outward_id, primary_key=True)
    package_id: UUID = Field(foreign_key="package.id", index=True)
    image_id: UUID = Field(foreign_key="site_image.id")
    mask_id: UUID = Field(foreign_key="image_mask.id")
    sha256: str | None = Field(default=None, max_length=64, index=True)
    size: int | None = Field(default=None, sa_type=BigInteger)
    sop_instance_uid: str | None = Field(default=None, max_length=64)
    study_uid: str | None = Field(default=None, max_length=64)
    series_uid: str | None = Field(default=None, max_length=64)


class DeidReport(SQLModel, table=True):
    """What de-identification did to one packaged image. It names attributes and counts; no value that was taken out is here."""

    __tablename__ = "deid_report"
    packaged_image_id: UUID = Field(primary_key=True, foreign_key="packaged_image.id")
    body: dict[str, Any] = Json(dict)
    created_at: datetime = Created()


class ParcelState(StrEnum):
    RECEIVING = "RECEIVING"
    COMPLETE = "COMPLETE"
    FORWARDED = "FORWARDED"
    ACCEPTED = "ACCEPTED"
    QUARANTINED = "QUARANTINED"
    REFUSED = "REFUSED"


_R = ParcelState
PARCEL_MOVES: Final[dict[ParcelState, frozenset[ParcelState]]] = {
    _R.RECEIVING: frozenset({_R.COMPLETE, _R.REFUSED}),
    _R.COMPLETE: frozenset({_R.FORWARDED, _R.ACCEPTED, _R.QUARANTINED, _R.REFUSED}),
    _R.FORWARDED: frozenset(),
    _R.ACCEPTED: frozenset(),
    _R.QUARANTINED: frozenset(),
    _R.REFUSED: frozenset(),
}


class Parcel(SQLModel, table=True):
    """A sealed package at the relay or at central's door. (site, package) is unique: same hash, same receipt."""

    __table_args__ = (UniqueConstraint("site", "package_id"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    site: str = Field(max_length=12)
    package_id: UUID
    case_version: int
    header: str
    signature: str = Field(max_length=200)
    size: int = Field(sa_type=BigInteger)
    sha256: str = Field(max_length=64)
    received: int = Field(default=0, sa_type=BigInteger)
    state: ParcelState = Field(sa_type=TEXT, index=True)
    reasons: list[str] = Json(list)
    failures: int = 0
    last_error: str | None = Field(default=None, max_length=400)
    created_at: datetime = Created()
    spool_deleted_at: datetime | None = Moment(default=None)


class SignedMessage(SQLModel, table=True):
    """A numbered object signed by central for one site: issued at central, mirrored at the relay, obeyed at the site."""

    __tablename__ = "signed_message"
    __table_args__ = (UniqueConstraint("site", "n"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    site: str = Field(max_length=12, index=True)
    n: int
    body: str
    signature: str = Field(max_length=200)
    created_at: datetime = Created()
