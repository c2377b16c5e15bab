"""Audit events; one sealer chains them after their commit."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity
from sqlmodel import Field, SQLModel

from core.models.base import Created, Json


class AuditEvent(SQLModel, table=True):
    """Who did what to which thing. `seq`, `previous` and `hash` are filled by the sealer; no patient value is here."""

    __tablename__ = "audit_event"
    id: int = Field(sa_column=Column(BigInteger, Identity(), primary_key=True), default=None)
    at: datetime = Created()
    actor: str = Field(max_length=64)
    verb: str = Field(max_length=64, index=True)
    subject: str = Field(default="", max_length=64, index=True)
    before: str | None = Field(default=None, max_length=64)
    after: str | None = Field(default=None, max_length=64)
    detail: dict[str, Any] = Json(dict)
    user_id: UUID | None = None
    seq: int | None = Field(default=None, sa_column=Column(BigInteger, unique=True))
    previous: str | None = Field(default=None, max_length=64)
    hash: str | None = Field(default=None, max_length=64)
