"""Where a classifier looks: occlusion (Zeiler and Fergus, arXiv:1311.2901). It needs no gradients, so any model of the runtime will do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.class_map import from_model
from ml.data import Folder
from ml.images import Rgb, cropped, normalised
from ml.judge.classification import Scored, said
from ml.model_file import MODEL_FILE, document
from ml.runtime import Box, Model
from ml.samples import Sample, picture, samples_of

STEPS = 9  # squares a row and a column
SIDE = 0.25  # of the input's side
SHOWN = 2  # examples of each kind
STRENGTH = 0.55  # of the colour where it matters most
FOR, AGAINST = (214, 39, 40), (31, 119, 180)  # red and blue

Heat = NDArray[np.float32]


@dataclass(frozen=True)
class Looked:
    """What the network saw, seen (rows, columns, 3), and by how much its answer falls where that is hidden, heat (rows, columns).

    `score`: the probability of the positive group, of which heat says by how much it falls."""

    seen: Rgb
    heat: Heat
    score: float


def occlusion(model: Model, rgb: Rgb, box: Box | None, columns: Sequence[int]) -> Looked:
    """Hide squares of the region in its mean colour, one after the other, and see what the probability of `columns` does.

    Each pixel has the mean over the squares that hid it. Raises ValueError when the model cannot be run."""
    seen = cropped(rgb, box, model.spec.input)
    rows, width = seen.shape[:2]
    side_y, side_x = max(round(rows * SIDE), 1), max(round(width * SIDE), 1)
    mean = seen.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    hidden = np.zeros((STEPS * STEPS, rows, width), bool)
    for number, (y, x) in enumerate(np.ndindex(STEPS, STEPS)):
        top, left = round(y * (rows - side_y) / (STEPS - 1)), round(x * (width - side_x) / (STEPS - 1))
        hidden[number, top : top + side_y, left : left + side_x] = True
    variants = [seen, *(np.where(one[..., None], mean, seen) for one in hidden)]
    planes = np.concatenate([normalised(np.asarray(one, np.uint8), model.spec.input) for one in variants])
    scores = model.probabilities(planes, added=model.of_form(rgb, [box] * len(planes)))[:, list(columns)].sum(axis=1)
    falls = scores[0] - scores[1:]
    heat = np.tensordot(falls, hidden, axes=1) / np.maximum(hidden.sum(axis=0), 1)
    return Looked(seen, heat.astype(np.float32), float(scores[0]))


def drawn(looked: Looked) -> Rgb:
    """The region with what speaks for the positive group in red and what speaks against it in blue, (rows, columns, 3)."""
    most = float(np.abs(looked.heat).max())
    if most == 0:
        return looked.seen
    colour = np.where(looked.heat[..., None] > 0, FOR, AGAINST)
    share = STRENGTH * np.abs(looked.heat[..., None]) / most
    return np.asarray((looked.seen * (1 - share) + colour * share).round(), np.uint8)


def png(rgb: Rgb) -> bytes:
    """Coded as PNG."""
    return bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1])


def examples(scored: Scored, samples: Sequence[Sample], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The surest of those called rightly positive, rightly negative, wrongly positive and wrongly negative, SHOWN of each."""
    called, told = said(scored), []
    is_called = scored.scores >= scored.thresholds
    for truth in (True, False):
        for call in (True, False):
            of = np.flatnonzero((scored.is_positive == truth) & (is_called == call))
            surest = of[np.argsort(scored.scores[of], kind="stable")]
            told += [
                {
                    "file_name": samples[i].item.file_name,
                    "lesion": samples[i].lesion,
                    "truth": classes[int(scored.targets[i])],
                    "said": classes[int(called[i])],
                    "score": round(float(scored.scores[i]), 4),
                }
                for i in (surest[::-1] if call else surest)[:SHOWN]
            ]
    return told


def pictures(run: Path, folder: Folder, chosen: Sequence[Mapping[str, Any]]) -> list[tuple[bytes, str]]:
    """(PNG, caption) of each example of a judgement. Raises BadFolder, BadModel, ValueError."""
    model, told = Model.open(run), document(run / MODEL_FILE)
    classes = from_model(told)
    columns = [classes.classes.index(one) for one in classes.positive]
    places = {
        (one.item.file_name, one.lesion): one for one in samples_of(folder.items, classes, bool(told.get("by_box")))
    }
    found = []
    for one in chosen:
        sample = places[one["file_name"], one["lesion"]]
        looked = occlusion(model, picture(sample.item), sample.box, columns)
        found.append((png(drawn(looked)), f"{one['truth']}, called {one['said']} ({one['score']:.2f})"))
    return found
