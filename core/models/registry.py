"""The registry of models: what was trained on what, how well it did, and which version a person let take effect."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TEXT
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Json, Moment


class ModelState(StrEnum):
    """At central a version in effect is PROMOTED, at a site ACCEPTED: there it answers for nobody until somebody says so."""

    REGISTERED = "REGISTERED"
    PROMOTED = "PROMOTED"
    ACCEPTED = "ACCEPTED"
    RETIRED = "RETIRED"


IN_EFFECT: Final = frozenset({ModelState.PROMOTED, ModelState.ACCEPTED})
_IN: Final = "state IN ('PROMOTED', 'ACCEPTED')"
MODEL_MOVES: Final[dict[ModelState, frozenset[ModelState]]] = {
    ModelState.REGISTERED: frozenset({ModelState.PROMOTED, ModelState.ACCEPTED, ModelState.RETIRED}),
    ModelState.PROMOTED: frozenset({ModelState.RETIRED}),
    ModelState.ACCEPTED: frozenset({ModelState.RETIRED}),
    ModelState.RETIRED: frozenset({ModelState.PROMOTED, ModelState.ACCEPTED}),  # a roll-back
}


class ModelVersion(SQLModel, table=True):
    """One version of one model for an organ domain ("*": any); what is in it never changes, and one a domain is in effect.

    `sha256` is over the list of its files. `metrics` are as its training printed them."""

    __tablename__ = "model_version"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        Index("model_in_effect", "domain", unique=True, postgresql_where=text(_IN)),
    )
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    name: str = Field(max_length=100)
    version: int
    domain: str = Field(max_length=32)
    task: str = Field(max_length=16)
    classes: list[str] = Json(list)
    state: ModelState = Field(sa_type=TEXT)
    sha256: str = Field(max_length=64)
    dataset: dict[str, Any] = Json(dict)
    metrics: dict[str, Any] = Json(dict)
    intended_use: str = Field(default="", max_length=1000)
    licence: str = Field(max_length=100)
    shippable: bool = False
    card: str = Field(default="", max_length=100_000)
    registered_by: UUID | None = Field(default=None, foreign_key="user.id")
    registered_at: datetime = Created()
    decided_by: UUID | None = Field(default=None, foreign_key="user.id")
    decided_at: datetime | None = Moment(default=None)


class ModelFile(SQLModel, table=True):
    """A file of a version, by its path in the model's folder; the bytes are in the store."""

    __tablename__ = "model_file"
    __table_args__ = (UniqueConstraint("model_id", "path"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    model_id: UUID = Field(foreign_key="model_version.id", index=True)
    path: str = Field(max_length=200)
    sha256: str = Field(max_length=64, index=True)
    size: int = Field(sa_type=BigInteger)
