"""The recipes that a page offers are recipes of `./run ml train`, each with its words; labels and categories are mapped."""

from typing import Any

import pytest

from core.errors import Refused
from core.services.training import PRESETS
from ml.detectors import PLUGIN
from ml.detectors import RECIPES as DETECTORS
from ml.tasks.recipes import RECIPES as CLASSIFIERS
from web.pages.training import RECIPES, TASKS, TUNED
from workers.train_folder import merged


def test_every_preset_has_its_words_and_no_other() -> None:
    assert set(RECIPES) == {f"{task}/{recipe}" for task, recipes in PRESETS.items() for recipe in recipes}
    assert set(TASKS) == set(TUNED) == set(PRESETS)


@pytest.mark.parametrize(("task", "known"), [("detect", DETECTORS), ("classify", tuple(CLASSIFIERS))])
def test_every_preset_is_a_recipe_of_the_command(task: str, known: tuple[str, ...]) -> None:
    for preset in PRESETS[task].values():
        assert preset.arguments[0] == "--recipe" and preset.arguments[1] in known
        assert preset.is_agpl == (preset.arguments[1] in PLUGIN)
        assert preset.boxes in {"diagnosis", "cyst"}


def part(split: str, *boxes: tuple[int, int]) -> dict[str, Any]:
    """Two images; boxes are (image, category)."""
    return {
        "images": [{"id": n, "file_name": f"images/{split}{n}.png", "split": split} for n in (1, 2)],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": [0, 0, 2, 2]}
            for n, (image, category) in enumerate(boxes, 1)
        ],
        "categories": [{"id": 1, "name": "LIV-HCC"}, {"id": 2, "name": "LIV-CYST"}, {"id": 3, "name": "LIV-MET"}],
    }


def test_parts_become_one_document_with_the_categories_that_have_boxes() -> None:
    document = merged({"train": part("train", (1, 1), (2, 1), (2, 2)), "tune": part("tune", (2, 2))}, "diagnosis")
    assert [image["id"] for image in document["images"]] == [1, 2, 3, 4]
    assert [image["label"] for image in document["images"]] == ["LIV-HCC", None, None, "LIV-CYST"]
    assert document["categories"] == [{"id": 1, "name": "LIV-CYST"}, {"id": 2, "name": "LIV-HCC"}]
    assert [(a["id"], a["image_id"], a["category_id"]) for a in document["annotations"]] == [
        (1, 1, 2), (2, 2, 2), (3, 2, 1), (4, 4, 1),
    ]  # fmt: skip


def test_diagnoses_become_cyst_and_non_cyst() -> None:
    document = merged({"train": part("train", (1, 1), (1, 3)), "tune": part("tune", (1, 2))}, "cyst")
    assert [category["name"] for category in document["categories"]] == ["cyst", "non-cyst"]
    assert [image["label"] for image in document["images"]] == ["non-cyst", None, "cyst", None]


def test_a_version_without_tune_or_without_boxes_is_refused() -> None:
    empty = {"images": [], "annotations": [], "categories": []}
    for parts in ({"train": part("train", (1, 1)), "tune": empty}, {"train": part("train"), "tune": part("tune")}):
        with pytest.raises(Refused):
            merged(parts, "diagnosis")
