"""What a curator answered last to the questions that are much the same from case to case."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from core.models.base import Created


class FormDefault(SQLModel, table=True):
    """One person's answer to one field of one organ, offered to them in the next case. `value` is codes or yes and no."""

    __tablename__ = "form_default"
    user_id: UUID = Field(primary_key=True, foreign_key="user.id", ondelete="CASCADE")
    domain: str = Field(primary_key=True, max_length=32)
    field: str = Field(primary_key=True, max_length=64)
    value: Any = Field(sa_column=Column(JSONB, nullable=False))
    saved_at: datetime = Created()
