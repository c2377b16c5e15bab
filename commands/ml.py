"""`./run ml`: import a set, train, judge: the AI part on data folders, without a server."""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.engine_bundle import bundle
from commands.main import given_path
from core.errors import Refused
from ml.annotations import BadFolder

if TYPE_CHECKING:
    from ml.tasks.recipes import Recipe

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
app.command("bundle")(bundle)


@contextmanager
def refusals() -> Iterator[None]:
    """What is wrong with a folder or a run is said in a sentence, with exit code 2."""
    try:
        yield
    except ValueError as wrong:
        if isinstance(wrong, BadFolder) or type(wrong).__module__.startswith("ml."):
            raise Refused(str(wrong)) from None
        raise
    except OSError as wrong:
        raise Refused(f"A file or folder cannot be read or written: {wrong.strerror or 'no reason given'}.") from None


@app.callback()
def ml() -> None:
    """The AI part: data folders, training, judging. Research use only."""


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="a COCO folder, a csv with images (and masks), or a folder a class")],
    out: Annotated[str, typer.Option(help="the data folder to make")],
    name: Annotated[str, typer.Option(help="the data set's name")],
    each_image_alone: Annotated[
        bool, typer.Option(help="images without patient and group are of different people")
    ] = False,
    drop_conflicts: Annotated[bool, typer.Option(help="leave out duplicates that bear two classes")] = False,
    models_stay: Annotated[
        bool, typer.Option(help="the set's licence does not let models that are trained on it be passed on")
    ] = False,
    seed: Annotated[int, typer.Option(help="draws the tune part where the set has none")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="what came in as one JSON object")] = False,
) -> None:
    """Make a data folder of an outside set; what belongs together stays in one split."""
    from ml.imports import Choices, import_folder  # NumPy and Pillow: not for help

    with refusals():
        choices = Choices(each_image_alone, drop_conflicts, seed, models_stay)
        made = import_folder(given_path(source), given_path(out), name, choices)
    if as_json:
        print(json.dumps(asdict(made), ensure_ascii=False))
        return
    print(f"{made.images} images of {made.units} patients or groups, {made.boxes} boxes; hash {made.hash}")
    for split, counts in made.counts.items():
        print(f"  {split}: " + ", ".join(f"{label} {n}" for label, n in counts.items()))
    print("  tune was drawn here" if made.tune_drawn else "  splits are the source's own")
    for same in made.duplicates:
        print("  same pixels: " + ", ".join(same))
    for same in made.conflicts:
        print(("  dropped, two classes: " if made.dropped else "  KEPT though of two classes: ") + ", ".join(same))


train = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
folds = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
app.add_typer(train, name="train", help="train a model: a data folder in, a run folder out")
app.add_typer(folds, name="folds", help="cross-validation: how well a recipe does on patients that it did not see")


@train.callback()
def _train() -> None:
    """Train a model. Killed or cancelled, the same command goes on where it was."""


@folds.callback()
def _folds() -> None:
    """Cross-validation that never splits a patient or a group."""


def chosen(name: str, data: str, classes: str | None, epochs: int | None) -> "Recipe":
    """The recipe of that name, or without one what did best on such data."""
    from ml.data import load
    from ml.tasks.recipes import measured_best, recipe

    return recipe(name or measured_best(load(given_path(data)), classes), epochs=epochs)


@train.command("classify")
def train_classify(
    data: Annotated[str, typer.Option(help="data folder")],
    out: Annotated[str, typer.Option(help="run folder to make, or to go on with")],
    recipe: Annotated[
        str, typer.Option(help="what is trained, and how: else what did best on such data; a wrong name lists all")
    ] = "",
    seed: Annotated[int, typer.Option()] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="other than the recipe's")] = None,
    classes: Annotated[str | None, typer.Option(help="class map, otherwise the first that fits")] = None,
    budget_minutes: Annotated[float | None, typer.Option(help="no epoch begins later")] = None,
    n_folds: Annotated[int | None, typer.Option("--folds", help="leave one of so many grouped folds out")] = None,
    fold: Annotated[int | None, typer.Option(help="the fold that is left out, from 0")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="last line: one JSON object")] = False,
) -> None:
    """Train a classifier of stills, or of lesions where the folder has boxes."""
    needs_training()
    from ml.run_folder import Cancelled
    from ml.tasks.classify import Choice, train

    with refusals():
        choice = Choice(chosen(recipe, data, classes, epochs), seed, classes, n_folds, fold, budget_minutes)
        try:
            metrics = train(given_path(data), given_path(out), choice)
        except Cancelled:
            raise Refused("The training was cancelled; the same command goes on with it.") from None
    print(json.dumps({"task": "classify", "run": out, **metrics}) if as_json else json.dumps(metrics, indent=1))


@folds.command("classify")
def folds_classify(
    data: Annotated[str, typer.Option(help="data folder; its train and tune are folded")],
    out: Annotated[str, typer.Option(help="folder for what every fold says, and the figures")],
    recipe: Annotated[str, typer.Option(help="as of `train classify`")] = "",
    n_folds: Annotated[int, typer.Option("--folds", min=3)] = 5,
    seeds: Annotated[str, typer.Option(help="comma between them")] = "0,1,2",
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    classes: Annotated[str | None, typer.Option()] = None,
    holdout: Annotated[bool, typer.Option(help="judge one fold a seed; without it the others join them")] = False,
    random_folds: Annotated[bool, typer.Option(help="ignore patients: only to measure what leaks")] = False,
    detector: Annotated[
        str,
        typer.Option(help="what `folds detect` made with the same folds: its boxes are named too, normals among them"),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Judge a recipe by grouped folds over train and tune, the mean of seeds with 95 % intervals by patient."""
    needs_training()
    from ml.tasks.cross import Plan, cross

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with refusals():
        numbers = tuple(int(one) for one in seeds.split(",") if one.strip().isdecimal())
        if not numbers:
            raise Refused("--seeds needs numbers with commas between them.")
        plan = Plan(chosen(recipe, data, classes, epochs), numbers, n_folds, holdout, random_folds, classes)
        plan = replace(plan, detector=given_path(detector) if detector else None)
        result = cross(given_path(data), given_path(out), plan, say)
    levels = result["per"] | ({"end to end, image": result["end_to_end"]} if detector else {})
    print(json.dumps(result) if as_json else table(levels))


def table(per: dict[str, Any]) -> str:
    """Figures of every level, a line each, with their intervals."""
    lines = []
    for level, found in per.items():
        lines.append(f"{level} (n {found['n']})")
        for name, figure in found["metrics"].items():
            if figure["value"] is None:
                continue
            low, high = figure["low"], figure["high"]
            between = "" if low is None else f" ({low:.3f}{' to ' if low < 0 else '-'}{high:.3f})"
            lines.append(f"  {name:<18}{figure['value']:.3f}{between}")
    return "\n".join(lines)


def needs_training() -> None:
    """Training needs the extra `ml`; judging and running do not."""
    if importlib.util.find_spec("torch") is None:
        raise Refused("Training needs PyTorch: ./run setup --ml installs it.")


@app.command("evaluate")
def evaluate_(
    run: Annotated[str, typer.Option(help="run folder")],
    data: Annotated[str, typer.Option(help="data folder that the run never saw")],
    split: Annotated[str | None, typer.Option(help="test, if the folder has one")] = None,
    report: Annotated[str | None, typer.Option(help="folder for report.json, report.html and card.md")] = None,
    other_source: Annotated[bool, typer.Option(help="patients and groups are numbered by another source")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="last line: one JSON object")] = False,
) -> None:
    """Judge a run on data that it never saw, with its own threshold; refuses when it saw any of it."""
    with refusals():
        task = task_of(given_path(run))
        if task == "classify":
            from ml.judge.evaluate import evaluate

            result = evaluate(given_path(run), given_path(data), split, other_source)
        elif task in {"detect", "reject"}:
            from ml.judge.detect_run import evaluate as evaluate_boxes

            result = evaluate_boxes(given_path(run), given_path(data), split, other_source)
        elif task == "echo":
            from ml.judge.echo import evaluate as evaluate_hearts

            result = evaluate_hearts(given_path(run), given_path(data), split, other_source)
        else:
            raise Refused(f"A run of the task {task} cannot be judged here.")
        if report:
            from ml.judge.report import write

            write(given_path(report), result, _looked(given_path(run), given_path(data), result))
    print(json.dumps(result) if as_json else table(result["per"]))


@app.command("saliency")
def saliency(
    run: Annotated[str, typer.Option(help="run folder of a classifier")],
    image: Annotated[str, typer.Option(help="PNG or JPEG picture")],
    out: Annotated[str, typer.Option(help="PNG file to write")],
    box: Annotated[str, typer.Option(help="x,y,width,height in pixels; without it the whole picture")] = "",
) -> None:
    """Draw where a classifier looks: red speaks for the positive class, blue against it."""
    from ml.images import read as read_image
    from ml.judge.saliency import drawn, occlusion, png
    from ml.runtime import Model

    with refusals():
        model = Model.open(given_path(run))
        if model.spec.task != "classify":
            raise Refused("This run is no classifier.")
        sides = [float(one) for one in box.split(",")] if re.fullmatch(r"\d+(\.\d+)?(,\d+(\.\d+)?){3}", box) else []
        if box and (not sides or not sides[2] or not sides[3]):
            raise Refused("--box needs x,y,width,height in pixels.")
        positive = model.spec.derived.get("malignant") or model.spec.classes[-1:]
        columns = [model.spec.classes.index(one) for one in positive]
        region = (sides[0], sides[1], sides[2], sides[3]) if sides else None
        looked = occlusion(model, read_image(given_path(image)), region, columns)
        given_path(out).write_bytes(png(drawn(looked)))
    print(f"{', '.join(positive)}: {looked.score:.3f}")


def _looked(run: Path, data: Path, result: dict[str, Any]) -> list[tuple[bytes, str]]:
    """Where a classifier looks, for the report; nothing of other tasks."""
    from ml.data import load
    from ml.judge.saliency import pictures

    return pictures(run, load(data, (result["split"],)), result["examples"]) if "examples" in result else []


def task_of(run: Path) -> str:
    """What the run was trained for."""
    from ml.run_folder import read

    return str(read(run).get("task"))


from commands import ml_detect, ml_echo  # noqa: E402, F401 -- their verbs hang on the ones above
