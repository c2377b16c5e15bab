"""Trainings at central: start one from a frozen dataset version, cancel it, keep what it left, register its model."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session, col, func, select

from core import audit, jobs
from core.clock import now_utc
from core.errors import Denied, Malformed, NotFound, WrongState
from core.inference import folder as model_folder
from core.models.datasets import Dataset, DatasetVersion, VersionState
from core.models.registry import ModelVersion
from core.models.training import ACTIVE, TRAINING_MOVES, TrainingFile, TrainingRun, TrainingState
from core.node import CentralNode
from core.permissions import ALL_DOMAINS, SYSTEM, Actor, Verb, check
from core.services import registry
from core.services.datasets import StoredFile, readable_version

MOST_MINUTES: Final = 24 * 60
MOST_SEED: Final = 2**31 - 1
_SMALL: Final = 500_000


@dataclass(frozen=True)
class Preset:
    """A recipe that can be chosen: the arguments of `./run ml train TASK`, and what the boxes are called.

    `boxes`: "diagnosis" as they are, "cyst" for cyst and non-cyst. `is_agpl`: what it trains may not be passed on."""

    arguments: tuple[str, ...]
    boxes: str = "diagnosis"
    is_agpl: bool = False


def _named(name: str, *more: str) -> tuple[str, ...]:
    return ("--recipe", name, *more)


PRESETS: Final[Mapping[str, Mapping[str, Preset]]] = {
    "detect": {
        "fcos-cyst": Preset(_named("fcos"), "cyst"),
        "fcos-lesion": Preset(_named("fcos", "--one-class", "lesion")),
        "fcos": Preset(_named("fcos")),
        "yolo11n-lesion": Preset(_named("yolo11n", "--one-class", "lesion"), is_agpl=True),
        "yolov3-tiny-lesion": Preset(_named("yolov3-tiny", "--one-class", "lesion"), is_agpl=True),
        "trial": Preset(_named("fcos", "--size", "64", "--epochs", "2", "--batch", "8"), "cyst"),
    },
    "classify": {
        "tails": Preset(_named("tails-form")),
        "efflite0": Preset(_named("efflite0")),
        "pair": Preset(_named("pair")),
        "cnn10": Preset(_named("cnn10")),
        "cyst-other": Preset(_named("efflite0"), "cyst"),
        "cnn10-cyst": Preset(_named("cnn10"), "cyst"),
        "trial": Preset(_named("tiny"), "cyst"),
    },
}


@dataclass(frozen=True)
class Wish:
    """What somebody wants trained."""

    task: str
    recipe: str
    seed: int = 0
    budget_minutes: int = 60


@dataclass(frozen=True)
class Line:
    """A training with the dataset version that it learns from."""

    run: TrainingRun
    dataset: Dataset
    version: DatasetVersion


def preset(task: str, recipe: str) -> Preset:
    """Raises Malformed for a task or a recipe that is none."""
    if recipe not in PRESETS.get(task, {}):
        raise Malformed("There is no such task or recipe of training.")
    return PRESETS[task][recipe]


def start(session: Session, actor: Actor, name: str, n: int | None, wish: Wish) -> TrainingRun:
    """QUEUED, with its job; `n` None takes the newest frozen version. Raises NotFound, Malformed or WrongState."""
    dataset, version = readable_version(session, actor, name, n)
    check(actor, Verb.TRAIN, dataset.domain)
    if actor.user_id is None:
        raise Denied
    preset(wish.task, wish.recipe)
    if not (0 <= wish.seed <= MOST_SEED and 1 <= wish.budget_minutes <= MOST_MINUTES):
        raise Malformed("A seed is a number from 0; a budget is 1 to 1440 minutes.")
    if version.state != VersionState.FROZEN:
        raise WrongState("This version is not frozen yet.")
    run = TrainingRun(
        dataset_version_id=version.id, task=wish.task, recipe=wish.recipe, seed=wish.seed,
        budget_minutes=wish.budget_minutes, state=TrainingState.QUEUED, created_by=actor.user_id,
    )  # fmt: skip
    session.add(run)
    session.flush()
    audit.record(session, actor, "training.start", run.id, after=run.state, n=version.n, domain=dataset.domain)
    jobs.enqueue(session, "train", "training", key=f"training:{run.id}", run_id=str(run.id))
    return run


def readable_runs(session: Session, actor: Actor) -> list[Line]:
    """Every training of the domains in which this person may train, the newest first."""
    domains = actor.domains(Verb.TRAIN)
    statement = (
        select(TrainingRun, Dataset, DatasetVersion)
        .join(DatasetVersion, col(DatasetVersion.id) == TrainingRun.dataset_version_id)
        .join(Dataset, col(Dataset.id) == DatasetVersion.dataset_id)
        .order_by(col(TrainingRun.created_at).desc(), col(TrainingRun.id).desc())
    )
    if ALL_DOMAINS not in domains:
        statement = statement.where(col(Dataset.domain).in_(domains))
    return [Line(*found) for found in session.exec(statement)]


def readable_run(session: Session, actor: Actor, run_id: UUID) -> Line:
    """Raises NotFound for one that is not there, or not for this person."""
    line = line_of(session, run_id)
    if line is None or not actor.may(Verb.TRAIN, line.dataset.domain):
        raise NotFound
    return line


def line_of(session: Session, run_id: UUID) -> Line | None:
    run = session.get(TrainingRun, run_id)
    if run is None:
        return None
    version = session.get_one(DatasetVersion, run.dataset_version_id)
    return Line(run, session.get_one(Dataset, version.dataset_id), version)


def cancel(session: Session, actor: Actor, run_id: UUID) -> TrainingRun:
    """Take a waiting training off at once; one that runs is asked to stop, and its worker ends it. Raises WrongState."""
    readable_run(session, actor, run_id)
    run = session.get_one(TrainingRun, run_id, with_for_update=True, populate_existing=True)
    if run.state not in ACTIVE:
        raise WrongState("This training has ended already.")
    if run.cancelled_by is None:
        run.cancelled_by = actor.user_id
        audit.record(session, actor, "training.cancel", run.id, before=run.state)
    if run.state == TrainingState.QUEUED:
        _move(session, run, TrainingState.CANCELLED)
    return run


def begin(session: Session, run_id: UUID) -> bool:
    """QUEUED -> RUNNING, or RUNNING already because a worker died over it; False when there is nothing to do any more."""
    run = session.get_one(TrainingRun, run_id, with_for_update=True)
    if run.state == TrainingState.QUEUED:
        _move(session, run, TrainingState.RUNNING)
    return run.state == TrainingState.RUNNING


def follow(session: Session, run_id: UUID, progress: Sequence[dict[str, Any]]) -> None:
    """Keep the epochs so far."""
    run = session.get_one(TrainingRun, run_id, with_for_update=True)
    if run.state == TrainingState.RUNNING:
        run.progress = [*progress]


def is_cancelled(session: Session, run_id: UUID) -> bool:
    """Whether somebody has asked the run to stop."""
    asked = session.exec(select(TrainingRun.cancelled_by).where(TrainingRun.id == run_id)).one()
    return asked is not None


def finish(session: Session, run_id: UUID, files: Sequence[StoredFile], metrics: Mapping[str, Any], card: str) -> None:
    """RUNNING -> DONE with the files that are in the store. A run that has ended already is left as it is."""
    run = session.get_one(TrainingRun, run_id, with_for_update=True)
    if run.state != TrainingState.RUNNING:
        return
    session.add_all(TrainingFile(run_id=run.id, path=file.path, sha256=file.sha256, size=file.size) for file in files)
    run.metrics = dict(metrics) if len(json.dumps(metrics)) <= _SMALL else {}
    run.card = card.replace("\0", "")[:100_000]
    _move(session, run, TrainingState.DONE)


def end(session: Session, run_id: UUID, state: TrainingState, reason: str | None = None, output: str = "") -> None:
    """RUNNING -> FAILED or CANCELLED, with a sentence and the last words of the process."""
    run = session.get_one(TrainingRun, run_id, with_for_update=True)
    if run.state == TrainingState.RUNNING:
        run.reason, run.output = reason, output.replace("\0", "")[-4000:]
        _move(session, run, state)


def register(node: CentralNode, session: Session, actor: Actor, run_id: UUID) -> ModelVersion:
    """The run's model in the registry, as the next version of its name; the same run again is the same model."""
    line = readable_run(session, actor, run_id)
    run = session.get_one(TrainingRun, run_id, with_for_update=True, populate_existing=True)
    if run.state != TrainingState.DONE:
        raise WrongState("Only a training that is done has a model to register.")
    if run.model_id is not None:
        return session.get_one(ModelVersion, run.model_id)
    check(actor, Verb.OFFER_MODEL, line.dataset.domain)
    files = {file.path: node.store.read(file.sha256) for file in files_of(session, run)}
    wanted = {path: content for path, content in files.items() if path in model_folder.KEPT or path.endswith(".onnx")}
    told = model_folder.read(wanted)
    last = session.exec(select(func.max(ModelVersion.version)).where(ModelVersion.name == told.name)).one()
    document = json.loads(wanted["model.json"]) | {"version": (last or 0) + 1}
    wanted["model.json"] = (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
    told = model_folder.read(wanted)
    registry.keep_files(node, told)
    model = registry.register(session, actor, told, line.dataset.domain)
    run.model_id = model.id
    return model


def files_of(session: Session, run: TrainingRun) -> list[TrainingFile]:
    return list(
        session.exec(select(TrainingFile).where(TrainingFile.run_id == run.id).order_by(col(TrainingFile.path)))
    )


def training_hashes(session: Session, hashes: Sequence[str]) -> set[str]:
    """Of these blobs, the ones that some training left."""
    return set(session.exec(select(TrainingFile.sha256).where(col(TrainingFile.sha256).in_(hashes))))


def kept_file(node: CentralNode, path: str, content: bytes) -> StoredFile:
    """Put one file of a run into the store: before its row, and in no transaction."""
    sha256 = hashlib.sha256(content).hexdigest()
    node.store.put(io.BytesIO(content), sha256)
    return StoredFile(path, "run", sha256, len(content))


def active_runs(session: Session) -> set[str]:
    """The ids of the trainings that wait or run."""
    return {str(one) for one in session.exec(select(TrainingRun.id).where(col(TrainingRun.state).in_([*ACTIVE])))}


def _move(session: Session, run: TrainingRun, to: TrainingState) -> None:
    if to not in TRAINING_MOVES[TrainingState(run.state)]:
        raise WrongState("This step is not allowed in the present state.")
    audit.record(session, SYSTEM, f"training.{to.lower()}", run.id, before=run.state, after=to)
    run.state = to
    if to == TrainingState.RUNNING:
        run.started_at = now_utc()
    elif to not in ACTIVE:
        run.ended_at = now_utc()
