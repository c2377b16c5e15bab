"""How well boxes are found: matching, precision and recall, false alarms on normal images, AP, intervals by unit."""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Match = Literal["iou50", "iou30", "centre"]
IOU: dict[str, float] = {"iou50": 0.5, "iou30": 0.3}
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Picture:
    """One image: the boxes drawn by people and those of the model, as x0 y0 x1 y1 in pixels of the image.

    truth (n, 4), kinds (n,) class indices, lesions n ids ("" where unknown); boxes (m, 4), scores (m,), labels (m,).
    `unit` is the patient or group that the image belongs to. Raises ValueError if the lengths differ."""

    unit: str
    truth: Floats
    kinds: Ints
    lesions: tuple[str, ...]
    boxes: Floats
    scores: Floats
    labels: Ints

    def __post_init__(self) -> None:
        if not len(self.truth) == len(self.kinds) == len(self.lesions):
            raise ValueError("An image needs a class and a lesion for each box.")
        if not len(self.boxes) == len(self.scores) == len(self.labels):
            raise ValueError("An image needs a score and a class for each prediction.")


def iou(first: Floats, second: Floats) -> Floats:
    """(n, m) intersection over union of (n, 4) and (m, 4) boxes x0 y0 x1 y1; 0 where both are empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(np.clip(b[:, 2:] - b[:, :2], 0, None), axis=1) for b in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(shared / np.maximum(union, 1e-9))


def match(picture: Picture, how: Match) -> tuple[Ints, Ints]:
    """Predictions from the highest score down, and for each the truth it takes (index or -1).

    Greedy, as COCO does it: each takes the free box of its class that it overlaps most, if it does so enough.
    A prediction under a threshold never changes the fate of one above, so one matching serves every threshold."""
    order = np.argsort(-picture.scores, kind="stable")
    overlap = iou(picture.boxes, picture.truth)
    enough = _centre_inside(picture) if how == "centre" else overlap >= IOU[how]
    enough = enough & (picture.labels[:, None] == picture.kinds[None, :])
    taken = np.full(len(order), -1, dtype=np.int64)
    free = np.ones(len(picture.truth), dtype=bool)
    for place, prediction in enumerate(order):
        fit = np.where(enough[prediction] & free, overlap[prediction], -1.0)
        if fit.size and fit.max() >= 0:
            taken[place] = int(fit.argmax())
            free[taken[place]] = False
    return order, taken


def _centre_inside(picture: Picture) -> NDArray[np.bool_]:
    """(predictions, truths): whether the middle of the prediction lies in the true box."""
    middle = (picture.boxes[:, None, :2] + picture.boxes[:, None, 2:]) / 2
    return np.asarray(((middle >= picture.truth[:, :2]) & (middle <= picture.truth[:, 2:])).all(axis=2))


@dataclass(frozen=True)
class Pool:
    """All images of a set, matched in one way: arrays over predictions (highest score first), boxes and images.

    Units, lesions and images are indices; `hit` holds the box taken or -1; `normal` tells images without a box."""

    units: tuple[str, ...]
    score: Floats
    hit: Ints
    label: Ints
    image: Ints
    kind: Ints
    lesion: Ints
    box_image: Ints
    image_unit: Ints
    normal: NDArray[np.bool_]

    @property
    def ones(self) -> Floats:
        """The weight of each unit when every unit counts once."""
        return np.ones(len(self.units))


def pool(pictures: Sequence[Picture], how: Match) -> Pool:
    """Match every image. Boxes with the same lesion id in one unit are one lesion; a box without an id is its own."""
    units = tuple(dict.fromkeys(p.unit for p in pictures))
    place = {unit: index for index, unit in enumerate(units)}
    score, hit, label, image, lesion = [], [], [], [], []
    lesions: dict[tuple[str, str], int] = {}
    boxes = 0
    for index, picture in enumerate(pictures):
        order, taken = match(picture, how)
        score.append(picture.scores[order])
        label.append(picture.labels[order])
        hit.append(np.where(taken >= 0, taken + boxes, -1))
        image.append(np.full(len(order), index))
        for number, name in enumerate(picture.lesions):
            key = (picture.unit, name) if name else (f"{index}", f"\0{number}")
            lesion.append(lesions.setdefault(key, len(lesions)))
        boxes += len(picture.truth)
    scores = np.concatenate([*score, np.empty(0)])
    order = np.argsort(-scores, kind="stable")
    integers = [np.concatenate([*part, np.empty(0, np.int64)]).astype(np.int64)[order] for part in (hit, label, image)]
    return Pool(
        units,
        scores[order],
        integers[0],
        integers[1],
        integers[2],
        np.concatenate([*(p.kinds for p in pictures), np.empty(0, np.int64)]).astype(np.int64),
        np.asarray(lesion, dtype=np.int64),
        np.repeat(np.arange(len(pictures)), [len(p.truth) for p in pictures]).astype(np.int64),
        np.asarray([place[p.unit] for p in pictures], dtype=np.int64),
        np.asarray([len(p.truth) == 0 for p in pictures], dtype=bool),
    )


def ratio(part: float, whole: float) -> float:
    """part / whole, not a number if there is nothing."""
    return float(part / whole) if whole > 0 else float("nan")


def f1(precision: float, recall: float) -> float:
    """The harmonic mean; 0 when nothing is found."""
    return 0.0 if not precision + recall > 0 else 2 * precision * recall / (precision + recall)


def at_threshold(pool: Pool, threshold: float, weights: Floats | None = None) -> dict[str, float]:
    """Precision, recall and F1 over boxes, recall over lesions, false boxes per normal image and per image.

    `weights` (units,) says how often each unit counts (a bootstrap's draw); without it each counts once."""
    by_image = (pool.ones if weights is None else weights)[pool.image_unit]
    sure = pool.score >= threshold
    weight = by_image[pool.image] * sure
    true = float(weight[pool.hit >= 0].sum())
    false = float(weight[pool.hit < 0].sum())
    on_normal = float(weight[pool.normal[pool.image]].sum())
    precision, recall = ratio(true, true + false), ratio(true, float(by_image[pool.box_image].sum()))
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1(precision, recall) if recall == recall else float("nan"),
        "lesion_recall": _lesion_recall(pool, sure, by_image),
        "false_per_normal": ratio(on_normal, float(by_image[pool.normal].sum())),
        "false_per_image": ratio(false, float(by_image.sum())),
    }


def _lesion_recall(pool: Pool, sure: NDArray[np.bool_], by_image: Floats) -> float:
    """The part of lesions that are found on one image at least."""
    count = int(pool.lesion.max()) + 1 if pool.lesion.size else 0
    weight, found = np.zeros(count), np.zeros(count)
    weight[pool.lesion] = by_image[pool.box_image]
    found[pool.lesion[pool.hit[sure & (pool.hit >= 0)]]] = 1
    return ratio(float((weight * found).sum()), float(weight.sum()))


def images_and_units(pool: Pool, threshold: float, weights: Floats | None = None) -> dict[str, float]:
    """Sensitivity and specificity of "there is something", by image and by unit (any of its images)."""
    per_unit = pool.ones if weights is None else weights
    called = np.zeros(len(pool.image_unit), dtype=bool)
    called[pool.image[pool.score >= threshold]] = True
    unit_called, unit_ill = np.zeros(len(per_unit), dtype=bool), np.zeros(len(per_unit), dtype=bool)
    unit_called[pool.image_unit[called]] = True
    unit_ill[pool.image_unit[~pool.normal]] = True
    found: dict[str, float] = {}
    for name, said, ill, weight in (
        ("image", called, ~pool.normal, per_unit[pool.image_unit]),
        ("unit", unit_called, unit_ill, per_unit),
    ):
        found[f"{name}_sensitivity"] = ratio(float(weight[said & ill].sum()), float(weight[ill].sum()))
        found[f"{name}_specificity"] = ratio(float(weight[~said & ~ill].sum()), float(weight[~ill].sum()))
    return found


def curve(pool: Pool, weights: Floats | None = None) -> dict[str, Floats]:
    """Precision, recall and false boxes per normal image (not a number without normals) at each prediction's score."""
    by_image = (pool.ones if weights is None else weights)[pool.image_unit]
    weight = by_image[pool.image]
    true = np.cumsum(weight * (pool.hit >= 0))
    seen = np.cumsum(weight)
    false = np.cumsum(weight * pool.normal[pool.image])
    last = np.append(np.diff(pool.score) != 0, True) if pool.score.size else np.zeros(0, dtype=bool)
    boxes, normals = float(by_image[pool.box_image].sum()), float(by_image[pool.normal].sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = {"score": pool.score, "precision": true / seen, "recall": true / boxes, "false": false / normals}
    return {name: np.asarray(values[last], dtype=np.float64) for name, values in parts.items()}


def best_threshold(pool: Pool) -> float:
    """The score with the highest F1, halfway to the next one below so that it is not one image's score.

    Choose it on tune and nowhere else. 1.0 when nothing is ever right."""
    points = curve(pool)
    if not points["score"].size or not np.nanmax(points["recall"], initial=0) > 0:
        return 1.0
    total = points["precision"] + points["recall"]
    value = 2 * points["precision"] * points["recall"] / np.where(total > 0, total, 1)
    best = int(np.nanargmax(value))
    below = points["score"][best + 1] if best + 1 < len(value) else 0.0
    return float((points["score"][best] + below) / 2)


def recall_at_false(pool: Pool, per_normal: float, weights: Floats | None = None) -> float:
    """The highest recall with at most `per_normal` false boxes on a normal image; not a number without normals."""
    points = curve(pool, weights)
    by_image = (pool.ones if weights is None else weights)[pool.image_unit]
    if not by_image[pool.normal].sum() > 0 or not by_image[pool.box_image].sum() > 0:
        return float("nan")
    return float(points["recall"][points["false"] <= per_normal].max(initial=0.0))


def average_precision(pool: Pool, weights: Floats | None = None) -> float:
    """Mean over classes of the AP at this pool's overlap, by COCO's 101 recall points."""
    per_unit = pool.ones if weights is None else weights
    by_image = per_unit[pool.image_unit]
    values = []
    for kind in np.unique(pool.kind):
        boxes = float(by_image[pool.box_image][pool.kind == kind].sum())
        mine = pool.label == kind
        weight = by_image[pool.image[mine]]
        if not boxes > 0:
            continue
        true, seen = np.cumsum(weight * (pool.hit[mine] >= 0)), np.cumsum(weight)
        precision = true / np.maximum(seen, 1e-12)
        ceiling = np.maximum.accumulate(precision[::-1])[::-1]
        index = np.searchsorted(true / boxes, RECALLS - 1e-12, side="left")
        values.append(float(np.append(ceiling, 0.0)[np.minimum(index, len(ceiling))].mean()))
    return float(np.mean(values)) if values else float("nan")


def coco_figures(pictures: Sequence[Picture], classes: int) -> dict[str, float]:
    """AP at IoU 0.5 and the mean over 0.5 to 0.95 as pycocotools gives them (100 boxes an image at most)."""
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": k + 1} for k in range(classes)]}
    found: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures, start=1):
        truth["images"].append({"id": number})
        for box, kind in zip(picture.truth, picture.kinds, strict=True):
            entry = _entry(number, box, int(kind)) | {"id": len(truth["annotations"]) + 1, "iscrowd": 0}
            truth["annotations"].append(entry)
        for box, label, score in zip(picture.boxes, picture.labels, picture.scores, strict=True):
            found.append(_entry(number, box, int(label)) | {"score": float(score)})
    if not found or not truth["annotations"]:
        nothing = 0.0 if truth["annotations"] else float("nan")
        return {"map50": nothing, "map": nothing}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {"map50": float(judge.stats[1]), "map": float(judge.stats[0])}


def _entry(image: int, box: Floats, kind: int) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(value) for value in box)
    width, height = x1 - x0, y1 - y0
    return {
        "image_id": image,
        "category_id": kind + 1,
        "bbox": [x0, y0, width, height],
        "area": width * height,
    }


def interval(units: int, figure: Callable[[Floats], float], draws: int = 1000, seed: int = 0) -> list[float]:
    """The 95 % interval [low, high] of a figure of unit weights, by a bootstrap: units, not images, are drawn."""
    rng = np.random.default_rng(seed)
    chances = np.full(units, 1 / max(units, 1))
    values = [figure(rng.multinomial(units, chances).astype(np.float64)) for _ in range(draws if units > 1 else 0)]
    kept = [value for value in values if value == value]
    return cast(list[float], np.percentile(kept, [2.5, 97.5]).tolist()) if kept else [float("nan"), float("nan")]
