"""Trainings at central: who trains what from which frozen dataset version, how far it is, and what it left."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, UniqueConstraint
from sqlalchemy.dialects.postgresql import TEXT
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Json, Moment


class TrainingState(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


TRAINING_MOVES: Final[dict[TrainingState, frozenset[TrainingState]]] = {
    TrainingState.QUEUED: frozenset({TrainingState.RUNNING, TrainingState.CANCELLED}),
    TrainingState.RUNNING: frozenset({TrainingState.DONE, TrainingState.FAILED, TrainingState.CANCELLED}),
    TrainingState.DONE: frozenset(),
    TrainingState.FAILED: frozenset(),
    TrainingState.CANCELLED: frozenset(),
}
ACTIVE: Final = frozenset({TrainingState.QUEUED, TrainingState.RUNNING})


class TrainingRun(SQLModel, table=True):
    """One training. `progress` are the lines of progress.jsonl, one an epoch; `output` the last words of its process.

    `cancelled_by` asks a run that is under way to stop; its worker then moves it."""

    __tablename__ = "training_run"
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    dataset_version_id: UUID = Field(foreign_key="dataset_version.id", index=True)
    task: str = Field(max_length=16)
    recipe: str = Field(max_length=32)
    seed: int
    budget_minutes: int
    state: TrainingState = Field(sa_type=TEXT, index=True)
    progress: list[dict[str, Any]] = Json(list)
    metrics: dict[str, Any] = Json(dict)
    card: str = Field(default="", max_length=100_000)
    reason: str | None = Field(default=None, max_length=400)
    output: str = Field(default="", max_length=4000)
    model_id: UUID | None = Field(default=None, foreign_key="model_version.id")
    created_by: UUID = Field(foreign_key="user.id")
    created_at: datetime = Created()
    cancelled_by: UUID | None = Field(default=None, foreign_key="user.id")
    started_at: datetime | None = Moment(default=None)
    ended_at: datetime | None = Moment(default=None)


class TrainingFile(SQLModel, table=True):
    """A file that a training left, by its path in the run folder; the bytes are in the store."""

    __tablename__ = "training_file"
    __table_args__ = (UniqueConstraint("run_id", "path"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    run_id: UUID = Field(foreign_key="training_run.id", index=True)
    path: str = Field(max_length=200)
    sha256: str = Field(max_length=64, index=True)
    size: int = Field(sa_type=BigInteger)
