"""A detector on generated cines, frame by frame and with tracking: what following lesions over time brings. No PyTorch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ml.judge.cine import CineFigures, TrueLesion, cine_figures
from ml.phantom_folder import Cine, cine
from ml.phantom_lesions import codes
from ml.runtime import Detection, Pipeline
from ml.tracking import Settings, Tracked, Tracker

NORMAL = 5  # one cine in so many has no lesion


def cines(domain: str, count: int, frames: int, seed: int) -> Iterator[Cine]:
    """Sweeps with each diagnosis in turn, every fifth without a lesion."""
    known = codes(domain)
    for number in range(count):
        code = "" if number % NORMAL == NORMAL - 1 else known[(number - number // NORMAL) % len(known)]
        yield cine(domain, 1000 * (seed + 1) + number, frames, code)


def judged_cines(pipeline: Pipeline, domain: str, count: int, frames: int, fps: float, seed: int) -> dict[str, Any]:
    """The figures of `count` cines with each frame on its own ("frames") and with tracks ("tracked")."""
    single = len(pipeline.detector.spec.classes) == 1
    given = Settings.of(pipeline.detector.spec.threshold)
    alone, tracked = CineFigures(), CineFigures()
    for one in cines(domain, count, frames, seed):
        label = pipeline.detector.spec.classes[0] if single else one.label
        truth = [TrueLesion(label, tuple(None if b is None else _floats(b) for b in one.boxes))] if one.code else []
        found = [
            pipeline.frame(np.repeat(grey[..., None], 3, axis=2), given.faint, turn)
            for turn, grey in enumerate(one.frames)
        ]
        alone += cine_figures(truth, as_frames(found, given.sure), fps)
        tracker = Tracker(given)
        tracked += cine_figures(truth, [tracker.frame(boxes) for boxes in found], fps)
    told: dict[str, Any] = {"frames": alone.told(), "tracked": tracked.told()}
    return told | {"cines": count, "seconds": alone.seconds, "lesions": alone.lesions, "fps": fps, "domain": domain}


def as_frames(found: Sequence[Sequence[Detection]], threshold: float) -> list[list[Tracked]]:
    """Boxes above the threshold, each a track of its own of one frame."""
    shown: list[list[Tracked]] = []
    number = 0
    for boxes in found:
        kept = [one for one in boxes if one.score >= threshold]
        shown.append(
            [Tracked(b.box, number + i, b.score, b.label, b.probabilities, 0, True) for i, b in enumerate(kept)]
        )
        number += len(kept)
    return shown


def _floats(box: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    x, y, width, height = (float(value) for value in box)
    return x, y, width, height
