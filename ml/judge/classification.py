"""Figures of classification: of lesions, images and patients, for the positive group and for all classes. NumPy.

A patient's (or an image's) probability is the mean over its samples; it is positive when any of its samples is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.judge.bootstrap import ROUNDS, Figure, Indices, intervals

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
BINS = 10


@dataclass(frozen=True)
class Scored:
    """What a model said of n samples. probabilities (n, classes), targets (n,), positive: columns of the positive group.

    thresholds (n,): from which probability of the positive group each sample is called positive. `draws` (n,): samples of
    different trainings of one cross-validation; figures are the mean over them."""

    probabilities: Floats
    targets: Ints
    positive: tuple[int, ...]
    thresholds: Floats
    units: tuple[str, ...]
    images: tuple[str, ...]
    draws: Ints

    @property
    def scores(self) -> Floats:
        found: Floats = self.probabilities[:, list(self.positive)].sum(axis=1)
        return found

    @property
    def is_positive(self) -> Bools:
        return np.isin(self.targets, self.positive)

    def at(self, indices: Indices) -> "Scored":
        return Scored(
            self.probabilities[indices], self.targets[indices], self.positive, self.thresholds[indices],
            tuple(self.units[i] for i in indices), tuple(self.images[i] for i in indices), self.draws[indices],
        )  # fmt: skip


def merged(scored: Scored, level: str) -> Scored:
    """One sample an image or a patient: mean probabilities; of the targets a positive one before any other."""
    if level == "lesion":
        return scored
    keys = scored.images if level == "image" else scored.units
    names, member = np.unique([f"{d} {key}" for d, key in zip(scored.draws, keys, strict=True)], return_inverse=True)
    sums = np.zeros((len(names), scored.probabilities.shape[1]))
    np.add.at(sums, member, scored.probabilities)
    first = np.full(len(names), -1)
    # Ordered so that the last one written to each place is a positive one, where there is any.
    order = np.argsort(scored.is_positive, kind="stable")
    first[member[order]] = order
    picked = scored.at(first)
    means = sums / np.bincount(member, minlength=len(names))[:, None]
    return Scored(means, picked.targets, scored.positive, picked.thresholds, picked.units, picked.images, picked.draws)


def binary(is_positive: Bools, scores: Floats, called: Bools) -> dict[str, float]:
    """Accuracy, sensitivity, specificity, AUC, F1, PPV, NPV, Brier, ECE and prevalence of a yes-or-no question."""
    right = called == is_positive
    hits, calls, positives = int((called & is_positive).sum()), int(called.sum()), int(is_positive.sum())
    rejects, negatives = int((~called & ~is_positive).sum()), int((~is_positive).sum())
    sensitivity, specificity = _share(hits, positives), _share(rejects, negatives)
    return {
        "accuracy": float(right.mean()) if len(right) else float("nan"),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "auc": auc(is_positive, scores),
        "f1": _share(2 * hits, calls + positives),
        "ppv": _share(hits, calls),
        "npv": _share(rejects, len(called) - calls),
        "brier": float(np.mean((scores - is_positive) ** 2)) if len(scores) else float("nan"),
        "ece": ece(np.maximum(scores, 1 - scores), (scores >= 0.5) == is_positive),
        "prevalence": _share(positives, len(is_positive)),
    }


def auc(is_positive: Bools, scores: Floats) -> float:
    """Area under the ROC curve: the share of pairs in the right order, ties as one half (Mann and Whitney)."""
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[is_positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def ece(certainty: Floats, right: Bools) -> float:
    """Expected calibration error (Guo et al. 2017) in ten bins of equal width: |how sure - how often right|, weighed by images."""
    if not len(certainty):
        return float("nan")
    place = np.minimum((certainty * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sure, hit = np.bincount(place, certainty, BINS), np.bincount(place, right.astype(np.float64), BINS)
    return float(np.abs(sure - hit)[counts > 0].sum() / len(certainty))


def confusion(targets: Ints, said: Ints, classes: int) -> list[list[int]]:
    """Rows are the truth, columns what was said."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (targets, said), 1)
    return [[int(n) for n in row] for row in table]


def said(scored: Scored) -> Ints:
    """The class that is told: of two by the threshold, of more the likeliest."""
    if scored.probabilities.shape[1] != 2 or len(scored.positive) != 1:
        return np.asarray(scored.probabilities.argmax(axis=1), np.int64)
    column = scored.positive[0]
    return np.where(scored.scores >= scored.thresholds, column, 1 - column).astype(np.int64)


def figures(scored: Scored) -> dict[str, float]:
    """All figures of some samples, the mean over the draws in them."""
    each = []
    for draw in np.unique(scored.draws):
        of = scored.at(np.flatnonzero(scored.draws == draw)) if len(np.unique(scored.draws)) > 1 else scored
        found = binary(of.is_positive, of.scores, of.scores >= of.thresholds)
        if of.probabilities.shape[1] > 2:
            found |= many(of)
        each.append(found)
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}


def many(scored: Scored) -> dict[str, float]:
    """Of more than two classes: share of right ones, the mean over classes of recall, and of F1."""
    table = np.array(confusion(scored.targets, said(scored), scored.probabilities.shape[1]), np.float64)
    there, hits = table.sum(axis=1) > 0, np.diag(table)
    recall = hits[there] / table.sum(axis=1)[there]
    f1 = 2 * hits[there] / (table.sum(axis=0) + table.sum(axis=1))[there]
    return {
        "class_accuracy": float(hits.sum() / max(table.sum(), 1)),
        "class_recall": float(recall.mean()),
        "class_f1": float(f1.mean()),
    }


def judged(scored: Scored, rounds: int = ROUNDS, seed: int = 0) -> dict[str, Figure]:
    """Every figure with its interval, units drawn anew."""
    return intervals(scored.units, lambda indices: figures(scored.at(indices)), rounds, seed)


def abstention(scored: Scored, steps: int = 20) -> list[dict[str, float]]:
    """Accuracy, sensitivity and specificity of what is still answered when the least certain are left to a person."""
    certainty = np.abs(scored.scores - scored.thresholds) / np.where(
        scored.scores >= scored.thresholds, 1 - scored.thresholds + 1e-9, scored.thresholds + 1e-9
    )
    order, curve = np.argsort(-certainty, kind="stable"), []
    for share in np.linspace(1.0, 0.5, steps // 2 + 1):
        found = figures(scored.at(order[: max(round(float(share) * len(order)), 1)]))
        kept = {name: found[name] for name in ("accuracy", "sensitivity", "specificity") if np.isfinite(found[name])}
        curve.append({"answered": float(share)} | kept)
    return curve


def by_fact(
    scored: Scored, values: Sequence[str], judge: Callable[[Scored], Mapping[str, Figure]]
) -> dict[str, dict[str, object]]:
    """Figures of every value of a fact, such as the vendor; samples without it are left out."""
    found: dict[str, dict[str, object]] = {}
    for value in sorted(set(values) - {""}):
        part = scored.at(np.flatnonzero(np.array([one == value for one in values])))
        metrics = {name: figure.document for name, figure in judge(part).items()}
        found[value] = {"n": len(part.targets), "units": len(set(part.units)), "metrics": metrics}
    return found


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
