"""From the whole image to a verdict: boxes that a detector found on a fold it never saw, named by a classifier that never saw it."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml.calibration import Floats
from ml.class_map import ClassMap
from ml.data import BadFolder, Item
from ml.judge.classification import Scored, judged
from ml.samples import Sample
from ml.tasks.detect_folds import HELD

COLUMNS = ("file_name", "unit", "label", "positive", "boxes", "score", "threshold")


def found_boxes(detector: Path, seed: int, fold: int, held: Sequence[Item]) -> list[list[Sample]]:
    """For each held-out image the boxes above the detector's own threshold. `detector` is what `folds detect` made.

    Raises BadFolder when its fold held out other images: it would have seen some of these."""
    place = detector / f"seed{seed}-fold{fold}" / HELD
    if not place.is_file():
        raise BadFolder(f"The detector has no seed {seed} fold {fold}: run ./run ml folds detect with the same folds.")
    told = json.loads(place.read_text("utf-8"))
    images = {one["file_name"]: one for one in told["images"]}
    if images.keys() != {item.file_name for item in held}:
        raise BadFolder("The detector's fold holds out other images: it was folded with other settings or other data.")
    found = []
    for item in held:
        one = images[item.file_name]
        sure = [box for box, score in zip(one["boxes"], one["scores"], strict=True) if score >= told["threshold"]]
        found.append([Sample(item, (x0, y0, x1 - x0, y1 - y0), 0, n) for n, (x0, y0, x1, y1) in enumerate(sure)])
    return found


def verdicts(
    held: Sequence[Item],
    found: Sequence[Sequence[Sample]],
    classes: ClassMap,
    threshold: float,
    name: Callable[[Sequence[Sample]], Floats],
) -> list[dict[str, Any]]:
    """A row an image: how likely its likeliest box is positive, 0 where nothing was found; `name` gives (n, classes)."""
    flat = [one for boxes in found for one in boxes]
    columns = [classes.classes.index(one) for one in classes.positive]
    scores = name(flat)[:, columns].sum(axis=1) if flat else np.zeros(0)
    rows, start = [], 0
    for item, boxes in zip(held, found, strict=True):
        own = scores[start : start + len(boxes)]
        start += len(boxes)
        is_positive = classes.of.get(item.label) in classes.positive
        values = (item.file_name, item.unit, item.label, int(is_positive), len(boxes), max(own, default=0.0), threshold)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def figures(tables: Sequence[tuple[int, Path]]) -> dict[str, Any]:
    """Positive or not of every image, normals among the others: the mean over seeds, with intervals by patient.

    `without_a_box` is the share of each label's images on which nothing was found. `tables`: (seed, file)."""
    rows, draws = [], []
    for seed, table in tables:
        with table.open(newline="", encoding="utf-8") as handle:
            read = list(csv.DictReader(handle))
        rows += read
        draws += [seed] * len(read)
    scores = np.array([float(row["score"]) for row in rows])
    scored = Scored(
        np.stack([1 - scores, scores], axis=1),
        np.array([int(row["positive"]) for row in rows]),
        (1,),
        np.array([float(row["threshold"]) for row in rows]),
        tuple(row["unit"] for row in rows),
        tuple(row["file_name"] for row in rows),
        np.array(draws),
    )
    there, empty = Counter(row["label"] for row in rows), Counter(row["label"] for row in rows if row["boxes"] == "0")
    return {
        "n": {str(seed): draws.count(seed) for seed in dict.fromkeys(draws)},
        "metrics": {name: figure.document for name, figure in judged(scored).items()},
        "without_a_box": {label: round(empty[label] / count, 4) for label, count in sorted(there.items())},
    }
