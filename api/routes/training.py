"""Trainings at central: start one from a frozen dataset version, see how far it is, cancel it, register its model."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from sqlmodel import Session, SQLModel

from api.deps import NodeDep, SessionDep, may
from api.roles import central_node
from api.routes.models import ModelOut
from core.permissions import Actor, Verb
from core.services import training
from core.services.training import MOST_MINUTES, MOST_SEED, Line, Wish

router = APIRouter(prefix="/api/v1", tags=["training"])
Trainer = Annotated[Actor, may(Verb.TRAIN)]


class TrainingIn(SQLModel):
    dataset: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    version: int | None = Field(default=None, ge=1, le=10**6, description="the newest frozen one without it")
    task: str = Field(max_length=16, description="detect or classify")
    recipe: str = Field(max_length=32)
    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    budget_minutes: int = Field(default=60, ge=1, le=MOST_MINUTES)


class TrainingOut(SQLModel):
    id: UUID
    dataset: str
    version: int
    domain: str
    task: str
    recipe: str
    seed: int
    budget_minutes: int
    state: str
    reason: str | None
    progress: list[dict[str, Any]] = Field(description="a line an epoch")
    metrics: dict[str, Any]
    model_id: UUID | None = Field(description="of the registered model, if somebody registered it")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@router.post("/trainings", status_code=202)
def start_training(body: TrainingIn, session: SessionDep, actor: Trainer) -> TrainingOut:
    """Queue a training; it runs on the worker's machine. Research use only."""
    wish = Wish(body.task, body.recipe, body.seed, body.budget_minutes)
    run = training.start(session, actor, body.dataset, body.version, wish)
    return _found(session, actor, run.id)


@router.get("/trainings")
def list_trainings(session: SessionDep, actor: Trainer) -> list[TrainingOut]:
    """Every training, the newest first."""
    return [_out(line) for line in training.readable_runs(session, actor)]


@router.get("/trainings/{run_id}")
def one_training(run_id: UUID, session: SessionDep, actor: Trainer) -> TrainingOut:
    return _found(session, actor, run_id)


@router.post("/trainings/{run_id}/cancel")
def cancel_training(run_id: UUID, session: SessionDep, actor: Trainer) -> TrainingOut:
    """One that waits is cancelled at once, one that runs is asked to stop."""
    training.cancel(session, actor, run_id)
    return _found(session, actor, run_id)


@router.post("/trainings/{run_id}/register")
def register_training(run_id: UUID, node: NodeDep, session: SessionDep, actor: Trainer) -> ModelOut:
    """Register the model of a training that is done, as the next version of its name."""
    model = training.register(central_node(node), session, actor, run_id)
    return ModelOut.model_validate(model, from_attributes=True)


def _found(session: Session, actor: Actor, run_id: UUID) -> TrainingOut:
    return _out(training.readable_run(session, actor, run_id))


def _out(line: Line) -> TrainingOut:
    run = line.run
    told = {
        name: getattr(run, name) for name in TrainingOut.model_fields if name not in {"dataset", "version", "domain"}
    }
    return TrainingOut(dataset=line.dataset.name, version=line.version.n, domain=line.dataset.domain, **told)
