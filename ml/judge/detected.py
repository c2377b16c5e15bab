"""A detector put to the images of a data folder, through the runtime as it is shipped, and the figures of that."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml import decode
from ml.data import Item
from ml.images import read
from ml.judge import detection as judge
from ml.judge.detection import Floats, Match, Picture, Pool
from ml.runtime import Model

LEAST_SCORE = 0.005
LIMIT = 0.5  # false boxes on a normal image
DRAWS = 1000
HOWS: tuple[Match, ...] = ("iou50", "iou30", "centre")
AT_THRESHOLD = ("f1", "precision", "recall", "lesion_recall", "false_per_normal", "false_per_image")
CALLED = ("image_sensitivity", "image_specificity", "unit_sensitivity", "unit_specificity")
Figure = Callable[[Pool, Floats], float]


class WrongClasses(ValueError):
    """The folder's classes are not those of the model."""


def kinds_of(items: Sequence[Item], classes: Sequence[str]) -> list[list[int]]:
    """The class index of every box; a model of one class takes every box as that. Raises WrongClasses."""
    if len(classes) == 1:
        return [[0] * len(item.boxes) for item in items]
    place = {name: number for number, name in enumerate(classes)}
    if unknown := {box.category for item in items for box in item.boxes} - place.keys():
        raise WrongClasses(f"The model knows no {', '.join(sorted(unknown))}.")
    return [[place[box.category] for box in item.boxes] for item in items]


def pictures(model: Model, items: Sequence[Item]) -> list[Picture]:
    """Each image with what the model finds from the lowest score up, in pixels of the image. Raises WrongClasses."""
    found = []
    for item, kinds in zip(items, kinds_of(items, model.spec.classes), strict=True):
        rgb = read(item.path)
        candidates, placed = model.candidates(rgb)
        kept = decode.kept(candidates, LEAST_SCORE, model.spec.nms_iou)
        rows, columns = rgb.shape[:2]
        boxes = np.clip(placed.back(kept.boxes), 0, np.asarray([columns, rows] * 2, np.float32))
        found.append(picture(item, kinds, boxes, kept.scores))
    return found


def picture(item: Item, kinds: Sequence[int], boxes: Any, scores: Any) -> Picture:  # noqa: ANN401 -- any real array
    """One image: its own boxes and predicted ones (n, 4) px with scores (n, classes)."""
    truth = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in item.boxes]
    return Picture(
        item.unit,
        np.asarray(truth, np.float64).reshape(-1, 4),
        np.asarray(kinds, np.int64),
        tuple(box.lesion for box in item.boxes),
        np.asarray(boxes, np.float64).reshape(-1, 4),
        np.asarray(scores, np.float64).max(axis=1) if len(scores) else np.zeros(0),
        np.asarray(scores, np.float64).argmax(axis=1) if len(scores) else np.zeros(0, np.int64),
    )


def figures(found: Sequence[Picture], threshold: float, classes: int, draws: int = DRAWS) -> dict[str, Any]:
    """The figures of a set at a threshold chosen elsewhere; `mean_figures` of one seed, with COCO's own and a curve."""
    pool = judge.pool(found, "iou50")
    told = mean_figures([found], threshold, draws)
    told["coco"] = {name: _number(value) for name, value in judge.coco_figures(found, classes).items()}
    told["counts"] = {
        "images": len(found), "units": len(pool.units), "normal": int(pool.normal.sum()), "boxes": len(pool.kind),
        "lesions": len(set(pool.lesion.tolist())),
    }  # fmt: skip
    return told | {"threshold": threshold, "curve": curve(pool)}


def mean_figures(seeds: Sequence[Sequence[Picture]], threshold: float, draws: int = DRAWS) -> dict[str, Any]:
    """Each figure {"value", "low", "high"}: the mean over seeds, each of its own images (a holdout's are others), and its
    95 % interval over the units of all of them, the same units drawn for every seed.

    f1, precision, recall at IoU 0.5, f1_iou30, f1_centre, map50, recall_iou30 at 0.5 false boxes on a normal image."""
    pools = {how: [judge.pool(found, how) for found in seeds] for how in HOWS}
    wanted: dict[str, tuple[Match, Figure]] = {name: ("iou50", _at(name, threshold)) for name in AT_THRESHOLD}
    wanted |= {"f1_iou30": ("iou30", _at("f1", threshold)), "f1_centre": ("centre", _at("f1", threshold))}
    wanted["recall_iou30"] = ("iou30", lambda pool, weights: judge.recall_at_false(pool, LIMIT, weights))
    wanted["map50"] = ("iou50", judge.average_precision)
    wanted |= {name: ("iou50", _called(name, threshold)) for name in CALLED}
    units = list(dict.fromkeys(unit for pool in pools["iou50"] for unit in pool.units))
    places = [np.array([units.index(unit) for unit in pool.units], np.int64) for pool in pools["iou50"]]
    told: dict[str, Any] = {}
    for name, (how, figure) in wanted.items():
        mean = _mean(pools[how], places, figure)
        low, high = judge.interval(len(units), mean, draws)
        told[name] = {"value": _number(mean(np.ones(len(units)))), "low": _number(low), "high": _number(high)}
    return told


def _mean(pools: Sequence[Pool], places: Sequence[NDArray[np.int64]], figure: Figure) -> Callable[[Floats], float]:
    """The mean over pools for weights of all units; `places`: where the units of each pool are among them."""
    pairs = list(zip(pools, places, strict=True))
    return lambda weights: float(np.mean([figure(pool, weights[place]) for pool, place in pairs]))


def curve(pool: Pool, points: int = 200) -> dict[str, list[float | None]]:
    """The precision-recall curve, thinned to at most `points` points for a plot."""
    whole = judge.curve(pool)
    count = len(whole["score"])
    places = np.unique(np.linspace(0, count - 1, min(points, count)).astype(int)) if count else np.zeros(0, int)
    return {name: [_number(float(value)) for value in values[places]] for name, values in whole.items()}


def by_group(found: Sequence[Picture], groups: Sequence[str], threshold: float) -> dict[str, dict[str, Any]]:
    """F1, precision, recall and false boxes of the images of each group (a vendor, a size); `groups` has one an image."""
    told: dict[str, dict[str, Any]] = {}
    for name in sorted(set(groups)):
        part = [one for one, group in zip(found, groups, strict=True) if group == name]
        at = judge.at_threshold(judge.pool(part, "iou50"), threshold)
        metrics = {
            key: {"value": _number(at[key]), "low": None, "high": None}
            for key in (*AT_THRESHOLD[:3], "false_per_normal")
        }
        told[name] = {"n": sum(len(one.truth) for one in part), "images": len(part), "metrics": metrics}
    return told


def sizes(items: Sequence[Item]) -> list[str]:
    """The size of each image's largest box as a part of the image: small, middle, large by thirds; "normal" without."""
    share = [max((b.width * b.height / (i.width * i.height) for b in i.boxes), default=0.0) for i in items]
    ill = [value for value in share if value > 0]
    low, high = np.percentile(ill, [100 / 3, 200 / 3]) if ill else (0.0, 0.0)
    return ["normal" if s == 0 else "small" if s <= low else "middle" if s <= high else "large" for s in share]


def _at(name: str, threshold: float) -> Figure:
    return lambda pool, weights: judge.at_threshold(pool, threshold, weights)[name]


def _called(name: str, threshold: float) -> Figure:
    return lambda pool, weights: judge.images_and_units(pool, threshold, weights)[name]


def _number(value: float) -> float | None:
    """JSON has no NaN: what cannot be worked out is null."""
    return round(float(value), 4) if value == value else None
