"""What a detector found is named by a classifier that saw neither: every image gets a verdict, also the one without a box."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.class_map import fitting
from ml.data import BadFolder, Item, load
from ml.folds import grouped
from ml.tasks.cross import Plan, cross
from ml.tasks.end_to_end import found_boxes, verdicts
from ml.tasks.recipes import RECIPES
from tests.small_sets import small_set

FOLDS, THRESHOLD = 3, 0.4


def folded(data: Path, out: Path) -> dict[str, int]:
    """Folds as `folds detect` leaves them: the true box of two images of three, and one below the threshold on each.

    Returns the number of boxes above the threshold of every image."""
    folder, sure = load(data), {}
    where = grouped(folder.items, FOLDS, 0)
    for fold in range(FOLDS):
        images = []
        for number, item in enumerate(item for item, place in zip(folder.items, where, strict=True) if place == fold):
            box = item.boxes[0]
            corners = [box.x, box.y, box.x + box.width, box.y + box.height]
            sure[item.file_name] = int(number % 3 > 0)
            images.append({"file_name": item.file_name, "boxes": [corners, [0, 0, 5, 5]],
                           "scores": [0.9 if number % 3 else 0.1, 0.1]})  # fmt: skip
        place = out / f"seed0-fold{fold}"
        place.mkdir(parents=True)
        (place / "held.json").write_text(json.dumps({"threshold": THRESHOLD, "images": images}))
    (out / "setting.json").write_text(json.dumps({"folds": FOLDS}))
    return sure


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("small")
    small_set(place / "data", place / "source", boxes=True)
    return place / "data"


def test_every_held_out_image_gets_a_verdict(data: Path, tmp_path: Path) -> None:
    sure = folded(data, tmp_path / "detector")
    plan = Plan(replace(RECIPES["tiny"], epochs=1), (0,), FOLDS, detector=tmp_path / "detector")
    result = cross(data, tmp_path / "folds", plan, lambda _: None)
    told = result["end_to_end"]
    assert told["n"] == {"0": len(sure)} and told["detector"] == {"folds": FOLDS}
    rows = [
        row
        for path in (tmp_path / "folds").glob("whole-*.csv")
        for row in csv.DictReader(path.read_text().splitlines())
    ]
    assert {row["file_name"]: int(row["boxes"]) for row in rows} == sure
    assert all((float(row["score"]) == 0) == (row["boxes"] == "0") for row in rows)
    assert 0 < told["metrics"]["auc"]["low"] <= told["metrics"]["auc"]["value"] <= 1
    for label, share in told["without_a_box"].items():
        of = [row for row in rows if row["label"] == label]
        assert share == pytest.approx(sum(row["boxes"] == "0" for row in of) / len(of), abs=1e-4)
    again = cross(data, tmp_path / "folds", plan, lambda _: pytest.fail("it was trained twice"))
    assert again["end_to_end"] == told


def test_the_likeliest_box_speaks_for_the_image(data: Path) -> None:
    folder = load(data)
    classes = fitting(folder.labels, None)
    items: list[Item] = list(folder.items[:3])
    boxes = [[(items[0], 0.2), (items[0], 0.7)], [], [(items[2], 0.4)]]
    said = iter([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    rows = verdicts(items, boxes, classes, 0.5, lambda flat: np.array([next(said) for _ in flat]))  # type: ignore[arg-type]
    assert [row["score"] for row in rows] == [0.7, 0.0, 0.4] and [row["boxes"] for row in rows] == [2, 0, 1]
    assert [row["positive"] for row in rows] == [int(item.label == "malignant") for item in items]


def test_folds_that_held_out_other_images_are_refused(data: Path, tmp_path: Path) -> None:
    folded(data, tmp_path)
    items = load(data).items
    with pytest.raises(BadFolder, match="other images"):
        found_boxes(tmp_path, 0, 0, items[:5])
    with pytest.raises(BadFolder, match="no seed 1 fold 0"):
        found_boxes(tmp_path, 1, 0, items[:5])
