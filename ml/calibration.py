"""What is chosen on tune and nothing else: temperature, decision threshold, and where a model had better abstain. NumPy."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_GOLDEN = (5**0.5 - 1) / 2
PRIOR = 4.0  # as if log T had been seen to be 0 with this weight of images: 60 of them alone give a wild temperature


def softmax(logits: Floats, temperature: float) -> Floats:
    """(views, n, classes) logits -> (n, classes): the mean over views of softmax(logits / temperature), as the runtime."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    shares: Floats = (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=0)
    return shares


def log_loss(probabilities: Floats, targets: Ints) -> float:
    """Mean of -log p of the true class, in nats."""
    return float(-np.log(np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, 1)).mean())


def temperature(logits: Floats, targets: Ints) -> float:
    """The temperature of least log loss, 0.25 to 4, drawn to 1 where tune is small; by golden section on its log."""

    def cost(log_t: float) -> float:
        return log_loss(softmax(logits, float(np.exp(log_t))), targets) + PRIOR * log_t**2 / max(len(targets), 1)

    low, high = np.log(0.25), np.log(4.0)
    for _ in range(60):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if cost(left) < cost(right) else (left, high)
    return float(np.exp((low + high) / 2))


def threshold(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Where the mean of sensitivity and specificity is best.

    Few images make a ragged curve: the middle of all cuts within 0.02 of the best is taken, weighed by their width."""
    if positive.all() or not positive.any():
        return 0.5
    values = np.unique(scores)
    cuts = np.concatenate([[0.0], (values[:-1] + values[1:]) / 2, [1.0]])
    called = scores[None] >= cuts[:, None]
    balanced = (called[:, positive].mean(axis=1) + (~called[:, ~positive]).mean(axis=1)) / 2
    good = np.flatnonzero(balanced >= balanced.max() - 0.02)
    edges = np.concatenate([[0.0], values, [1.0]])
    widths = np.maximum(edges[good + 1] - edges[good], 1e-9)
    return float(np.average(cuts[good], weights=widths))


def abstain_below(probabilities: Floats, targets: Ints, wanted: float = 0.95, least_kept: float = 0.7) -> float | None:
    """The lowest certainty from which `wanted` of what is said is right; None when too little would be left, or none is needed."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    order = np.argsort(-sure)
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(share >= wanted)
    if not len(enough) or enough[-1] + 1 == len(order) or (enough[-1] + 1) / len(order) < least_kept:
        return None
    return float(sure[order][enough[-1]])
