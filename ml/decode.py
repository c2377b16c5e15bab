"""From what a network says to boxes and probabilities: YOLO and FCOS outputs, non-maximum suppression, softmax."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
MOST_CANDIDATES: Final = 1000
MOST_BOXES: Final = 100
ODD: Final = "The model answered with numbers of another shape than its model.json says."
NO_NUMBER: Final = "The model answered with something that is not a number."


@dataclass(frozen=True)
class Candidates:
    """Boxes (n, 4) as x0 y0 x1 y1 in pixels of the input, and the score (n, classes) of each class, 0 to 1."""

    boxes: Array
    scores: Array

    @property
    def best(self) -> Array:
        """The score (n,) of the likeliest class."""
        return np.asarray(self.scores.max(axis=1), np.float32)

    def taken(self, places: NDArray[np.intp]) -> "Candidates":
        return Candidates(self.boxes[places], self.scores[places])


def yolo(outputs: Sequence[Array], classes: int) -> Candidates:
    """(1, 4 + classes, n): centre x, centre y, width, height, then a score a class. Raises ValueError for another shape."""
    (out,) = outputs if len(outputs) == 1 else (np.zeros(0, np.float32),)
    if out.ndim != 3 or out.shape[:2] != (1, 4 + classes):
        raise ValueError(ODD)
    rows = out[0].T
    half = rows[:, 2:4] / 2
    return _finite(np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1), rows[:, 4:])


def fcos(outputs: Sequence[Array], classes: int) -> Candidates:
    """Outputs "scores" (1, n, classes) and "boxes" (1, n, 4) as x0 y0 x1 y1, in this order. Raises ValueError for other shapes."""
    if len(outputs) != 2:
        raise ValueError(ODD)
    scores, boxes = outputs
    if scores.ndim != 3 or scores.shape[2] != classes or boxes.shape != (1, scores.shape[1], 4) or len(scores) != 1:
        raise ValueError(ODD)
    return _finite(boxes[0], scores[0])


def softmax(
    outputs: Sequence[Array], classes: int, temperature: float, added: NDArray[np.float64] | float = 0
) -> Array:
    """Output "logits" (b, classes) as probabilities of the same shape; `added` (b, classes) is added to the logits.

    Raises ValueError for another shape or no numbers."""
    if len(outputs) != 1 or outputs[0].ndim != 2 or outputs[0].shape[1] != classes:
        raise ValueError(ODD)
    if not np.isfinite(outputs[0]).all():
        raise ValueError(NO_NUMBER)
    logits = (outputs[0].astype(np.float64) + added) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def flipped(found: Candidates, sides: tuple[int, int], strides: Sequence[int]) -> Candidates:
    """What was found in the mirror image, as of the picture itself: boxes mirrored left to right, points in their own order.

    `sides` height and width of the input in pixels; the points are those of maps of these strides, row by row. Raises
    ValueError for another number of points."""
    height, width = sides
    places, before = [], 0
    for stride in strides:
        rows, columns = height // stride, width // stride
        places.append(before + np.arange(rows * columns).reshape(rows, columns)[:, ::-1].ravel())
        before += rows * columns
    if len(found.boxes) != before:
        raise ValueError(ODD)
    mirrored = found.taken(np.concatenate(places))
    x0, y0, x1, y1 = mirrored.boxes.T
    return Candidates(np.stack([width - x1, y0, width - x0, y1], axis=1), mirrored.scores)


def mean_of(found: Sequence[Candidates]) -> Candidates:
    """Of several looks the mean box and the mean scores of each point: chance of one look evens out."""
    boxes, scores = (
        np.mean(np.stack(parts), axis=0) for parts in zip(*((f.boxes, f.scores) for f in found), strict=True)
    )
    return Candidates(np.asarray(boxes, np.float32), np.asarray(scores, np.float32))


def kept(found: Candidates, threshold: float, nms_iou: float) -> Candidates:
    """The surest first, each apart from the others, whatever their classes: one lesion is one box."""
    best = found.best
    places = np.flatnonzero(best >= threshold)
    order = places[np.argsort(-best[places], kind="stable")][:MOST_CANDIDATES]
    return found.taken(order[nms(found.boxes[order], nms_iou)])


def nms(boxes: Array, most_iou: float) -> NDArray[np.intp]:
    """Places of the boxes (n, 4), which come surest first, that no surer one overlaps by more than `most_iou`."""
    left = np.arange(len(boxes))
    chosen: list[int] = []
    while left.size and len(chosen) < MOST_BOXES:
        first, left = int(left[0]), left[1:]
        chosen.append(first)
        left = left[iou(boxes[first], boxes[left]) <= most_iou]
    return np.asarray(chosen, np.intp)


def iou(box: Array, others: Array) -> Array:
    """Intersection over union (n,) of a box (4,) with others (n, 4), all x0 y0 x1 y1; 0 where either is empty."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(np.maximum(others[:, 2:] - others[:, :2], 0), axis=1)
    union = float(np.prod(np.maximum(box[2:] - box[:2], 0))) + areas - shared
    return np.asarray(np.where(union > 0, shared / np.where(union > 0, union, 1), 0), np.float32)


def _finite(boxes: Array, scores: Array) -> Candidates:
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError(NO_NUMBER)
    return Candidates(np.asarray(boxes, np.float32), np.asarray(scores, np.float32))
