"""`./run ml evaluate` for boxes: a detector or a pipeline, with its own thresholds, on data that it never saw. No PyTorch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml import model_file, run_folder
from ml.data import Item, load
from ml.judge.detected import AT_THRESHOLD, DRAWS, by_group, figures, sizes
from ml.judge.evaluate import FACTS, chosen_split
from ml.judge.second_stage import doubted, gain
from ml.judge.unseen import refuse_seen
from ml.runtime import PIPELINE_FILE, Pipeline

ALONE = "detect_alone_threshold"  # in pipeline.json: the detector's threshold when nothing follows it
LEVELS = {
    "box": (*AT_THRESHOLD[:3], "f1_iou30", "f1_centre", "recall_iou30", "map50", "false_per_normal", "false_per_image"),
    "lesion": ("lesion_recall",),
    "image": ("image_sensitivity", "image_specificity"),
    "patient": ("unit_sensitivity", "unit_specificity"),
}


def place_of(run: Path) -> Path:
    """Where the boxes come from: the run of a second stage holds its pipeline."""
    inner = run / "pipeline"
    return inner if (inner / PIPELINE_FILE).is_file() else run


def evaluate(run: Path, data: Path, split: str | None = None, other_source: bool = False) -> dict[str, Any]:
    """Judge a run that finds boxes; raises BadFolder, BadRun, BadModel, WrongClasses, and SawIt when it saw any of it."""
    folder = load(data, (chosen_split(data, split),))
    refuse_seen(run, folder.items, other_source)
    place = place_of(run)
    pipeline, told = Pipeline.open(place), run_folder.read(run)
    model = pipeline.detector.spec
    return {
        "task": "detect",
        **judged(place, pipeline, folder.items),
        "images": len(folder.items),
        "threshold": model.threshold,
        "classes": list(model.classes),
        "split": folder.items[0].split,
        "data": {"name": folder.name, "version": folder.version, "hash": folder.hash},
        "model": {"name": pipeline.name, "version": pipeline.version, "files": dict(model.files)}
        | {"licence": model.licence, "shippable": model.shippable},
        "run": {key: told[key] for key in ("task", "recipe", "seed", "code", "data", "seconds")},
        "patients_compared": not other_source,
    }


def judged(place: Path, pipeline: Pipeline, items: Sequence[Item], draws: int = DRAWS) -> dict[str, Any]:
    """Figures by box, lesion, image and patient, by size and known facts, and what the second stage brings if there is one."""
    model = pipeline.detector.spec
    least = 0.0 if pipeline.rejector is None else pipeline.rejector.spec.threshold
    seen = doubted(pipeline.detector, pipeline.rejector, items)
    found = [one.kept(least) for one in seen]
    whole = figures(found, model.threshold, len(model.classes), draws)
    counts = whole["counts"]
    numbers = {
        "box": counts["boxes"],
        "lesion": counts["lesions"],
        "image": counts["images"],
        "patient": counts["units"],
    }
    per = {
        level: {"n": numbers[level], "units": counts["units"], "metrics": {name: whole[name] for name in names}}
        for level, names in LEVELS.items()
    }
    groups = {"size": sizes(items)}
    groups |= {fact: [item.facts.get(fact, "") or "unknown" for item in items] for fact in FACTS}
    breakdown = {
        fact: by_group(found, values, model.threshold) for fact, values in groups.items() if set(values) != {"unknown"}
    }
    told: dict[str, Any] = {"level": "box", "n": counts["boxes"], "metrics": per["box"]["metrics"], "per": per}
    told |= {"breakdown": breakdown, "normal_images": counts["normal"], "coco": whole["coco"], "pr": whole["curve"]}
    if pipeline.rejector is not None:
        alone = model_file.document(place / PIPELINE_FILE).get(ALONE, model.threshold)
        told["second_stage"] = gain(seen, float(alone), (model.threshold, least))
    return told
