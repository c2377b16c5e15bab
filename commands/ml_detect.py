"""`./run ml train detect`, `train reject`, `folds detect` and `phantoms`: the part of `./run ml` with boxes."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.main import given_path
from commands.ml import app, folds, needs_training, refusals, train
from core.errors import Refused

if TYPE_CHECKING:
    from ml.data import Item
    from ml.tasks.detect import Recipe

Data = Annotated[str, typer.Option(help="data folder")]
Out = Annotated[str, typer.Option(help="run folder to make, or to go on with")]
Seed = Annotated[int, typer.Option()]
Name = Annotated[
    str, typer.Option("--recipe", help="fcos may be shipped; yolov8n, yolo11n, yolov5nu, yolov3-tiny are AGPL")
]
Size = Annotated[int, typer.Option(help="side of the network's input in pixels, a multiple of 32")]
Epochs = Annotated[int | None, typer.Option(min=1, help="other than the recipe's")]
Batch = Annotated[int | None, typer.Option(min=2, help="other than the recipe's")]
Rate = Annotated[float | None, typer.Option(help="other than the recipe's top learning rate")]
Copies = Annotated[int, typer.Option(min=1, max=4, help="2: each image twice an epoch, once as it is")]
Budget = Annotated[
    float, typer.Option("--budget-minutes", help="end the schedule by then; 0: when the epochs are done")
]
One = Annotated[str, typer.Option("--one-class", help="take every box as this class, such as lesion")]
Mirrored = Annotated[bool, typer.Option(help="the model looks at the mirror image too, at twice the cost")]
Json = Annotated[bool, typer.Option("--json", help="last line: one JSON object")]


@train.command("detect")
def train_detect(
    data: Data,
    out: Out,
    recipe: Name = "fcos",
    size: Size = 256,
    seed: Seed = 0,
    epochs: Epochs = None,
    batch: Batch = None,
    rate: Rate = None,
    copies: Copies = 1,
    budget: Budget = 0.0,
    one_class: One = "",
    mirrored: Mirrored = False,
    n_folds: Annotated[int | None, typer.Option("--folds", help="leave one of so many grouped folds out")] = None,
    fold: Annotated[int, typer.Option(help="the fold that is left out, from 0")] = 0,
    as_json: Json = False,
) -> None:
    """Train a detector of lesions; images without boxes are its negatives."""
    needs_training()
    from ml.data import load
    from ml.tasks.detect import train as run_training
    from ml.tasks.detect_folds import judge_held, parts
    from ml.tasks.together import leads

    with refusals():
        folder = load(given_path(data))
        learn, tune = list(folder.of("train")), list(folder.of("tune"))
        held: list[Item] = []
        if n_folds is not None:
            learn, tune, held = parts(folder, n_folds, fold, seed)
        chosen = _recipe(recipe, size, epochs, batch, rate, copies, budget, one_class, mirrored)
        run = run_training(folder, given_path(out), chosen, seed, (learn, tune))
        if not leads():
            return
        _refuse_cancelled(run.path)
        if held:
            judge_held(run.path, held)
    _say(run.path, "detect", as_json)


@train.command("reject")
def train_reject(
    data: Data,
    out: Out,
    detector: Annotated[str, typer.Option(help="run folder of the detector whose false boxes are learned")],
    seed: Seed = 0,
    epochs: Epochs = None,
    hard: Annotated[str, typer.Option(help="folder of pictures that are no lesion")] = "",
    n_folds: Annotated[int | None, typer.Option("--folds", help="as the detector was trained")] = None,
    fold: Annotated[int, typer.Option(help="the fold that the detector was trained without")] = 0,
    as_json: Json = False,
) -> None:
    """Train the second stage, which throws out false boxes, on train; thresholds by tune; RUN/pipeline holds both."""
    needs_training()
    from ml.data import load
    from ml.model_file import load as load_model
    from ml.tasks import reject
    from ml.tasks.detect_folds import parts

    with refusals():
        folder, detect = load(given_path(data)), given_path(detector)
        digest = load_model(detect).files["model.onnx"]
        recipe = reject.Recipe(digest, hard=str(given_path(hard)) if hard else "")
        recipe = replace(recipe, epochs=epochs) if epochs else recipe
        items: tuple[Sequence[Item], ...] = (folder.of("train"), folder.of("tune"))
        if n_folds is not None:
            items = parts(folder, n_folds, fold, seed)
        run = reject.train(folder, given_path(out), detect, recipe, seed, items)
        _refuse_cancelled(run.path)
    _say(run.path, "reject", as_json)


@folds.command("detect")
def folds_detect(
    data: Annotated[str, typer.Option(help="data folder; its train and tune are folded")],
    out: Annotated[str, typer.Option(help="folder for a run a fold, and the figures")],
    recipe: Name = "fcos",
    size: Size = 256,
    n_folds: Annotated[int, typer.Option("--folds", min=3)] = 5,
    seeds: Annotated[str, typer.Option(help="comma between them")] = "0,1,2",
    epochs: Epochs = None,
    batch: Batch = None,
    rate: Rate = None,
    copies: Copies = 1,
    budget: Budget = 0.0,
    one_class: One = "",
    mirrored: Mirrored = False,
    holdout: Annotated[bool, typer.Option(help="judge one fold a seed; without it the others join them")] = False,
    random_folds: Annotated[bool, typer.Option(help="ignore patients: only to measure what leaks")] = False,
    as_json: Json = False,
) -> None:
    """Judge a recipe by grouped folds over train and tune; killed at any time, the same command goes on."""
    needs_training()
    from ml.data import load
    from ml.tasks.detect_folds import Plan, cross

    with refusals():
        numbers = tuple(int(one) for one in seeds.split(",") if one.strip().isdecimal())
        if not numbers:
            raise Refused("--seeds needs numbers with commas between them.")
        chosen = _recipe(recipe, size, epochs, batch, rate, copies, budget, one_class, mirrored)
        plan = Plan(replace(chosen, eight_bits=False), numbers, n_folds, holdout, random_folds)
        result = cross(
            load(given_path(data)), given_path(out), plan, lambda line: print(line, file=sys.stderr, flush=True)
        )
    print(json.dumps(result) if as_json else table(result["mean"]))


@app.command("phantoms")
def phantoms(
    out: Annotated[str, typer.Option(help="the data folder to make")],
    domain: Annotated[str, typer.Option(help="liver, breast or heart")] = "liver",
    count: Annotated[
        int | None, typer.Option(help="pictures, four a patient (240); of the heart clips, two a patient (60)")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Make a data folder of generated pictures with cysts, tumours and normal organs, or of beating hearts, to try training."""
    from ml import phantom_folder, phantom_heart_folder

    with refusals():
        if domain == "heart":
            folder = phantom_heart_folder.make(given_path(out), 60 if count is None else count, seed)
        else:
            folder = phantom_folder.make(given_path(out), domain, 240 if count is None else count, seed)
    counts = {split: len(folder.of(split)) for split in ("train", "tune", "test")}
    told = {"name": folder.name, "hash": folder.hash, "images": counts}
    print(json.dumps(told) if as_json else f"{len(folder.items)} pictures: {counts}; hash {folder.hash}")


@app.command("cines")
def cines(
    run: Annotated[str, typer.Option(help="run folder of a detector, or a pipeline")],
    domain: Annotated[str, typer.Option(help="liver or breast")] = "liver",
    count: Annotated[int, typer.Option(min=1, help="cines; every fifth has no lesion")] = 20,
    frames: Annotated[int, typer.Option(min=2)] = 45,
    fps: Annotated[float, typer.Option(min=1)] = 15.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Judge a detector on generated cines by lesion, each frame on its own and with tracks over time."""
    from ml.judge.detect_run import place_of
    from ml.judge.phantom_cines import judged_cines
    from ml.runtime import Pipeline

    with refusals():
        told = judged_cines(Pipeline.open(place_of(given_path(run))), domain, count, frames, fps, seed)
    print(json.dumps(told) if as_json else json.dumps(told, indent=1))


def table(found: dict[str, Any]) -> str:
    """A line a figure, with its interval."""
    lines = []
    for name, figure in found.items():
        if isinstance(figure, dict) and figure.get("value") is not None and "low" in figure:
            between = "" if figure["low"] is None else f" ({figure['low']:.3f}-{figure['high']:.3f})"
            lines.append(f"{name:<18}{figure['value']:.3f}{between}")
    return "\n".join(lines)


def _recipe(
    name: str,
    size: int,
    epochs: int | None,
    batch: int | None,
    rate: float | None,
    copies: int,
    budget: float,
    one: str,
    mirrored: bool,
) -> "Recipe":
    from ml.detectors import RECIPES
    from ml.tasks.detect import Recipe

    if name not in RECIPES:
        raise Refused(f"There is no recipe {name}; there are {', '.join(RECIPES)}.")
    if size % 32 or not 32 <= size <= 1280:
        raise Refused("--size must be a multiple of 32, from 32 to 1280.")
    start = Recipe(detector=name, size=size, budget_minutes=budget, one_class=one, mirrored=mirrored)
    start = replace(start, augmentation=replace(start.augmentation, copies=copies))
    asked: dict[str, Any] = {"epochs": epochs, "batch": batch, "rate": rate}
    return replace(start, **{key: value for key, value in asked.items() if value is not None})


def _refuse_cancelled(run: Path) -> None:
    from ml.run_folder import read

    if read(run)["state"] == "cancelled":
        raise Refused("The training was cancelled; the same command goes on with it.")


def _say(run: Path, task: str, as_json: bool) -> None:
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    if as_json:
        print(json.dumps({"task": task, "run": str(run), **metrics}))
        return
    print(table(metrics["tune"]))
    for name in ("gain_on_tune", "gain_on_held"):
        if name in metrics:
            print(name, json.dumps(metrics[name], indent=1))
