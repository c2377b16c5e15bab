"""Training of a classifier of stills or lesions: a data folder in, a run folder out.

Thresholds, temperature and the epoch are chosen on tune; a test split is never opened here."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml import calibration
from ml.class_map import ClassMap, fitting
from ml.data import BadFolder, Folder, load
from ml.export import to_onnx, write_model
from ml.folds import grouped
from ml.form import FEATURES, Form
from ml.run_folder import Cancelled, Run, begin
from ml.samples import Sample, has_boxes, pixel_digests, samples_of
from ml.tasks.fitting import Fitted, fit
from ml.tasks.recipes import Recipe
from ml.tasks.views import MEAN, STD

NAMES_OF_WEIGHTS = "EfficientNet-Lite0 ImageNet weights, Apache-2.0"


@dataclass(frozen=True)
class Choice:
    """What is trained: recipe, seed, the class map's name, the fold left out if any, and the most minutes."""

    recipe: Recipe
    seed: int = 0
    classes: str | None = None
    folds: int | None = None
    fold: int | None = None
    budget_minutes: float | None = None


@dataclass(frozen=True)
class Chosen:
    """What tune decided."""

    temperature: float
    threshold: float
    abstain_below: float | None


def train(data: Path, out: Path, choice: Choice) -> dict[str, Any]:
    """Train, export, and write the run folder; returns what metrics.json says. Raises BadFolder, BadRun, Cancelled."""
    began, folder = time.monotonic(), load(data)
    classes = fitting(folder.labels, choice.classes)
    parts = _parts(folder, classes, choice)
    place = {"folds": choice.folds, "fold": choice.fold} if choice.folds else {}
    recipe = {**choice.recipe.document, "class_map": classes.name, **place}
    run = begin(out, "classify", recipe, choice.seed, folder, ("train", "tune"))
    until = began + choice.budget_minutes * 60 if choice.budget_minutes else None
    try:
        looked = list({one.item.file_name: one.item for part in parts for one in part}.values())
        run.saw(looked, pixel_digests(looked))
        fitted = fit(*parts, len(classes.classes), choice.recipe, choice.seed, run, until)
        return _finish(run, folder, classes, choice.recipe, fitted, parts)
    except Cancelled:
        run.end("cancelled")
        raise
    except (ValueError, OSError) as error:
        run.end("failed", str(error))
        raise


def choose(fitted: Fitted, tune: Sequence[Sample], classes: ClassMap) -> Chosen:
    """Temperature, decision threshold of the positive group, and abstention, out of what was said of tune."""
    targets = np.array([one.target for one in tune])
    heat = calibration.temperature(fitted.logits, targets)
    probabilities = calibration.softmax(fitted.logits, heat)
    positive = positive_columns(classes)
    scores, is_positive = probabilities[:, positive].sum(axis=1), np.isin(targets, positive)
    return Chosen(heat, calibration.threshold(scores, is_positive), calibration.abstain_below(probabilities, targets))


def positive_columns(classes: ClassMap) -> list[int]:
    return [classes.classes.index(one) for one in classes.positive]


def _parts(folder: Folder, classes: ClassMap, choice: Choice) -> tuple[list[Sample], list[Sample]]:
    """Samples of train and of tune; with folds, one fold of both takes no part, and the next one is tune."""
    by_box = has_boxes(folder.items, classes)
    items, tune = folder.of("train"), folder.of("tune")
    if choice.folds is not None:
        if choice.fold is None or not 0 <= choice.fold < choice.folds or choice.folds < 3:
            raise BadFolder("With --folds 3 or more, --fold is needed, from 0 on.")
        of = grouped(folder.items, choice.folds, choice.seed)
        next_one = (choice.fold + 1) % choice.folds
        tune = tuple(item for item, fold in zip(folder.items, of, strict=True) if fold == next_one)
        items = tuple(i for i, fold in zip(folder.items, of, strict=True) if fold not in (choice.fold, next_one))
    parts = samples_of(items, classes, by_box), samples_of(tune, classes, by_box)
    for name, part in zip(("train", "tune"), parts, strict=True):
        counts = Counter(one.target for one in part)
        if len(counts) < len(classes.classes):
            raise BadFolder(f"The {name} part has no image of some class: there is nothing to learn or choose by.")
    return parts


def _finish(
    run: Run,
    folder: Folder,
    classes: ClassMap,
    recipe: Recipe,
    fitted: Fitted,
    parts: tuple[list[Sample], list[Sample]],
) -> dict[str, Any]:
    chosen = choose(fitted, parts[1], classes)
    apart = to_onnx(fitted.net, run.path / "model.onnx", recipe.side)
    best = min((line["tune"]["loss"] for line in fitted.epochs), default=None)
    metrics = {
        "tune": {"samples": len(parts[1]), "least_loss": best, "epochs": len(fitted.epochs)},
        "train": {"samples": len(parts[0])},
        "chosen": {
            "temperature": chosen.temperature,
            "threshold": chosen.threshold,
            "abstain_below": chosen.abstain_below,
            "how": "temperature: least log loss on tune; threshold: best mean of sensitivity and specificity on tune",
        },
        "onnx_apart": apart,
    }
    run.write("metrics.json", metrics)
    form = fitted.form and {"features": list(FEATURES), **asdict(fitted.form)}
    write_model(run, _model(folder, classes, recipe, chosen, parts[0][0].box is not None) | {"form": form})
    (run.path / "card.md").write_text(_card(folder, classes, recipe, metrics) + _card_of(fitted.form, classes), "utf-8")
    run.end("done")
    return metrics


def _card_of(form: Form | None, classes: ClassMap) -> str:
    """What the form of a box says, as a line that a person can check."""
    if form is None:
        return ""
    said = [
        f"{one} {high:+.2f} and {large:+.2f}" for one, (high, large) in zip(classes.classes, form.weights, strict=True)
    ]
    return (
        "- The form of the box counts beside the pixels: for a standard deviation of taller than wide, and of larger in its "
        f"frame, the logits change by: {'; '.join(said)}\n"
    )


def _model(folder: Folder, classes: ClassMap, recipe: Recipe, chosen: Chosen, by_box: bool) -> dict[str, Any]:
    given = {
        "height": recipe.side,
        "width": recipe.side,
        "channels": 3,
        "resize": recipe.resize,
        "fill": 0,
        "scale": 255,
    }
    told = {"name": classes.name, "of": classes.of, "left_out": list(classes.left_out)}
    return {
        "name": plain(f"{folder.name}-classify"),
        "version": 1,
        "task": "classify",
        "classes": list(classes.classes),
        "derived": {group: list(of) for group, of in classes.derived.items()},
        "class_map": told,
        "by_box": by_box,
        "input": given | {"margin": recipe.margin if by_box else 0.0, "mean": [MEAN] * 3, "std": [STD] * 3},
        "decode": "softmax",
        "threshold": chosen.threshold,
        "temperature": chosen.temperature,
        "abstain_below": chosen.abstain_below,
        "tta": ["identity", "hflip"],
        "licence": "Apache-2.0",
        "shippable": not folder.models_stay,
        "dataset": {"name": folder.name, "version": folder.version, "hash": folder.hash},
    }


def plain(name: str) -> str:
    kept = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "-" for sign in name)
    return kept.lstrip("._-")[:100] or "model"


def _card(folder: Folder, classes: ClassMap, recipe: Recipe, metrics: dict[str, Any]) -> str:
    chosen = metrics["chosen"]
    members = [one for part in recipe.parts for one in part.members]
    foreign = any(not one.startswith("cnn10") for one in members)
    return f"""# {folder.name}: classification by {recipe.name}

Research use only. Not a medical device.

- Classes: {", ".join(classes.classes)} (class map {classes.name})
- Data: {folder.name}, version {folder.version}, hash {folder.hash}
- Trained on {metrics["train"]["samples"]} samples; epoch, temperature {chosen["temperature"]:.3f} and threshold
  {chosen["threshold"]:.3f} were chosen on {metrics["tune"]["samples"]} samples of tune
- Networks: {", ".join(members)}; {NAMES_OF_WEIGHTS if foreign else "no foreign weights"}
- The figures of tune chose the model and say nothing about new patients: `./run ml evaluate` does.
"""
