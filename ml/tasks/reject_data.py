"""Patches for the second stage: lesions as people drew them, and what the detector took for one and was not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ml import decode
from ml.data import Item
from ml.images import Input, Rgb, crop, normalised, read
from ml.judge.detection import iou
from ml.runtime import Box, Model

CLASSES = ("other", "tumour")
MINE_FROM = 0.02  # detector scores: far below its threshold, where the false boxes are
MOST_MINED = 8  # of one image
FREE_IOU = 0.2
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Patches:
    """planes (n, side, side, 3) uint8 and wanted (n,) class indices."""

    planes: NDArray[np.uint8]
    wanted: NDArray[np.int64]

    def batches(
        self, rng: np.random.Generator, size: int, given: Input
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """One epoch: (b, 3, side, side), (b,), mirrored and lit anew; as many of one class as of the other,
        drawn from the larger each time."""
        kinds = [np.flatnonzero(self.wanted == kind) for kind in range(len(CLASSES))]
        least = min(len(places) for places in kinds)
        order = rng.permutation(np.concatenate([rng.permutation(places)[:least] for places in kinds]))
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            if len(chosen) < 2:  # a norm over one patch says nothing
                continue
            yield (
                np.concatenate([normalised(_changed(self.planes[i], rng), given) for i in chosen]),
                self.wanted[chosen],
            )


def mined(model: Model, rgb: Rgb, item: Item) -> tuple[list[Box], list[Box]]:
    """What the detector finds at a low threshold on a picture: boxes on lesions (IoU 0.5), and boxes that touch none."""
    candidates, placed = model.candidates(rgb)
    found = decode.kept(candidates, MINE_FROM, model.spec.nms_iou)
    corners = placed.back(found.boxes).astype(np.float64)
    truth = np.asarray([(b.x, b.y, b.x + b.width, b.y + b.height) for b in item.boxes], np.float64).reshape(-1, 4)
    best = iou(corners, truth).max(axis=1, initial=0.0)
    middle = (corners[:, None, :2] + corners[:, None, 2:]) / 2
    beyond = np.maximum(truth[:, :2] - middle, middle - truth[:, 2:]).max(axis=2)  # px out of the box, (boxes, truths)
    inside = beyond.min(axis=1, initial=np.inf) <= 0
    boxes = [(float(x0), float(y0), float(x1 - x0), float(y1 - y0)) for x0, y0, x1, y1 in corners]
    on = [box for box, fit in zip(boxes, best, strict=True) if fit >= 0.5]
    off = [box for box, fit, into in zip(boxes, best, inside, strict=True) if fit < FREE_IOU and not into]
    return on, off[:MOST_MINED]


def gather(
    model: Model, items: Sequence[Item], given: Input, rng: np.random.Generator, copies: int, hard: Path | None = None
) -> tuple[Patches, dict[str, int]]:
    """Patches of TRAIN images, each lesion and each mined box in `copies` places; `hard` is a folder of false pictures.

    Returns how many boxes came from where beside them."""
    planes: list[Rgb] = []
    wanted: list[int] = []
    counts = {"drawn": 0, "found_on_lesion": 0, "mined": 0, "drawn_from_normal": 0, "hard_negatives": 0}
    for item in items:
        rgb = read(item.path)
        on, off = mined(model, rgb, item)
        drawn = [(box.x, box.y, box.width, box.height) for box in item.boxes]
        spare = [] if item.boxes else [_anywhere(rgb, rng) for _ in range(2)]
        for name, boxes, kind in (
            ("drawn", drawn, 1),
            ("found_on_lesion", on, 1),
            ("mined", off, 0),
            ("drawn_from_normal", spare, 0),
        ):
            counts[name] += len(boxes)
            for box in boxes:
                for copy in range(copies):
                    near = _nudged(box, rng) if copy else box
                    planes.append(crop(rgb, near, given.margin, given.height, given.width, given.fill))
                    wanted.append(kind)
    for path in sorted(hard.rglob("*")) if hard else ():
        if path.suffix.lower() in SUFFIXES:
            rgb = read(path)
            whole = (0.0, 0.0, float(rgb.shape[1]), float(rgb.shape[0]))
            planes += [crop(rgb, whole, 0, given.height, given.width, given.fill)] * copies
            wanted += [0] * copies
            counts["hard_negatives"] += 1
    if len(set(wanted)) < len(CLASSES):
        raise ValueError("A second stage needs lesions and false boxes to learn from.")
    return Patches(np.stack(planes), np.asarray(wanted, np.int64)), counts


def _nudged(box: Box, rng: np.random.Generator) -> Box:
    """About the same box, as a detector would place it."""
    x, y, width, height = box
    wide, high = width * np.exp(rng.uniform(-0.15, 0.15)), height * np.exp(rng.uniform(-0.15, 0.15))
    right, down = width * rng.uniform(-0.1, 0.1), height * rng.uniform(-0.1, 0.1)
    return float(x + (width - wide) / 2 + right), float(y + (height - high) / 2 + down), float(wide), float(high)


def _anywhere(rgb: Rgb, rng: np.random.Generator) -> Box:
    """A box of a lesion's usual size somewhere on a normal picture."""
    rows, columns = rgb.shape[:2]
    width, height = columns * rng.uniform(0.12, 0.45), rows * rng.uniform(0.12, 0.4)
    return float(rng.uniform(0, columns - width)), float(rng.uniform(0, rows - height)), float(width), float(height)


def _changed(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Mirrored half of the time, another gain and grey curve."""
    flipped = cv2.flip(rgb, 1) if rng.random() < 0.5 else rgb
    grey = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-0.3, 0.3)) * (1 + rng.uniform(-0.2, 0.2))
    return np.asarray(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)[flipped])
