"""Trainings at central: the list, the form, and a run's page with its curve, its figures, cancel and register."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.errors import AppError, NotFound
from core.models.datasets import VersionState
from core.models.people import User
from core.models.training import ACTIVE, TrainingRun, TrainingState
from core.node import CentralNode
from core.permissions import Actor, Verb
from core.queries import datasets as queries
from core.services import training
from core.services.training import MOST_MINUTES, MOST_SEED, PRESETS, Line, Wish
from web.charts import Curves, curves
from web.deps import Fields, FormDep, NodeDep, SessionDep, may
from web.pages.models import figures_of
from web.render import asks_for_part, page, redirect

router = APIRouter(include_in_schema=False)
ROLES: Final = ("central",)
Trainer = Annotated[Actor, may(Verb.TRAIN)]
_MOST_FIGURES: Final = 60
_DEFAULTS: Final = {"data": "", "recipe": "", "seed": "0", "minutes": "60"}
# What a recipe is, in words.
RECIPES: Final = {
    "detect/fcos-cyst": "training.recipe.fcos_cyst",
    "detect/fcos-lesion": "training.recipe.fcos_lesion",
    "detect/fcos": "training.recipe.fcos",
    "detect/yolo11n-lesion": "training.recipe.yolo11n",
    "detect/yolov3-tiny-lesion": "training.recipe.yolov3",
    "detect/trial": "training.recipe.trial_detect",
    "classify/tails": "training.recipe.tails",
    "classify/efflite0": "training.recipe.efflite0",
    "classify/pair": "training.recipe.pair",
    "classify/cnn10": "training.recipe.cnn10",
    "classify/cyst-other": "training.recipe.cyst_other",
    "classify/cnn10-cyst": "training.recipe.cnn10_cyst",
    "classify/trial": "training.recipe.trial_classify",
}
TASKS: Final = {"detect": "training.task.detect", "classify": "training.task.classify"}
# The figure of tune that a curve shows, all from 0 to 1.
TUNED: Final = {
    "detect": (("f1", "training.figure.f1"), ("map50", "training.figure.map50")),
    "classify": (("balanced_accuracy", "training.figure.balanced"),),
}


@router.get("/training")
def trainings_page(request: Request, session: SessionDep, actor: Trainer) -> Response:
    lines = training.readable_runs(session, actor)
    values = {
        "actor": actor,
        "lines": lines,
        "recipes": RECIPES,
        "is_active": any(line.run.state in ACTIVE for line in lines),
        "may_begin": bool(_versions(session, actor)),
    }
    return page(request, "trainings.html", values, blocks={"runs": "list"})


@router.get("/training/new")
def new_training_page(request: Request, session: SessionDep, actor: Trainer) -> Response:
    asked = Fields(list(request.query_params.multi_items()))
    return _form(request, session, actor, asked, "")


@router.post("/training")
def begin_training(request: Request, session: SessionDep, actor: Trainer, fields: FormDep) -> Response:
    name, _, version = fields.get("data", "").rpartition("/")
    task, _, recipe = fields.get("recipe", "").partition("/")
    seed, minutes = (
        _whole(fields.get(key, ""), most) for key, most in (("seed", MOST_SEED), ("minutes", MOST_MINUTES))
    )
    n = _whole(version, 10**6)
    if not name or not n:
        return _form(request, session, actor, fields, "training.wrong.data")
    if recipe not in PRESETS.get(task, {}):
        return _form(request, session, actor, fields, "training.wrong.recipe")
    if seed is None or not minutes:
        return _form(request, session, actor, fields, "training.wrong.number")
    try:
        run = training.start(session, actor, name, n, Wish(task, recipe, seed, minutes))
    except NotFound:
        return _form(request, session, actor, fields, "training.wrong.data")
    return redirect(request, f"/training/{run.id}", "training.begun.done")


@router.get("/training/{run_id}")
def training_page(request: Request, run_id: UUID, session: SessionDep, actor: Trainer) -> Response:
    return _run(request, session, actor, run_id)


@router.post("/training/{run_id}/cancel")
def training_cancel(request: Request, run_id: UUID, session: SessionDep, actor: Trainer) -> Response:
    try:
        training.cancel(session, actor, run_id)
    except NotFound:
        raise
    except AppError as wrong:
        return _run(request, session, actor, run_id, wrong.message, wrong.status)
    return redirect(request, f"/training/{run_id}", "training.cancelled.done")


@router.post("/training/{run_id}/register")
def training_register(request: Request, run_id: UUID, node: NodeDep, session: SessionDep, actor: Trainer) -> Response:
    """Registers the model and leads to its page, where a person lets it take effect."""
    if not isinstance(node, CentralNode):
        raise NotFound
    try:
        model = training.register(node, session, actor, run_id)
    except NotFound:
        raise
    except AppError as wrong:
        return _run(request, session, actor, run_id, wrong.message, wrong.status)
    return redirect(request, f"/models/{model.id}", "training.registered.done")


def _versions(session: Session, actor: Actor) -> list[tuple[str, int, int]]:
    """(dataset, version, images to learn from) of every frozen version that the person may train from."""
    readable = [one for one in queries.readable_datasets(session, actor) if actor.may(Verb.TRAIN, one.domain)]
    return [
        (line.dataset.name, shown.version.n, sum(_images(shown.version.counts, part) for part in ("train", "tune")))
        for line in queries.timelines(session, readable)
        for shown in line.versions
        if shown.version.state == VersionState.FROZEN
    ]


def _images(counts: Mapping[str, Any], part: str) -> int:
    return int(counts.get("splits", {}).get(part, {}).get("images", 0))


def _whole(text: str, most: int) -> int | None:
    """A whole number from 0 to `most`; None for anything else."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    return int(text) if is_number and int(text) <= most else None


def _form(request: Request, session: Session, actor: Actor, fields: Fields, problem: str) -> Response:
    values = {
        "actor": actor,
        "versions": _versions(session, actor),
        "tasks": TASKS,
        "presets": PRESETS,
        "recipes": RECIPES,
        "typed": {
            **_DEFAULTS,
            **{key: fields[key][:80] for key in ("data", "recipe", "seed", "minutes") if key in fields},
        },
        "most_seed": MOST_SEED,
        "most_minutes": MOST_MINUTES,
        "problem": problem,
    }
    return page(request, "training_new.html", values, 422 if problem else 200)


def _run(
    request: Request, session: Session, actor: Actor, run_id: UUID, problem: str = "", status: int = 200
) -> Response:
    line = training.readable_run(session, actor, run_id)
    run = line.run
    values = {
        "actor": actor,
        "line": line,
        "run": run,
        "recipes": RECIPES,
        "charts": charts_of(run),
        "epochs": epochs_of(run),
        "tuned": TUNED.get(run.task, ()),
        "figures": figures_of(run.metrics)[:_MOST_FIGURES],
        "is_active": run.state in ACTIVE,
        "started_by": _name(session, run.created_by),
        "cancelled_by": _name(session, run.cancelled_by),
        "may_register": _may_register(actor, line),
        "problem": problem,
    }
    response = page(request, "training.html", values, status, blocks={"progress": "progress"})
    if asks_for_part(request) and request.headers.get("hx-target") == "progress" and run.state not in ACTIVE:
        response.headers["HX-Refresh"] = "true"  # it has ended: figures, card and what can be done are new
    return response


def _may_register(actor: Actor, line: Line) -> bool:
    return line.run.state == TrainingState.DONE and actor.may(Verb.OFFER_MODEL, line.dataset.domain)


def epochs_of(run: TrainingRun) -> list[dict[str, float | None]]:
    """{epoch, loss, tune_loss and the figures of tune} of every epoch; None for what a line does not tell."""
    keys = [key for key, _ in TUNED.get(run.task, ())]
    return [
        {
            "epoch": _number(line.get("epoch")),
            "loss": _number(line.get("loss")),
            "tune_loss": _number(_tune(line, "loss")),
        }
        | {key: _number(_tune(line, key)) for key in keys}
        for line in run.progress
    ]


def charts_of(run: TrainingRun) -> list[tuple[str, Curves]]:
    """(key of its heading, chart): the losses, and the figures of tune from 0 to 1. Nothing before the first epoch."""
    epochs = epochs_of(run)
    if not epochs:
        return []
    most = max(int(run.progress[-1].get("of") or 0), len(epochs))

    def line(key: str) -> list[tuple[int, float]]:
        return [(number, value) for number, epoch in enumerate(epochs, 1) if (value := epoch[key]) is not None]

    losses = [("training.loss", line("loss")), ("training.tune_loss", line("tune_loss"))]
    figures = [(words, line(key)) for key, words in TUNED.get(run.task, ())]
    return [("training.losses", curves(losses, most)), ("training.figures_of_tune", curves(figures, most, 1.0))]


def _tune(line: Mapping[str, Any], key: str) -> object:
    tune = line.get("tune")
    return tune.get(key) if isinstance(tune, dict) else None


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]


def _name(session: Session, user_id: UUID | None) -> str:
    user = session.get(User, user_id) if user_id else None
    return user.name if user else ""
