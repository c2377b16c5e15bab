"""What a rejector brings: false boxes before and after it at the same recall, thresholds chosen on tune and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ml import decode
from ml.data import Item
from ml.images import read
from ml.judge import detection as judge
from ml.judge.detected import LEAST_SCORE, kinds_of, picture
from ml.judge.detection import Floats, Picture
from ml.runtime import Box, Model

STEPS = 40


@dataclass(frozen=True)
class Doubted:
    """An image with the detector's boxes, and how much of a tumour the second stage sees in each (m,), 0 to 1."""

    picture: Picture
    tumour: Floats

    def kept(self, least: float) -> Picture:
        """The image with only the boxes that the second stage lets through."""
        keep = self.tumour >= least
        one = self.picture
        return replace(one, boxes=one.boxes[keep], scores=one.scores[keep], labels=one.labels[keep])


def doubted(detector: Model, rejector: Model | None, items: Sequence[Item]) -> list[Doubted]:
    """Every box from the lowest score up, with the rejector's opinion (1 without a rejector)."""
    found = []
    for item, kinds in zip(items, kinds_of(items, detector.spec.classes), strict=True):
        rgb = read(item.path)
        candidates, placed = detector.candidates(rgb)
        best = decode.kept(candidates, LEAST_SCORE, detector.spec.nms_iou)
        rows, columns = rgb.shape[:2]
        boxes = np.clip(placed.back(best.boxes), 0, np.asarray([columns, rows] * 2, np.float32))
        asked: list[Box] = [(float(a), float(b), float(c - a), float(d - b)) for a, b, c, d in boxes]
        tumour = np.ones(len(asked)) if rejector is None else rejector.classify(rgb, asked)[:, -1].astype(np.float64)
        found.append(Doubted(picture(item, kinds, boxes, best.scores), tumour))
    return found


def choose(tune: Sequence[Doubted], threshold: float) -> tuple[float, float]:
    """Thresholds (detector, rejector) with the fewest false boxes on tune, the recall no lower than at `threshold` alone.

    (threshold, 0) when no pair is better: then the second stage brings nothing."""
    alone = judge.at_threshold(judge.pool([one.picture for one in tune], "iou50"), threshold)
    best = (threshold, 0.0)
    fewest = alone["false_per_image"]
    opinions = np.concatenate([one.tumour for one in tune]) if tune else np.zeros(0)
    for least in np.unique(np.quantile(opinions, np.linspace(0, 0.98, STEPS))) if opinions.size else ():
        pool = judge.pool([one.kept(float(least)) for one in tune], "iou50")
        for lower in np.unique(np.linspace(min(0.02, threshold), threshold, STEPS)):
            found = judge.at_threshold(pool, float(lower))
            if found["recall"] >= alone["recall"] and found["false_per_image"] < fewest - 1e-9:
                best, fewest = (float(lower), float(least)), found["false_per_image"]
    return best


def gain(found: Sequence[Doubted], threshold: float, chosen: tuple[float, float]) -> dict[str, Any]:
    """The figures before (the detector alone) and after, and false boxes at exactly the recall of before."""
    before = judge.pool([one.picture for one in found], "iou50")
    after = judge.pool([one.kept(chosen[1]) for one in found], "iou50")
    alone = judge.at_threshold(before, threshold)
    points = judge.curve(after)
    enough = np.flatnonzero(points["recall"] >= alone["recall"] - 1e-9)
    same = judge.at_threshold(after, float(points["score"][enough[0]])) if enough.size else None
    return {
        "before": _rounded(alone) | {"threshold": round(threshold, 4)},
        "after": _rounded(judge.at_threshold(after, chosen[0])) | {"threshold": round(chosen[0], 4)},
        "reject_below": round(chosen[1], 4),
        "after_at_recall_of_before": None if same is None else _rounded(same),
    }


def _rounded(found: dict[str, float]) -> dict[str, float | None]:
    return {name: round(value, 4) if value == value else None for name, value in found.items()}
