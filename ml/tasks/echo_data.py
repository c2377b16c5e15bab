"""Traced frames of hearts as a network is fed with them: letterboxed once, and another view of each at every epoch.

Only frames that bear a traced ventricle teach. Augmentation is of training frames, after the split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.clips import clips_of, outline
from ml.data import Item
from ml.images import letterbox
from ml.samples import picture
from ml.ventricle import filled

Greys = NDArray[np.uint8]
FILL: Final = 0


@dataclass(frozen=True)
class Augmentation:
    """How far a training view may be from what was recorded: degrees, parts of the side, of the size, of the light."""

    turn_degrees: float = 15.0
    shift: float = 0.08
    zoom: float = 0.15
    contrast: float = 0.25
    gamma: float = 0.3


def traced(items: Sequence[Item]) -> list[Item]:
    """The frames on which somebody drew the ventricle. Raises BadFolder for frames that belong to no clip."""
    return [item for clip in clips_of(items) for item in clip.items if outline(item)]


class Frames:
    """Traced frames in memory: greys (n, s, s) and masks (n, s, s) of 0 and 1."""

    def __init__(self, items: Sequence[Item], side: int) -> None:
        pairs = [_fed(item, side) for item in items]
        self.greys: Greys = np.stack([grey for grey, _ in pairs])
        self.masks: Greys = np.stack([mask for _, mask in pairs])
        clips: dict[tuple[str, str], list[int]] = {}
        for number, item in enumerate(items):
            clips.setdefault((item.unit, item.facts["video"]), []).append(number)
        self._clips = list(clips.values())

    def __len__(self) -> int:
        return len(self.greys)

    def drawn(self, rng: np.random.Generator, most: int) -> list[int]:
        """The frames of one epoch in the order they are shown: at most `most` of each clip."""
        chosen = [n for clip in self._clips for n in rng.permutation(clip)[:most].tolist()]
        return [chosen[place] for place in rng.permutation(len(chosen))]

    def views(
        self, rng: np.random.Generator, order: Sequence[int], batch: int, how: Augmentation
    ) -> Iterator[tuple[Greys, Greys]]:
        """Batches of greys and masks (b, s, s), each frame changed another way. The last, shorter one is left out."""
        for start in range(0, max(len(order) - batch, 0) + 1, batch):
            pairs = [_changed(rng, self.greys[n], self.masks[n], how) for n in order[start : start + batch]]
            yield np.stack([grey for grey, _ in pairs]), np.stack([mask for _, mask in pairs])


def planes(greys: Greys, mean: float, std: float) -> NDArray[np.float32]:
    """(b, s, s) as a network takes it, (b, 3, s, s): the same as ml.images.normalised of a grey picture."""
    scaled = (greys.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(np.repeat(scaled[:, None], 3, axis=1))


def _fed(item: Item, side: int) -> tuple[Greys, Greys]:
    rgb = picture(item)
    boxed, placed = letterbox(rgb, side, side, FILL)
    x0, y0 = np.asarray(outline(item)[::2]), np.asarray(outline(item)[1::2])
    moved = np.column_stack([x0 * placed.scale_x + placed.left, y0 * placed.scale_y + placed.top])
    grey = np.rint(boxed.mean(axis=2)).astype(np.uint8)
    return grey, filled(tuple(moved.ravel().tolist()), side, side)


def _changed(rng: np.random.Generator, grey: Greys, mask: Greys, how: Augmentation) -> tuple[Greys, Greys]:
    side = grey.shape[0]
    zoom = 1 + rng.uniform(-how.zoom, how.zoom)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-how.turn_degrees, how.turn_degrees), zoom)
    turn[:, 2] += rng.uniform(-how.shift, how.shift, 2) * side
    moved = cv2.warpAffine(grey, turn, (side, side), flags=cv2.INTER_LINEAR, borderValue=FILL)
    held = cv2.warpAffine(mask * np.uint8(255), turn, (side, side), flags=cv2.INTER_LINEAR, borderValue=0)
    light = (moved / 255.0) ** np.exp(rng.uniform(-how.gamma, how.gamma)) * (
        1 + rng.uniform(-how.contrast, how.contrast)
    )
    return np.clip(light * 255, 0, 255).astype(np.uint8), (held >= 128).astype(np.uint8)
