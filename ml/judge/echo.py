"""`./run ml evaluate` for the heart: masks, ED and ES, EF and its class of clips that the run never saw. No PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ml import run_folder
from ml.clips import Clip, clips_of, outline
from ml.data import BadFolder, load
from ml.ejection import CLASSES, Measured, class_of
from ml.heart import Heart, Seen
from ml.judge.bootstrap import Figure, Indices, intervals
from ml.judge.evaluate import FACTS, chosen_split
from ml.judge.unseen import refuse_seen
from ml.ventricle import dice, filled

NOT_SAID: Final = "not measurable"
_NAN: Final = float("nan")
ENDS: Final = ("ed_error_frames", "es_error_frames", "ed_error_ms", "es_error_ms")
FIGURES: Final = ("measured", *ENDS, "ef_mae", "ef_bias", "ef_rmse", "ef_sd", "ef_class_accuracy")


@dataclass(frozen=True)
class Judged:
    """One clip: the Dice of each traced frame, the distance of ED and ES in frames, what is said and what is true."""

    clip: Clip
    dices: tuple[float, ...]
    ends: tuple[float, float]
    said: Measured

    @property
    def difference(self) -> float:
        """EF as said minus EF as told, in points; NaN where one of them is not there."""
        told, said = self.clip.ef_percent, self.said.fraction_percent
        return _NAN if told is None or said is None else said - told


def evaluate(run: Path, data: Path, split: str | None = None, other_source: bool = False) -> dict[str, Any]:
    """Judge a run of the task echo; raises BadFolder, BadRun, BadModel, and SawIt when it saw any of it."""
    folder = load(data, (chosen_split(data, split),))
    refuse_seen(run, folder.items, other_source)
    heart, told = Heart.open(run), run_folder.read(run)
    clips = clips_of(folder.items)
    found = [judged(clip, heart.clip(clip)) for clip in clips]
    if not any(one.dices for one in found) and all(one.clip.ef_percent is None for one in found):
        raise BadFolder("The folder has neither traced ventricles nor ejection fractions to judge by.")
    spec = heart.model.spec
    return {
        "task": "echo",
        **_levels(found),
        "confusion": confusion(found),
        "breakdown": _breakdown(found),
        "ef": [_row(one) for one in found],
        "images": len(folder.items),
        "threshold": spec.threshold,
        "split": folder.items[0].split,
        "data": {"name": folder.name, "version": folder.version, "hash": folder.hash},
        "model": {"name": spec.name, "version": spec.version, "files": dict(spec.files)},
        "run": {key: told[key] for key in ("recipe", "seed", "code", "data", "seconds")},
        "patients_compared": not other_source,
    }


def judged(clip: Clip, seen: Seen) -> Judged:
    """Compare what is said of a clip with what was traced on it and told of it."""
    traced = [(item, mask) for item, mask in zip(clip.items, seen.masks, strict=True) if outline(item)]
    dices = tuple(dice(filled(outline(item), item.height, item.width), mask) for item, mask in traced)
    diastoles = [beat.diastole for beat in seen.measured.beats]
    systoles = [beat.systole for beat in seen.measured.beats]
    return Judged(clip, dices, (_apart(clip.ends("ED"), diastoles), _apart(clip.ends("ES"), systoles)), seen.measured)


def confusion(found: Sequence[Judged]) -> dict[str, Any]:
    """Counts of clips whose EF is told; rows are the truth, the last column is what was not measurable."""
    rows = [[0] * (len(CLASSES) + 1) for _ in CLASSES]
    for one in found:
        if one.clip.ef_percent is not None:
            said = CLASSES.index(one.said.ef_class) if one.said.ef_class else len(CLASSES)
            rows[CLASSES.index(class_of(one.clip.ef_percent))][said] += 1
    return {"classes": [*CLASSES, NOT_SAID], "rows_are_truth": [*rows, [0] * (len(CLASSES) + 1)]}


def figures(found: Sequence[Judged], rounds: int = 1000) -> dict[str, Figure]:
    """Figures by clip. EF in points of percent; a class that is not said is wrong; the rest is of measured clips."""
    differences = np.array([one.difference for one in found])
    told = [one.clip.ef_percent for one in found]
    right = np.array(
        [_NAN if ef is None else float(class_of(ef) == one.said.ef_class) for ef, one in zip(told, found, strict=True)]
    )
    ends = np.array([one.ends for one in found], np.float64)
    milliseconds = np.array([one.clip.frame_ms or _NAN for one in found])
    measured = np.array([float(not one.said.reason) for one in found])

    def of(chosen: Indices) -> dict[str, float]:
        error, away, ms = differences[chosen], ends[chosen], milliseconds[chosen]
        values = (_mean(measured[chosen]), *(_mean(away[:, end]) for end in (0, 1)))
        values += tuple(_mean(away[:, end] * ms) for end in (0, 1))
        values += (_mean(np.abs(error)), _mean(error), _mean(error**2) ** 0.5, _spread(error), _mean(right[chosen]))
        return dict(zip(FIGURES, values, strict=True))

    return intervals([one.clip.unit for one in found], of, rounds)


def _levels(found: Sequence[Judged]) -> dict[str, Any]:
    """By frame the Dice, by clip all else; both intervals are over patients."""
    units = [one.clip.unit for one in found for _ in one.dices]
    dices = np.array([value for one in found for value in one.dices])
    frame = intervals(units, lambda chosen: {"dice": _mean(dices[chosen])}) if units else {}
    of_clips = {"n": len(found), "units": len({one.clip.unit for one in found}), "metrics": _told(figures(found))}
    per = {"clip": of_clips, "frame": {"n": len(units), "units": len(set(units)), "metrics": _told(frame)}}
    return {"level": "clip", "n": len(found), "metrics": of_clips["metrics"], "per": per}


def _breakdown(found: Sequence[Judged]) -> dict[str, Any]:
    """EF by view and by the facts that are told."""
    told: dict[str, Any] = {}
    for fact in ("view", *FACTS):
        groups: dict[str, list[Judged]] = {}
        for one in found:
            groups.setdefault(one.clip.items[0].facts.get(fact, "") or "unknown", []).append(one)
        if set(groups) != {"unknown"}:
            told[fact] = {
                name: {"n": len(some), "metrics": _told(figures(some, 200))} for name, some in sorted(groups.items())
            }
    return told


def _row(one: Judged) -> dict[str, Any]:
    """What the report plots and lists of a clip; no patient's number."""
    said = {"said": one.said.fraction_percent, "told": one.clip.ef_percent, "reason": one.said.reason}
    return {"frames": len(one.clip.items), "beats": len(one.said.beats), **said}


def _apart(true: Sequence[int], said: Sequence[int]) -> float:
    """Mean distance in frames of each true end from the nearest one that was found; NaN where either is missing."""
    return _mean(np.array([min(abs(one - other) for other in said) for one in true])) if true and said else _NAN


def _told(found: dict[str, Figure]) -> dict[str, Any]:
    return {name: figure.document for name, figure in found.items()}


def _mean(values: "np.ndarray[Any, Any]") -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else _NAN


def _spread(values: "np.ndarray[Any, Any]") -> float:
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else _NAN
