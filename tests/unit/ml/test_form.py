"""What the form of a box adds to a classifier's answer: learned from boxes, read from model.json, nothing for a whole frame."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.form import FEATURES, Box, Form
from ml.judge.saliency import occlusion
from ml.runtime import BadModel, Model
from tests.tiny_models import brightness_classifier, save

FRAME = (640, 480)
TALL: Box = (100, 100, 40, 80)
WIDE: Box = (100, 100, 80, 40)


def learned() -> Form:
    chance = np.random.default_rng(0)
    boxes: list[Box] = []
    targets = []
    for number in range(300):
        target = int(number % 3 == 0)
        ratio = math.exp(chance.normal(0.4 if target else -0.4, 0.4))
        side = math.exp(chance.normal(4, 0.3))
        boxes.append((0, 0, side / math.sqrt(ratio), side * math.sqrt(ratio)))
        targets.append(target)
    return Form.fit(boxes, [FRAME] * 300, targets, 2)


def test_it_learns_what_the_form_says_and_no_more() -> None:
    form = learned()
    tall, wide = form.logits([TALL, WIDE], [FRAME] * 2)
    # Normal forms of equal spread: the log of their odds rises by (0.4 + 0.4) / 0.4² for each unit of the log of the ratio.
    slope = ((tall[1] - tall[0]) - (wide[1] - wide[0])) / (2 * math.log(2))
    assert slope == pytest.approx(5, abs=1.2)
    assert abs(form.weights[1][1]) < 0.2 * form.weights[1][0], "size says nothing here"
    assert form == learned()


def test_a_whole_frame_has_no_form() -> None:
    added = learned().logits([None, TALL], [FRAME] * 2)
    assert not added[0].any() and added[1].any()
    assert learned().logits([], []).shape == (0, 2)


@given(st.tuples(*[st.floats(-1e5, 1e5)] * 2, *[st.floats(0, 1e6)] * 2))
def test_no_box_counts_without_bound(box: Box) -> None:
    form = Form((0.0, -2.0), (0.3, 0.5), ((-1.0, 0.5), (1.0, -0.5)))
    assert np.abs(form.logits([box], [FRAME])).max() <= 3 * 1.5


def folder(tmp_path: Path, form: object) -> Path:
    """A classifier that says the same of every picture, with a form in its model.json."""
    content = brightness_classifier(32, [0, 0], [0, 0])
    return save(tmp_path, content, side=32, task="classify", decode="softmax", classes=["benign", "malignant"],
                temperature=2.0, input={"resize": "fit"}, form=form)  # fmt: skip


TOLD = {"features": list(FEATURES), "mean": [0.0, -2.0], "std": [0.5, 1.0], "weights": [[-1.0, 0.0], [1.0, 0.0]]}


def test_the_runtime_adds_it_before_the_temperature(tmp_path: Path) -> None:
    model, rgb = Model.open(folder(tmp_path, TOLD)), np.zeros((480, 640, 3), np.uint8)
    tall, wide, whole = model.classify(rgb, [TALL, WIDE, None])[:, 1]
    far = 2 * math.log(2) / 0.5 / 2.0  # the difference of the two logits, at temperature 2
    assert tall == pytest.approx(1 / (1 + math.exp(-far)), abs=1e-5) and wide == pytest.approx(1 - tall, abs=1e-5)
    assert whole == pytest.approx(0.5)
    assert occlusion(model, rgb, TALL, [1]).score == pytest.approx(tall, abs=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"features": ["log(height / width)"]},
        {"weights": [[1.0, 0.0]]},
        {"weights": [[1.0], [1.0]]},
        {"weights": [[float("inf"), 0.0], [1.0, 0.0]]},
        {"std": [0.0, 1.0]},
        {"mean": "0"},
    ],
)
def test_a_form_that_is_none_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(BadModel, match=r"model\.json"):
        Model.open(folder(tmp_path, TOLD | change))


def test_a_model_without_one_is_as_it_was(tmp_path: Path) -> None:
    told = json.loads((folder(tmp_path, None) / "model.json").read_text())
    assert told["form"] is None
    rgb = np.zeros((480, 640, 3), np.uint8)
    assert Model.open(tmp_path).classify(rgb, [TALL, WIDE])[:, 1] == pytest.approx([0.5, 0.5])
