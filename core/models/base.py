"""Columns that many tables share."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from core.clock import now_utc


def Moment(**options: Any) -> Any:  # noqa: ANN401 -- reads like Field, of which it is one
    """A time with its zone, in UTC."""
    return Field(sa_type=DateTime(timezone=True), **options)


def Created() -> Any:  # noqa: ANN401
    return Moment(default_factory=now_utc, nullable=False)


def Json(default: type, **options: Any) -> Any:  # noqa: ANN401
    """A JSONB column that starts as an empty `default` (dict or list)."""
    return Field(default_factory=default, sa_type=JSONB, nullable=False, **options)


__all__ = ["Created", "Json", "Moment", "datetime"]
