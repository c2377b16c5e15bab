"""Grouped folds of a detector, for some seeds: trained without a fold and judged on it, unattended, to be taken up again.

Every fold is a run folder of its own; what it says of its held-out images is kept, so a second call only adds up."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml import run_folder
from ml.data import BadFolder, Folder, Item
from ml.folds import at_random, grouped, holdout, keep_setting
from ml.judge.detected import mean_figures, pictures
from ml.judge.detection import Picture
from ml.runtime import Model
from ml.tasks.detect import Recipe, train

TUNE_PART = 0.15
HELD = "held.json"
MIDDLE = 0.5  # scores are put so that each fold's own threshold lies here


@dataclass(frozen=True)
class Plan:
    """`folds` for each of `seeds`; `only_first`: one fold a seed, a holdout; `random` ignores patients (to see the leak)."""

    recipe: Recipe
    seeds: tuple[int, ...] = (0, 1, 2)
    folds: int = 5
    only_first: bool = False
    random: bool = False


def parts(
    folder: Folder, folds: int, fold: int, seed: int, random: bool = False
) -> tuple[list[Item], list[Item], list[Item]]:
    """Train, tune and held-out items of one fold of train + tune; tune is a grouped part of what is not held out.

    Raises BadFolder for a fold that is not there."""
    if not 0 <= fold < folds:
        raise BadFolder(f"There is no fold {fold}: they count from 0 to {folds - 1}.")
    items = folder.of("train", "tune")
    where = at_random(items, folds, seed) if random else grouped(items, folds, seed)
    rest = [item for item, place in zip(items, where, strict=True) if place != fold]
    held = [item for item, place in zip(items, where, strict=True) if place == fold]
    kept, chosen = holdout(rest, TUNE_PART, seed)
    return [rest[i] for i in kept], [rest[i] for i in chosen], held


def cross(folder: Folder, out: Path, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Train and judge each fold that OUT does not hold yet; returns and writes the figures. Raises BadFolder, BadRun."""
    setting = _setting(folder, plan)
    keep_setting(out, setting)
    for seed in plan.seeds:
        for fold in range(1 if plan.only_first else plan.folds):
            began = time.monotonic()
            if one_fold(folder, out / f"seed{seed}-fold{fold}", plan, seed, fold):
                say(f"seed {seed} fold {fold}: {time.monotonic() - began:.0f} s")
    result = summary(out, plan.seeds) | setting | {"code": run_folder.code(), "environment": run_folder.environment()}
    run_folder.replace(out / "result.json", (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    return result


def one_fold(folder: Folder, run: Path, plan: Plan, seed: int, fold: int) -> bool:
    """Train a fold, or go on with it, and write what it says of its held-out images; False when that was there already."""
    if (run / HELD).exists():
        return False
    train_items, tune_items, held = parts(folder, plan.folds, fold, seed, plan.random)
    if not (run / "run.json").exists() or run_folder.read(run)["state"] != "done":
        train(folder, run, plan.recipe, seed, (train_items, tune_items))
    if run_folder.read(run)["state"] != "done":
        raise run_folder.Cancelled
    judge_held(run, held)
    shutil.rmtree(run / "plugin", ignore_errors=True)
    return True


def judge_held(run: Path, held: Sequence[Item]) -> None:
    """Write held.json: the truth and the boxes of every held-out image, and the threshold from the fold's own tune."""
    model = Model.open(run)
    found = pictures(model, held)
    images = [
        {"file_name": item.file_name, "unit": one.unit, "lesions": list(one.lesions)}
        | {name: getattr(one, name).round(4).tolist() for name in ("truth", "kinds", "boxes", "scores", "labels")}
        for item, one in zip(held, found, strict=True)
    ]
    document = {"threshold": model.spec.threshold, "images": images}
    run_folder.replace(run / HELD, json.dumps(document).encode())


def summary(out: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Figures of the mean over seeds; all folds together, each at its own threshold.

    AP mixes scores of several networks, each shifted so that its threshold is the middle. Raises BadFolder."""
    each = [_read(out, seed) for seed in seeds]
    if not all(each):
        raise BadFolder("There is a seed of which no fold has been judged yet.")
    sets = [[one[name] for name in sorted(one)] for one in each]
    alone = {str(seed): mean_figures([found], MIDDLE, 0) for seed, found in zip(seeds, sets, strict=True)}
    by_seed = {seed: {name: figure["value"] for name, figure in found.items()} for seed, found in alone.items()}
    return {
        "task": "detect",
        "images": {str(seed): len(found) for seed, found in zip(seeds, sets, strict=True)},
        "mean": mean_figures(sets, MIDDLE),
        "by_seed": by_seed,
    }


def _read(out: Path, seed: int) -> dict[str, Picture]:
    """Every judged image of a seed by its name."""
    found = {}
    for path in sorted(out.glob(f"seed{seed}-fold*/{HELD}")):
        document = json.loads(path.read_text("utf-8"))
        for image in document["images"]:
            found[image["file_name"]] = Picture(
                image["unit"],
                np.asarray(image["truth"], np.float64).reshape(-1, 4),
                np.asarray(image["kinds"], np.int64),
                tuple(image["lesions"]),
                np.asarray(image["boxes"], np.float64).reshape(-1, 4),
                shifted(np.asarray(image["scores"], np.float64), float(document["threshold"])),
                np.asarray(image["labels"], np.int64),
            )
    return found


def shifted(scores: np.ndarray[Any, np.dtype[np.float64]], threshold: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Scores moved on the scale of log-odds so that `threshold` becomes 0.5; their order stays."""
    least = 1e-6
    odds = [np.log(v / (1 - v)) for v in (np.clip(scores, least, 1 - least), np.clip(threshold, least, 1 - least))]
    return np.asarray(1 / (1 + np.exp(odds[1] - odds[0])))


def _setting(folder: Folder, plan: Plan) -> dict[str, Any]:
    data = {"name": folder.name, "version": folder.version, "hash": folder.hash}
    recipe = json.loads(json.dumps(asdict(plan.recipe)))
    return {"data": data, "recipe": recipe, "folds": plan.folds, "only_first": plan.only_first, "random": plan.random}
