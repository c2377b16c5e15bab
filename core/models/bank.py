"""Central's accepted cases: the record of the contract, its images and ROIs, and the sites that send."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Json, Moment


class Site(SQLModel, table=True):
    """A hospital that may send: its public signing keys by key id."""

    code: str = Field(primary_key=True, max_length=12)
    name: str = Field(max_length=100)
    keys: dict[str, str] = Json(dict)
    active: bool = True
    created_at: datetime = Created()


class BankCase(SQLModel, table=True):
    """The newest accepted version of a case; older records stay in `record_version`."""

    __tablename__ = "bank_case"
    id: UUID = Field(primary_key=True)
    site: str = Field(foreign_key="site.code", index=True, max_length=12)
    research_id: UUID = Field(index=True)
    domain: str = Field(index=True, max_length=32)
    version: int
    package_id: UUID = Field(unique=True)
    accepted_month: str = Field(max_length=7)
    replicated_at: datetime | None = Moment(default=None)
    hidden: bool = False


class RecordVersion(SQLModel, table=True):
    """Each accepted record as it came; nothing is overwritten."""

    __tablename__ = "record_version"
    __table_args__ = (UniqueConstraint("case_id", "version"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="bank_case.id", index=True)
    version: int
    record: dict[str, Any] = Json(dict)


class BankImage(SQLModel, table=True):
    """An image of the newest version of a case. `replicated` once the cloud's copy was read back and its hash agreed."""

    __tablename__ = "bank_image"
    id: UUID = Field(primary_key=True)
    case_id: UUID = Field(foreign_key="bank_case.id", index=True)
    sop_instance_uid: str = Field(index=True, max_length=64)
    sha256: str = Field(max_length=64, index=True)
    rows: int
    columns: int
    frames: int
    mm_per_px: list[float] | None = Field(default=None, sa_type=JSONB, description="[x, y]; null without a scale")
    replicated: bool = False


class BankRoi(SQLModel, table=True):
    """A lesion on an image, as the record says it: its tight box on the first keyframe, and the shape on each of them.

    `keyframes` [[frame, [[x, y], ...]], ...], `out_of_view` [[first, last], ...], as in core/curation/tracks.py."""

    __tablename__ = "bank_roi"
    id: UUID = Field(primary_key=True)
    image_id: UUID = Field(foreign_key="bank_image.id", index=True)
    lesion_id: UUID
    frame: int
    x: float
    y: float
    width: float
    height: float
    margin: float
    label: str = Field(max_length=32)
    kind: str = Field(default="rectangle", max_length=16)
    keyframes: list[Any] = Json(list)
    out_of_view: list[list[int]] = Json(list)
