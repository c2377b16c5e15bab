"""Images and boxes for training a detector: kept small in memory, moved, lit and put together anew every epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.data import Item
from ml.images import Input, Placed, Rgb, letterbox, normalised, read, resized

Boxes = NDArray[np.float32]
KEEP_BYTES = 3 << 30
LEAST_SIDE_PX = 3.0
LEAST_SEEN = 0.35  # of a box's area; what is cut off further is no longer shown as a lesion


@dataclass(frozen=True)
class Augmentation:
    """How far a training image is changed. `copies` 2 is the seed's: each image twice an epoch, once as it is."""

    flip: float = 0.5
    zoom: tuple[float, float] = (0.65, 1.5)
    shift: float = 0.15
    stretch: float = 0.1
    light: float = 0.25
    gamma: float = 0.3
    mosaic: float = 0.5
    copies: int = 1


@dataclass(frozen=True)
class Sample:
    """rgb (size, size, 3) uint8 and boxes (n, 5) float32: class, x0, y0, x1, y1 px of it."""

    rgb: Rgb
    boxes: Boxes


class Pictures:
    """The items of a folder at a network's size; class names that are not of `classes` are refused.

    `one_class` takes every box as classes[0]. Items are read once, as long as there is memory. Raises ValueError."""

    def __init__(self, items: Sequence[Item], classes: Sequence[str], given: Input, *, one_class: bool) -> None:
        self.items, self.given, self.classes = tuple(items), given, tuple(classes)
        place = {name: number for number, name in enumerate(classes)}
        unknown = {box.category for item in items for box in item.boxes} - set(classes)
        if unknown and not one_class:
            raise ValueError(f"The classes {', '.join(sorted(unknown))} are not of this model.")
        self._kinds = [[0 if one_class else place[box.category] for box in item.boxes] for item in items]
        self._kept: dict[int, Sample] = {}
        self._placed: dict[int, Placed] = {}
        self._room = KEEP_BYTES // (given.height * given.width * 3)

    def __len__(self) -> int:
        return len(self.items)

    def sample(self, index: int) -> Sample:
        """The image as the runtime would see it, letterboxed, with its boxes."""
        if index in self._kept:
            return self._kept[index]
        item = self.items[index]
        rgb, placed = letterbox(read(item.path), self.given.height, self.given.width, self.given.fill)
        corners = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in item.boxes]
        self._placed[index] = placed
        boxes = placed.into(np.asarray(corners, np.float32).reshape(-1, 4))
        kinds = np.asarray(self._kinds[index], np.float32).reshape(-1, 1)
        found = Sample(rgb, np.hstack([kinds, boxes]).astype(np.float32))
        if len(self._kept) < self._room:
            self._kept[index] = found
        return found

    def placed(self, index: int) -> Placed:
        """Where the image lies in the sample."""
        if index not in self._placed:
            self.sample(index)
        return self._placed[index]

    def batches(
        self, rng: np.random.Generator, size: int, augmentation: Augmentation, mosaic: float
    ) -> Iterator[tuple[NDArray[np.float32], list[Boxes]]]:
        """One epoch: (b, 3, h, w) planes and (n, 5) boxes an image, shuffled; the last, smaller batch is left out."""
        order = np.concatenate([rng.permutation(len(self)) for _ in range(augmentation.copies)])
        plain = np.arange(len(order)) >= len(self) if augmentation.copies > 1 else np.zeros(len(order), bool)
        mixed = rng.permutation(len(order))
        order, plain = order[mixed], plain[mixed]
        for start in range(0, max(len(order) - size + 1, min(len(order), 1)), size):
            chosen = [
                self.sample(int(index)) if is_plain else self._changed(int(index), rng, augmentation, mosaic)
                for index, is_plain in zip(order[start : start + size], plain[start : start + size], strict=True)
            ]
            yield np.concatenate([normalised(s.rgb, self.given) for s in chosen]), [s.boxes for s in chosen]

    def _changed(self, index: int, rng: np.random.Generator, how: Augmentation, mosaic: float) -> Sample:
        sample = self.sample(index)
        if rng.random() < mosaic:
            others = [self.sample(int(i)) for i in rng.integers(len(self), size=3)]
            sample = tiled([sample, *others], rng)
        return lit(moved(sample, rng, how, self.given.fill), rng, how)


def tiled(four: Sequence[Sample], rng: np.random.Generator) -> Sample:
    """Four images as quarters of one (mosaic, arXiv:2004.10934), each shrunk to fill its quarter."""
    rows, columns = four[0].rgb.shape[:2]
    middle_y, middle_x = (int(side * rng.uniform(0.35, 0.65)) for side in (rows, columns))
    out = np.empty_like(four[0].rgb)
    boxes = []
    for number, sample in enumerate(four):
        top, bottom = (0, middle_y) if number < 2 else (middle_y, rows)
        left, right = (0, middle_x) if number % 2 == 0 else (middle_x, columns)
        out[top:bottom, left:right] = resized(sample.rgb, bottom - top, right - left)
        scale = np.asarray([(right - left) / columns, (bottom - top) / rows] * 2, np.float32)
        placed = sample.boxes.copy()
        placed[:, 1:] = placed[:, 1:] * scale + np.asarray([left, top] * 2, np.float32)
        boxes.append(placed)
    return Sample(out, np.concatenate(boxes))


def moved(sample: Sample, rng: np.random.Generator, how: Augmentation, fill: int) -> Sample:
    """Mirrored, zoomed, stretched and shifted; boxes that are mostly cut off go."""
    rows, columns = sample.rgb.shape[:2]
    zoom = float(np.exp(rng.uniform(np.log(how.zoom[0]), np.log(how.zoom[1]))))
    stretch = float(np.exp(rng.uniform(-how.stretch, how.stretch)))
    scale_x, scale_y = zoom * stretch, zoom / stretch
    if rng.random() < how.flip:
        scale_x = -scale_x
    to_x, to_y = (side * (0.5 + rng.uniform(-how.shift, how.shift)) for side in (columns, rows))
    matrix = np.asarray(
        [[scale_x, 0, to_x - scale_x * columns / 2], [0, scale_y, to_y - scale_y * rows / 2]], np.float64
    )
    how_to_read = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    rgb = cv2.warpAffine(sample.rgb, matrix, (columns, rows), flags=how_to_read, borderValue=(fill,) * 3)
    boxes = sample.boxes.copy()
    xs = boxes[:, [1, 3]] * scale_x + matrix[0, 2]
    ys = boxes[:, [2, 4]] * scale_y + matrix[1, 2]
    whole = np.abs(xs[:, 1] - xs[:, 0]) * np.abs(ys[:, 1] - ys[:, 0])
    boxes[:, [1, 3]] = np.clip(np.sort(xs, axis=1), 0, columns)
    boxes[:, [2, 4]] = np.clip(np.sort(ys, axis=1), 0, rows)
    width, height = boxes[:, 3] - boxes[:, 1], boxes[:, 4] - boxes[:, 2]
    seen = (width * height >= LEAST_SEEN * whole) & (np.minimum(width, height) >= LEAST_SIDE_PX)
    return Sample(np.asarray(rgb, np.uint8), boxes[seen])


def lit(sample: Sample, rng: np.random.Generator, how: Augmentation) -> Sample:
    """Another gain, contrast and grey curve, as another console would give it."""
    grey = np.linspace(0, 1, 256) ** float(np.exp(rng.uniform(-how.gamma, how.gamma)))
    grey = grey * (1 + rng.uniform(-how.light, how.light)) + rng.uniform(-how.light, how.light) / 4
    table = np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
    return Sample(np.asarray(table[sample.rgb]), sample.boxes)
