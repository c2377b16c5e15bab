"""`./run ml evaluate` for classification: a run's own threshold, temperature and views, on data that it never saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml import run_folder
from ml.class_map import ClassMap, from_model
from ml.data import BadFolder, Folder, load, splits_of
from ml.judge.bootstrap import Figure
from ml.judge.classification import Scored, abstention, by_fact, confusion, judged, merged, said
from ml.judge.saliency import examples
from ml.judge.unseen import refuse_seen
from ml.model_file import MODEL_FILE, document
from ml.runtime import Model
from ml.samples import Sample, picture, samples_of

FACTS = ("vendor", "site", "basis", "calipers")
FEWER_ROUNDS = 200


def chosen_split(data: Path, split: str | None) -> str:
    """The split to judge on: the one asked for, otherwise test. Raises BadFolder when it has none of it."""
    there = splits_of(data)
    if split is None and "test" not in there:
        raise BadFolder("The folder has no test split: say --split train or tune, if the model did not see those.")
    if (split or "test") not in there:
        raise BadFolder(f"The folder has no split {split}; it has {', '.join(there)}.")
    return split or "test"


def evaluate(run: Path, data: Path, split: str | None = None, other_source: bool = False) -> dict[str, Any]:
    """Judge a classifier; raises BadFolder, BadRun, BadModel, and SawIt when it saw any of it."""
    folder = load(data, (chosen_split(data, split),))
    refuse_seen(run, folder.items, other_source)
    model, told = Model.open(run), document(run / MODEL_FILE)
    if model.spec.task != "classify":
        raise BadFolder("This run is no classifier.")
    classes = from_model(told)
    samples = samples_of(folder.items, classes, bool(told.get("by_box")))
    if not samples:
        raise BadFolder("The folder has no image of a class that the model knows.")
    scored = score(model, samples, classes)
    used = len({one.item.file_name for one in samples})
    return {
        "task": "classify",
        **_levels(scored, bool(told.get("by_box")), folder),
        "confusion": {"classes": list(classes.classes), "rows_are_truth": confusion(scored.targets, said(scored), len(classes.classes))},
        "abstention": abstention(scored),
        "breakdown": breakdown(scored, samples),
        "curves": _curves(scored),
        "examples": examples(scored, samples, classes.classes),
        "images": used,
        "images_left_out": len(folder.items) - used,
        "positive": list(classes.positive),
        "threshold": model.spec.threshold,
        "temperature": model.spec.temperature,
        "split": folder.items[0].split,
        "data": {"name": folder.name, "version": folder.version, "hash": folder.hash},
        "model": {"name": model.spec.name, "version": model.spec.version, "files": dict(model.spec.files)},
        "run": {key: run_folder.read(run)[key] for key in ("recipe", "seed", "code", "data", "seconds")},
        "patients_compared": not other_source,
    }  # fmt: skip


def score(model: Model, samples: Sequence[Sample], classes: ClassMap) -> Scored:
    """What the model says of every sample; an image is read once for all its lesions."""
    by_image: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        by_image.setdefault(sample.item.file_name, []).append(index)
    probabilities = np.zeros((len(samples), len(classes.classes)))
    for indices in by_image.values():
        rgb = picture(samples[indices[0]].item)
        try:
            probabilities[indices] = model.classify(rgb, [samples[index].box for index in indices])
        except ValueError as error:
            raise run_folder.BadRun(str(error)) from error
    return Scored(
        probabilities,
        np.array([one.target for one in samples]),
        tuple(classes.classes.index(one) for one in classes.positive),
        np.full(len(samples), model.spec.threshold),
        tuple(one.item.unit for one in samples),
        tuple(one.item.file_name for one in samples),
        np.zeros(len(samples), np.int64),
    )


def breakdown(scored: Scored, samples: Sequence[Sample]) -> dict[str, Any]:
    """Figures by vendor, site, basis and calipers where they are told, and by the lesion's size in three equal parts."""

    def judge(part: Scored) -> dict[str, Figure]:
        return judged(part, FEWER_ROUNDS)

    facts = {fact: [one.item.facts.get(fact, "") for one in samples] for fact in FACTS}
    found: dict[str, Any] = {fact: by_fact(scored, values, judge) for fact, values in facts.items() if any(values)}
    if samples[0].box is not None:
        areas = np.array([one.box[2] * one.box[3] if one.box else 0.0 for one in samples])
        small, large = np.quantile(areas, [1 / 3, 2 / 3])
        words = ["small" if area <= small else "large" if area > large else "middle" for area in areas]
        found["size"] = {"limits_px": [float(small), float(large)], **by_fact(scored, words, judge)}
    return found


def _levels(scored: Scored, by_box: bool, folder: Folder) -> dict[str, Any]:
    """n and metrics of the level that counts (patients where they are known, else lesions or images), and of every one."""
    names = ["lesion", "image", "patient"] if by_box else ["image", "patient"]
    per = {}
    for name in names:
        part = merged(scored, name)
        metrics = {key: figure.document for key, figure in judged(part).items()}
        per[name] = {"n": len(part.targets), "units": len(set(part.units)), "metrics": metrics}
    level = "patient" if all(item.patient for item in folder.items) else names[0]
    return {"level": level, "n": per[level]["n"], "metrics": per[level]["metrics"], "per": per}


def _curves(scored: Scored) -> dict[str, Any]:
    """Points of the ROC curve and of the reliability diagram, for the report's plots."""
    cuts = np.unique(np.concatenate([[0.0, 1.0], scored.scores, [2.0]]))[::-1]
    positive, scores = scored.is_positive, scored.scores
    roc = [[_mean(scores[~positive] >= cut), _mean(scores[positive] >= cut)] for cut in cuts]
    place = np.minimum((scores * 10).astype(np.int64), 9)
    bins = [np.flatnonzero(place == number) for number in range(10)]
    reliability = [[_mean(scores[of]), _mean(positive[of]), len(of)] for of in bins if len(of)]
    return {"roc": roc, "reliability": reliability}


def _mean(values: "np.ndarray[Any, Any]") -> float:
    return float(values.mean()) if len(values) else 0.0
