"""What the form of a lesion's box says of its class, before any pixel: taller than wide, large or small in the frame. NumPy.

"Taller than wide" is a sign of malignancy of its own in the BI-RADS and TI-RADS lexicons (orientation); a crop that is scaled
to the network's input loses it. The term is a few numbers in model.json that a person can read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]
FEATURES: Final = ("log(height / width)", "log(side / side of the frame)")  # a side: the root of the area
FAR: Final = 3.0  # standard deviations: a form beyond counts no more
DECAY: Final = 1e-2
STEPS: Final = 500


@dataclass(frozen=True)
class Form:
    """`weights` (classes, 2) of the features, which are standardised by `mean` and `std` (2,) first."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]

    @classmethod
    def fit(cls, boxes: Sequence[Box], frames: Sequence[tuple[int, int]], targets: Sequence[int], classes: int) -> Self:
        """Logistic regression, every class weighed alike; it is convex, so the same boxes give the same weights.

        `frames`: (width, height) in pixels of the picture that each box (x, y, width, height) is on."""
        found = features(boxes, frames)
        mean, std = found.mean(axis=0), np.maximum(found.std(axis=0), 1e-3)
        standard = np.clip((found - mean) / std, -FAR, FAR)
        truth = np.eye(classes)[np.asarray(targets)]
        share = truth @ (1 / np.maximum(truth.sum(axis=0), 1)) / classes  # of each box in the sum: 1 in all
        weights, bias = np.zeros((classes, 2)), np.zeros(classes)
        for _ in range(STEPS):  # the curvature is below 1 a feature: steps of one half go down all the way
            wrong = (_softmax(standard @ weights.T + bias) - truth) * share[:, None]
            weights -= 0.5 * (wrong.T @ standard + DECAY * weights)
            bias -= 0.5 * wrong.sum(axis=0)
        return cls(_plain(mean), _plain(std), tuple(_plain(row) for row in weights))

    def logits(self, boxes: Sequence[Box | None], frames: Sequence[tuple[int, int]]) -> Floats:
        """(n, classes) to be added to the network's; zeros for a whole frame (None), which has no form."""
        added = np.zeros((len(boxes), len(self.weights)))
        known = [number for number, box in enumerate(boxes) if box is not None]
        if known:
            found = features([box for box in boxes if box is not None], [frames[number] for number in known])
            standard = np.clip((found - self.mean) / np.asarray(self.std), -FAR, FAR)
            added[known] = standard @ np.asarray(self.weights).T
        return added


def features(boxes: Sequence[Box], frames: Sequence[tuple[int, int]]) -> Floats:
    """(n, 2) of boxes (x, y, width, height) on frames (width, height); sides below a pixel count as one."""
    sides = np.log(np.maximum(np.asarray(boxes, np.float64)[:, 2:], 1.0))
    whole = np.log(np.asarray(frames, np.float64))
    return np.stack([sides[:, 1] - sides[:, 0], (sides.sum(axis=1) - whole.sum(axis=1)) / 2], axis=1)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def _plain(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
