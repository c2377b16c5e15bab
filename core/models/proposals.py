"""What a model proposes on an image, apart from what people drew: nothing of it is an ROI until a person says so."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects.postgresql import TEXT
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Json, Moment


class ProposalState(StrEnum):
    PROPOSED = "PROPOSED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"


PROPOSAL_MOVES: Final[dict[ProposalState, frozenset[ProposalState]]] = {
    ProposalState.PROPOSED: frozenset({ProposalState.ACCEPTED, ProposalState.REJECTED}),
    ProposalState.ACCEPTED: frozenset(),
    ProposalState.REJECTED: frozenset(),
}


class ProposalSet(SQLModel, table=True):
    """That one version of a model looked at one candidate, by its digest; it may have found nothing."""

    __tablename__ = "proposal_set"
    __table_args__ = (UniqueConstraint("image_id", "digest", "model", "model_version"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    image_id: UUID = Field(foreign_key="site_image.id", index=True)
    digest: str = Field(max_length=64)
    model: str = Field(max_length=64)
    model_version: str = Field(max_length=64)
    created_at: datetime = Created()


class ModelProposal(SQLModel, table=True):
    """A shape on one frame, points as `core.curation.shapes` has them. A rejected one is kept: a hard negative."""

    __tablename__ = "proposal"
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    set_id: UUID = Field(foreign_key="proposal_set.id", index=True)
    frame: int
    kind: str = Field(max_length=16)
    points: list[list[float]] = Json(list)
    label: str = Field(default="", max_length=32)
    score: float
    state: ProposalState = Field(default=ProposalState.PROPOSED, sa_type=TEXT)
    roi_id: UUID | None = Field(default=None, foreign_key="roi.id")
    answered_by: UUID | None = Field(default=None, foreign_key="user.id")
    answered_at: datetime | None = Moment(default=None)
