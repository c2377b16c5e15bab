"""Second readings: who reads a case blind, and what they said, stored apart from the case's own answers and from each other."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TEXT
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Json, Moment


class ReadState(StrEnum):
    ASSIGNED = "ASSIGNED"
    READING = "READING"
    SUBMITTED = "SUBMITTED"
    ADJUDICATED = "ADJUDICATED"
    CANCELLED = "CANCELLED"


_S = ReadState
# A reading that was handed in never opens again: its reader may have seen what the others said.
READ_MOVES: Final[dict[ReadState, frozenset[ReadState]]] = {
    _S.ASSIGNED: frozenset({_S.READING, _S.CANCELLED}),
    _S.READING: frozenset({_S.SUBMITTED, _S.CANCELLED}),
    _S.SUBMITTED: frozenset({_S.ADJUDICATED}),
    _S.ADJUDICATED: frozenset(),
    _S.CANCELLED: frozenset(),
}
# As long as a reading is in one of these, nobody but its reader sees it, and its reader sees nothing else of the case.
OPEN: Final = frozenset({_S.ASSIGNED, _S.READING})
HANDED_IN: Final = frozenset({_S.SUBMITTED, _S.ADJUDICATED})


class Read(SQLModel, table=True):
    """One reading of one case by one person; `values` are its answers as `Form.values` keeps them, under `version`."""

    __tablename__ = "case_read"
    __table_args__ = (
        Index(
            "ix_case_read_one_each", "case_id", "reader_id", unique=True, postgresql_where=text("state <> 'CANCELLED'")
        ),
        Index("ix_case_read_reader", "reader_id", "state"),
    )
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="site_case.id", index=True)
    reader_id: UUID = Field(foreign_key="user.id")
    assigned_by: UUID = Field(foreign_key="user.id")
    state: ReadState = Field(sa_type=TEXT)
    due: date | None = None
    values: dict[str, Any] = Json(dict)
    version: int = 0
    began_at: datetime | None = Moment(default=None)
    submitted_at: datetime | None = Moment(default=None)
    created_at: datetime = Created()


class ReadRoi(SQLModel, table=True):
    """One ROI of a reading; `body` is what `core.services.curation.roi_body` says of the case's own ROIs."""

    __tablename__ = "read_roi"
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    read_id: UUID = Field(foreign_key="case_read.id", index=True)
    image_id: UUID = Field(foreign_key="site_image.id")
    body: dict[str, Any] = Json(dict)
    deleted: bool = False
    version: int = 1


class ReadEdit(SQLModel, table=True):
    """One saved version of the form or an ROI of a reading; apart from the edits of its case, whose history others read."""

    __tablename__ = "read_edit"
    __table_args__ = (UniqueConstraint("kind", "object_id", "version"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    read_id: UUID = Field(foreign_key="case_read.id", index=True)
    kind: str = Field(max_length=16)
    object_id: UUID
    version: int
    body: dict[str, Any] = Json(dict)
    at: datetime = Created()


class ReviewComment(SQLModel, table=True):
    """One remark on a case or on an ROI of it, or the answer to one. Its text lies sealed in the vault, under this id."""

    __tablename__ = "review_comment"
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="site_case.id", index=True)
    roi_id: UUID | None = Field(default=None, foreign_key="roi.id")
    parent_id: UUID | None = Field(default=None, foreign_key="review_comment.id")
    by: UUID = Field(foreign_key="user.id")
    at: datetime = Created()
    resolved_at: datetime | None = Moment(default=None)
    resolved_by: UUID | None = Field(default=None, foreign_key="user.id")
