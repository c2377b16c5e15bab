"""What a person keeps of the worklist: filters under a name, and for a quarter of an hour the cases of a search."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Column, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Json, Moment


class SavedFilter(SQLModel, table=True):
    """One person's own view of the worklist; `query` holds the filter's plain values, never what was searched for."""

    __tablename__ = "saved_filter"
    __table_args__ = (UniqueConstraint("user_id", "name"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", ondelete="CASCADE")
    name: str = Field(max_length=40)
    query: dict[str, Any] = Json(dict)
    created_at: datetime = Created()


class FoundCases(SQLModel, table=True):
    """The cases that one search found, for the person who searched. The words are kept nowhere; the id is random."""

    __tablename__ = "found_cases"
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    case_ids: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False))
    expires_at: datetime = Moment(index=True)
