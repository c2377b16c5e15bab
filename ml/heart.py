"""A model of the task echo at work: the frames of a clip in, masks and EF out. NumPy and ONNX Runtime, research use only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ml import ejection
from ml.clips import Clip
from ml.ejection import Measured
from ml.images import Rgb
from ml.model_file import BadModel
from ml.runtime import Model
from ml.samples import picture
from ml.ventricle import Floats, Mask, chances, open_contour


@dataclass(frozen=True)
class Seen:
    """What the model says of a clip: the mask (rows, columns) of each frame, 1 inside, and the beats."""

    masks: tuple[Mask, ...]
    measured: Measured


@dataclass(frozen=True)
class Border:
    """The ventricle on one frame: `contour` (80, 2), x and y in pixels of the frame; `score` is the mean probability within."""

    contour: Floats
    score: float


@dataclass(frozen=True)
class Heart:
    """A model that draws the left ventricle."""

    model: Model

    @classmethod
    def open(cls, folder: Path, *, threads: int = 1) -> Self:
        """The model of a run folder. Raises BadModel (a ValueError)."""
        model = Model.open(folder, threads=threads)
        if model.spec.task != "echo" or model.spec.decode != "mask":
            raise BadModel("This model does not draw the left ventricle.")
        return cls(model)

    def border(self, rgb: Rgb, threshold: float | None = None) -> Border | None:
        """What is on a frame (rows, columns, 3) uint8, from the model's threshold or another one; None for no ventricle.

        Raises ValueError for another kind of array or a broken model."""
        least = self.model.spec.threshold if threshold is None else threshold
        (chance,) = chances(self.model, [rgb])
        contour = open_contour(chance, least)
        return None if contour is None else Border(contour, float(chance[chance >= least].mean()))

    def frames(self, frames: Sequence[Rgb], mm_per_px: float | None = None) -> Seen:
        """Frames (rows, columns, 3) uint8 in order. Raises ValueError for another kind of array or a broken model."""
        threshold = self.model.spec.threshold
        masks, contours = [], []
        for chance in chances(self.model, frames):
            masks.append((chance >= threshold).astype(np.uint8))
            contours.append(open_contour(chance, threshold))
        return Seen(tuple(masks), ejection.measure(contours, mm_per_px))

    def clip(self, clip: Clip) -> Seen:
        """A clip of a data folder. Raises BadFolder when one of its files is no picture."""
        return self.frames([picture(item) for item in clip.items], clip.mm_per_px)
