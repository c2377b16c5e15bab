"""Judge a detector or a pipeline on a data folder: what `./run ml evaluate` tells of a run with boxes. No PyTorch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml import model_file
from ml.data import Item
from ml.judge.detected import DRAWS, by_group, figures, sizes
from ml.judge.second_stage import doubted, gain
from ml.runtime import PIPELINE_FILE, Pipeline

FACTS = ("vendor", "basis", "calipers", "site")
ALONE = "detect_alone_threshold"  # in pipeline.json: the detector's threshold when nothing follows it


def place_of(run: Path) -> Path:
    """Where the boxes come from: the run of a second stage holds its pipeline."""
    inner = run / "pipeline"
    return inner if (inner / PIPELINE_FILE).is_file() else run


def evaluate(run: Path, items: Sequence[Item], draws: int = DRAWS) -> dict[str, Any]:
    """Figures with intervals, by size and by what is known of the images, and the second stage's gain where there is one.

    Raises BadModel (a ValueError) for a run without a model, WrongClasses for a folder of other classes."""
    place = place_of(run)
    pipeline = Pipeline.open(place)
    classes, threshold = len(pipeline.detector.spec.classes), pipeline.detector.spec.threshold
    least = 0.0 if pipeline.rejector is None else pipeline.rejector.spec.threshold
    seen = doubted(pipeline.detector, pipeline.rejector, items)
    found = [one.kept(least) for one in seen]
    told = figures(found, threshold, classes, draws)
    told["by"] = {"size": by_group(found, sizes(items), threshold)}
    for fact in FACTS:
        groups = [item.facts.get(fact, "") or "unknown" for item in items]
        if len(set(groups)) > 1:
            told["by"][fact] = by_group(found, groups, threshold)
    if pipeline.rejector is not None:
        alone = model_file.document(place / PIPELINE_FILE).get(ALONE, threshold)
        told["second_stage"] = gain(seen, float(alone), (threshold, least))
    return told
