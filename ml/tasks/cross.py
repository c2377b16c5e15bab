"""Cross-validation: every fold trained without it and judged on it, several seeds; what was said is kept, fold by fold.

Thresholds and temperature of a fold come from its own tune, a grouped tenth of what it trains on; the fold itself chooses nothing."""

import csv
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml import calibration
from ml.class_map import ClassMap, fitting
from ml.data import BadFolder, Folder, Item, load
from ml.folds import at_random, grouped, holdout, keep_setting
from ml.judge.classification import Scored, judged, merged
from ml.run_folder import code, environment, replace
from ml.samples import Sample, has_boxes, samples_of
from ml.tasks import end_to_end
from ml.tasks.classify import choose, positive_columns
from ml.tasks.fitting import fit
from ml.tasks.recipes import Recipe
from ml.tasks.views import Store

COLUMNS = ("file_name", "unit", "lesion", "target", "fold", "threshold", "temperature")
TUNE_PART = 0.15


@dataclass(frozen=True)
class Plan:
    """`folds` for each of `seeds`; `only_first` judges one fold a seed (a holdout); `random` ignores patients and groups.

    `detector`: folds of a detector, whose boxes are named too (`ml.tasks.end_to_end`)."""

    recipe: Recipe
    seeds: tuple[int, ...]
    folds: int = 5
    only_first: bool = False
    random: bool = False
    classes: str | None = None
    detector: Path | None = None


def cross(data: Path, out: Path, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Train and judge every fold that OUT does not hold yet; returns and writes the figures. Raises BadFolder."""
    folder = load(data)
    classes = fitting(folder.labels, plan.classes)
    by_box = has_boxes(folder.items, classes)
    setting = _setting(folder, classes, plan)
    keep_setting(out, setting)
    store = Store()
    for seed in plan.seeds:
        of = at_random(folder.items, plan.folds, seed) if plan.random else grouped(folder.items, plan.folds, seed)
        for fold in range(1 if plan.only_first else plan.folds):
            table = out / f"seed{seed}-fold{fold}.csv"
            if table.exists() and (plan.detector is None or _whole(table).exists()):
                continue
            began = time.monotonic()
            held = [item for item, where in zip(folder.items, of, strict=True) if where == fold]
            rest = [item for item, where in zip(folder.items, of, strict=True) if where != fold]
            rows, whole = _fold(rest, held, classes, by_box, plan, seed, fold, store)
            if whole:
                _save(_whole(table), whole, end_to_end.COLUMNS)
            _save(table, rows, (*COLUMNS, *(f"p_{one}" for one in classes.classes)))
            say(f"seed {seed} fold {fold}: {len(rows)} samples in {time.monotonic() - began:.0f} s")
    result = summary(out, plan.seeds, classes, setting, by_box)
    if plan.detector is not None:
        tables = [(seed, table) for seed in plan.seeds for table in sorted(out.glob(f"whole-seed{seed}-fold*.csv"))]
        detector = json.loads((plan.detector / "setting.json").read_text("utf-8"))
        result["end_to_end"] = end_to_end.figures(tables) | {"detector": detector}
    replace(out / "result.json", (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    return result


def summary(
    out: Path, seeds: Sequence[int], classes: ClassMap, setting: dict[str, Any], by_box: bool
) -> dict[str, Any]:
    """Figures of what the folds said, the mean over seeds, a lesion (or image), an image and a patient at a time."""
    scored = read_folds(out, seeds, classes)
    levels = {}
    for level in ("lesion", "image", "patient") if by_box else ("image", "patient"):
        part = merged(scored, level)
        metrics = {name: figure.document for name, figure in judged(part).items()}
        each = {str(seed): len(part.at(np.flatnonzero(part.draws == seed)).targets) for seed in seeds}
        levels[level] = {"n": each, "metrics": metrics}
    return {"task": "classify", **setting, "code": code(), "environment": environment(), "per": levels}


def read_folds(out: Path, seeds: Sequence[int], classes: ClassMap) -> Scored:
    """Everything that the folds of the seeds said. Raises BadFolder when there is nothing."""
    rows, draws = [], []
    for seed in seeds:
        for table in sorted(out.glob(f"seed{seed}-fold*.csv")):
            with table.open(newline="", encoding="utf-8") as handle:
                found = list(csv.DictReader(handle))
            rows += found
            draws += [seed] * len(found)
    if not rows:
        raise BadFolder("No fold has been judged yet.")
    return Scored(
        np.array([[float(row[f"p_{one}"]) for one in classes.classes] for row in rows]),
        np.array([classes.classes.index(row["target"]) for row in rows]),
        tuple(positive_columns(classes)),
        np.array([float(row["threshold"]) for row in rows]),
        tuple(row["unit"] for row in rows),
        tuple(row["file_name"] for row in rows),
        np.array(draws),
    )


def _fold(
    rest: list[Item], held: list[Item], classes: ClassMap, by_box: bool, plan: Plan, seed: int, fold: int, store: Store
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is said of the held-out samples, and of the held-out images where a detector found the boxes."""
    found = end_to_end.found_boxes(plan.detector, seed, fold, held) if plan.detector else []
    kept, chosen_by = holdout(rest, TUNE_PART, seed)
    train, tune, test = (
        samples_of(items, classes, by_box) for items in ([rest[i] for i in kept], [rest[i] for i in chosen_by], held)
    )
    fitted = fit(train, tune, len(classes.classes), plan.recipe, seed * 10 + fold, store=store)
    chosen = choose(fitted, tune, classes)

    def say(samples: Sequence[Sample]) -> calibration.Floats:
        return calibration.softmax(fitted.say(store.looked(samples, plan.recipe), samples), chosen.temperature)

    rows = [
        _row(one, p, classes, fold, chosen.threshold, chosen.temperature)
        for one, p in zip(test, say(test), strict=True)
    ]
    return rows, end_to_end.verdicts(held, found, classes, chosen.threshold, say) if found else []


def _row(
    sample: Sample, probabilities: calibration.Floats, classes: ClassMap, fold: int, threshold: float, heat: float
) -> dict[str, Any]:
    values = (
        sample.item.file_name,
        sample.item.unit,
        sample.lesion,
        classes.classes[sample.target],
        fold,
        threshold,
        heat,
    )
    said = {f"p_{one}": float(p) for one, p in zip(classes.classes, probabilities, strict=True)}
    return dict(zip(COLUMNS, values, strict=True)) | said


def _whole(table: Path) -> Path:
    """Where it is kept what a fold says of whole images."""
    return table.with_name(f"whole-{table.name}")


def _save(table: Path, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    part = table.with_name(table.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)
    part.replace(table)


def _setting(folder: Folder, classes: ClassMap, plan: Plan) -> dict[str, Any]:
    return {
        "data": {"name": folder.name, "version": folder.version, "hash": folder.hash, "images": len(folder.items)},
        "class_map": classes.name,
        "classes": list(classes.classes),
        "positive": list(classes.positive),
        "recipe": plan.recipe.document,
        "folds": plan.folds,
        "only_first": plan.only_first,
        "random": plan.random,
    }
