"""The site's own mask rules: one row a rule, and a row for each version of it that somebody published."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects.postgresql import TEXT
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Json, Moment


class RuleState(StrEnum):
    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    RETIRED = "RETIRED"


RULE_MOVES: Final[dict[RuleState, frozenset[RuleState]]] = {
    RuleState.DRAFT: frozenset({RuleState.PUBLISHED, RuleState.RETIRED}),
    RuleState.PUBLISHED: frozenset({RuleState.RETIRED}),
    RuleState.RETIRED: frozenset(),
}


class DeviceRule(SQLModel, table=True):
    """What is being written; images are masked by its newest version. `edits` counts what was saved.

    The columns from `manufacturer` to `rects` are `core.deid.local_rules.Content`. `tested` are the counts of the last
    test and the sha256 of what was tested."""

    __tablename__ = "device_rule"
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    state: RuleState = Field(sa_type=TEXT, index=True)
    manufacturer: str = Field(max_length=64)
    model: str = Field(max_length=64)
    aliases: list[str] = Json(list)
    software: str = Field(default="", max_length=64)
    image_type: str = Field(default="", max_length=64)
    rows: int
    columns: int
    scale: str = Field(max_length=16)
    outside: bool = True
    rects: list[list[int]] = Json(list)
    sample_image_id: UUID | None = None
    tested: dict[str, Any] = Json(dict)
    note: str = Field(default="", max_length=200)
    source: str = Field(default="", max_length=64)
    edits: int = 1
    created_by: UUID = Field(foreign_key="user.id")
    created_at: datetime = Created()

    @property
    def code(self) -> str:
        """What an image's mask names; the random end of the id."""
        return f"site-{self.id.hex[-12:]}"


class DeviceRuleVersion(SQLModel, table=True):
    """One published version; it never changes. `content` is the whole rule, `sha256` is of it."""

    __tablename__ = "device_rule_version"
    __table_args__ = (UniqueConstraint("rule_id", "number"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    rule_id: UUID = Field(foreign_key="device_rule.id")
    number: int
    content: dict[str, Any] = Json(dict)
    sha256: str = Field(max_length=64)
    sample_image_id: UUID | None = None
    tested: dict[str, Any] = Json(dict)
    note: str = Field(default="", max_length=200)
    published_by: UUID = Field(foreign_key="user.id")
    published_at: datetime = Moment(nullable=False)
