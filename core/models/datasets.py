"""Datasets: one global split of patients that never moves, and versions that never change."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, UniqueConstraint
from sqlalchemy.dialects.postgresql import TEXT
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Json, Moment


class Split(StrEnum):
    TRAIN = "train"
    TUNE = "tune"
    TEST = "test"


class PatientSplit(SQLModel, table=True):
    """The split of a patient (site x research id): drawn once, for every dataset, for ever."""

    __tablename__ = "patient_split"
    site: str = Field(primary_key=True, max_length=12)
    research_id: UUID = Field(primary_key=True)
    split: Split = Field(sa_type=TEXT)
    created_at: datetime = Created()


class Dataset(SQLModel, table=True):
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    name: str = Field(unique=True, max_length=64)
    domain: str = Field(max_length=32)
    created_at: datetime = Created()


class VersionState(StrEnum):
    BUILDING = "BUILDING"
    FROZEN = "FROZEN"
    FAILED = "FAILED"


VERSION_MOVES: Final[dict[VersionState, frozenset[VersionState]]] = {
    VersionState.BUILDING: frozenset({VersionState.FROZEN, VersionState.FAILED}),
    VersionState.FROZEN: frozenset(),
    VersionState.FAILED: frozenset(),
}


class DatasetVersion(SQLModel, table=True):
    """`hash` is the SHA-256 over the sorted hashes of its files; `cases` lists (case id, version) as chosen at the start."""

    __tablename__ = "dataset_version"
    __table_args__ = (UniqueConstraint("dataset_id", "n"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    dataset_id: UUID = Field(foreign_key="dataset.id", index=True)
    n: int
    state: VersionState = Field(sa_type=TEXT)
    cases: list[Any] = Json(list)
    done: int = 0
    hash: str | None = Field(default=None, max_length=64)
    counts: dict[str, Any] = Json(dict)
    reason: str | None = Field(default=None, max_length=400)
    created_by: UUID = Field(foreign_key="user.id")
    created_at: datetime = Created()
    frozen_at: datetime | None = Moment(default=None)


class DatasetFile(SQLModel, table=True):
    __tablename__ = "dataset_file"
    __table_args__ = (UniqueConstraint("version_id", "path"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    version_id: UUID = Field(foreign_key="dataset_version.id", index=True)
    path: str = Field(max_length=200)
    kind: str = Field(max_length=16)
    sha256: str = Field(max_length=64, index=True)
    size: int = Field(sa_type=BigInteger)
