"""The week of low-load windows and its caps, once somebody has saved them; until then the settings rule."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint
from sqlmodel import Field, SQLModel

from core.models.base import Created, Json


class Schedule(SQLModel, table=True):
    """The one row. `windows` are as SONOBANK_WINDOWS writes them; `version` grows with each change."""

    __table_args__ = (CheckConstraint("id = 1", name="ck_schedule_one_row"),)
    id: int = Field(default=1, primary_key=True)
    windows: list[dict[str, Any]] = Json(list)
    at_once: int
    per_second: float
    nights: int
    version: int = 1
    changed_by: str = Field(max_length=64)
    changed_at: datetime = Created()
