"""The runtime says what tiny graphs must say, in pixels of the frame, and refuses in sentences what it cannot run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml import decode
from ml.decode import Candidates, iou, kept, nms
from ml.images import Rgb
from ml.runtime import BadModel, Model, Pipeline
from tests.tiny_models import (
    bright_cells,
    brightness_classifier,
    constant_fcos,
    constant_yolo,
    save,
    save_pipeline,
)

boxes_of = st.lists(
    st.tuples(*[st.floats(0, 90, width=32)] * 2, *[st.floats(1, 60, width=32)] * 2), min_size=1, max_size=25
)


def frame(rows: int = 48, columns: int = 96) -> Rgb:
    return np.zeros((rows, columns, 3), np.uint8)


def test_yolo_boxes_come_back_in_pixels_of_the_frame(tmp_path: Path) -> None:
    rows = [[32, 32, 16, 8, 0.9, 0.1], [33, 32, 16, 8, 0.2, 0.8], [10, 30, 4, 4, 0.55, 0.3], [50, 20, 9, 9, 0.4, 0.45]]
    folder = save(tmp_path, constant_yolo(rows, 64), side=64, task="detect", decode="yolo", classes=["cyst", "solid"])
    found = Model.open(folder).detect(frame())  # 96 x 48 into 64 x 64: two thirds, 16 rows above
    assert [(one.label, round(one.score, 3)) for one in found] == [("cyst", 0.9), ("cyst", 0.55)]
    assert found[0].box == pytest.approx((36, 18, 24, 12), abs=1e-3)
    assert found[0].probabilities == {"cyst": 0.9, "solid": 0.1}
    assert len(Model.open(folder).detect(frame(), threshold=0.42)) == 3


def test_fcos_outputs_are_taken_by_name(tmp_path: Path) -> None:
    boxes = [(0.0, 0.0, 32.0, 32.0), (1.0, 1.0, 33.0, 33.0), (40.0, 40.0, 80.0, 80.0)]
    content = constant_fcos(boxes, [[0.6, 0.2], [0.7, 0.1], [0.1, 0.8]], 64)
    folder = save(tmp_path, content, side=64, task="detect", decode="fcos", classes=["a", "b"], derived={"bad": ["b"]})
    found = Model.open(folder).detect(frame(64, 64))
    assert [(one.label, one.box) for one in found] == [("b", (40, 40, 24, 24)), ("a", (1, 1, 32, 32))]
    assert found[0].probabilities["bad"] == pytest.approx(0.8)


@pytest.mark.parametrize("single", [False, True])
def test_classes_with_temperature_derived_and_abstention(tmp_path: Path, single: bool) -> None:
    content = brightness_classifier(32, [0, 0, 4], [1, 0, 0], single=single)
    folder = save(
        tmp_path, content, side=32, task="classify", decode="softmax", classes=["a", "b", "c"], temperature=2.0,
        derived={"malignant": ["b", "c"]}, abstain_below=0.6, input={"resize": "crop"}, tta=["identity", "hflip"],
    )  # fmt: skip
    model, rgb = Model.open(folder), frame(40, 40)
    rgb[:, 20:] = 255
    dark, bright = model.classify(rgb, [(2, 10, 10, 10), (24, 10, 10, 10)])
    assert dark == pytest.approx(np.exp([0.5, 0, 0]) / np.exp([0.5, 0, 0]).sum(), abs=1e-4)
    assert bright == pytest.approx(np.exp([0.5, 0, 2]) / np.exp([0.5, 0, 2]).sum(), abs=1e-4)
    assert model.named(dark)[0] == ""
    label, probabilities = model.named(bright)
    assert label == "c" and probabilities["malignant"] == pytest.approx(
        probabilities["b"] + probabilities["c"], abs=1e-5
    )
    assert model.classify(rgb).shape == (1, 3) and model.classify(rgb, []).shape == (0, 3)


def test_frames_of_a_followed_cine_take_the_views_in_turn(tmp_path: Path) -> None:
    content = brightness_classifier(32, [0, 4], [0, -2], columns=16)
    given = {"resize": "crop", "margin": 0.0}
    folder = save(tmp_path, content, side=32, task="classify", decode="softmax", classes=["dark", "bright"],
                  input=given, tta=["identity", "hflip"])  # fmt: skip
    model, rgb = Model.open(folder), frame(32, 32)
    rgb[:, 16:] = 255
    left, right, left_again = (model.classify(rgb, turn=turn)[0, 1] for turn in range(3))
    assert left == left_again == pytest.approx(1 / (1 + np.exp(2))) and right == pytest.approx(1 / (1 + np.exp(-2)))
    assert model.classify(rgb)[0, 1] == pytest.approx((left + right) / 2)


def test_a_pipeline_finds_rejects_and_names(tmp_path: Path) -> None:
    pipeline = Pipeline.open(save_pipeline(tmp_path))
    rgb = frame(64, 64)
    rgb[16:32, 32:48], rgb[48:64, 0:16] = 255, 170
    found = pipeline.frame(rgb)
    assert [one.box for one in found] == [(32, 16, 16, 16), (0, 48, 16, 16)]
    assert found[0].label == "non-cyst" and set(found[0].probabilities) == {"cyst", "non-cyst"}
    assert (pipeline.name, pipeline.version, len(pipeline.models)) == ("tiny-liver", 1, 3)
    assert pipeline.frame(frame(64, 64)) == []
    strict = json.loads((tmp_path / "reject/model.json").read_text()) | {"threshold": 0.95}
    (tmp_path / "reject/model.json").write_text(json.dumps(strict))
    assert Pipeline.open(tmp_path).frame(rgb) == []


def test_a_lone_detector_is_a_pipeline(tmp_path: Path) -> None:
    save(tmp_path, bright_cells(64, 16), side=64, task="detect", decode="fcos", classes=["lesion"])
    rgb = frame(128, 128)
    rgb[0:32, 96:128] = 255
    (one,) = Pipeline.open(tmp_path).frame(rgb)
    assert (one.box, one.label) == ((96, 0, 32, 32), "lesion")


def test_a_mirrored_look_finds_the_same(tmp_path: Path) -> None:
    given: dict[str, Any] = {"side": 64, "task": "detect", "decode": "fcos", "classes": ["l"]}
    save(tmp_path, bright_cells(64, 16), **given, tta=["identity", "hflip"], strides=[16])
    rgb = frame(64, 64)
    rgb[0:16, 48:64] = 255
    for turn in (None, 0, 1):
        assert [one.box for one in Model.open(tmp_path).detect(rgb, turn=turn)] == [(48, 0, 16, 16)]
    save(tmp_path, bright_cells(64, 16), **given, tta=["identity", "hflip"], strides=[16, 32])
    with pytest.raises(ValueError, match="another shape"):
        Model.open(tmp_path).detect(rgb)


def test_two_looks_are_averaged_at_each_point(tmp_path: Path) -> None:
    """What one look alone is sure of is found with half of its score, once."""
    boxes = [(0.0, 0.0, 30.0, 30.0), (40.0, 0.0, 64.0, 30.0), (0.0, 40.0, 20.0, 60.0), (40.0, 40.0, 50.0, 60.0)]
    content = constant_fcos(boxes, [[0.8], [0.2], [0.0], [0.0]], 64)
    save(
        tmp_path, content, side=64, task="detect", decode="fcos", classes=["l"], tta=["identity", "hflip"], strides=[32]
    )
    found = {one.box: one.score for one in Model.open(tmp_path).detect(frame(64, 64), 0.1)}
    assert found == {
        (0, 0, 27, 30): pytest.approx(0.5), (37, 0, 27, 30): pytest.approx(0.5),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "format"),
        ({"name": "../x"}, "name"),
        ({"version": 0}, "version"),
        ({"task": "paint"}, "task"),
        ({"classes": []}, "classes"),
        ({"classes": ["a", "a"]}, "classes"),
        ({"derived": {"bad": ["z"]}}, "derived"),
        ({"files": {"model.onnx": "0" * 64}}, "digest"),
        ({"files": {"../model.onnx": "0" * 64}}, "plain names"),
        ({"files": {}}, "digest"),
        ({"files": None}, "files"),
        ({"input": {"height": 64, "width": 1e9}}, "input"),
        ({"input": {"height": 64, "width": 64, "std": [0, 1, 1]}}, "std"),
        ({"threshold": "high"}, "threshold"),
        ({"temperature": 0}, "temperature"),
        ({"nms_iou": True}, "nms_iou"),
        ({"input": {"height": 32, "width": 32}}, "another input"),
    ],
)
def test_a_wrong_model_json_is_refused_in_words(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    save(tmp_path, constant_yolo([[1, 1, 1, 1, 0.9]], 64), side=64, task="detect", decode="yolo", classes=["a"])
    told = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(told | change))
    with pytest.raises(BadModel, match=sentence):
        Model.open(tmp_path)


def test_broken_folders_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="has no"):
        Pipeline.open(tmp_path)
    (tmp_path / "model.json").write_text("[" * 100_000)
    with pytest.raises(BadModel, match="not JSON"):
        Pipeline.open(tmp_path)
    save(tmp_path, b"no network", side=64, task="detect", decode="yolo", classes=["a"])
    with pytest.raises(BadModel, match="broken"):
        Pipeline.open(tmp_path)
    save(tmp_path, brightness_classifier(32, [1], [0]), side=32, task="classify", decode="softmax", classes=["a"])
    with pytest.raises(BadModel, match="trained to detect"):
        Pipeline.open(tmp_path)
    for path in ("../elsewhere", "a/b", "..", 3, ""):
        (tmp_path / "pipeline.json").write_text(json.dumps({"format": 1, "name": "x", "version": 1, "detect": path}))
        with pytest.raises(BadModel, match="inside its own"):
            Pipeline.open(tmp_path)


def test_wrong_frames_and_answers_raise_sentences(tmp_path: Path) -> None:
    save(tmp_path, constant_yolo([[1, 1, 1, 1, 0.9]], 64), side=64, task="detect", decode="yolo", classes=["a", "b"])
    model = Model.open(tmp_path)
    with pytest.raises(ValueError, match="another shape"):
        model.detect(frame())
    with pytest.raises(ValueError, match="8 bits"):
        model.detect(np.zeros((4, 4, 3), np.float32))  # type: ignore[arg-type]
    save(
        tmp_path, constant_yolo([[1, 1, 1, 1, float("nan")]], 64), side=64, task="detect", decode="yolo", classes=["a"]
    )
    with pytest.raises(ValueError, match="not a number"):
        Model.open(tmp_path).detect(frame())


@given(boxes_of, st.floats(0, 1), st.floats(0, 1))
def test_suppression_keeps_the_surest_and_nothing_that_overlaps(
    given_boxes: list[tuple[float, ...]], threshold: float, most: float
) -> None:
    x, y, w, h = np.asarray(given_boxes, np.float32).T
    scores = np.linspace(0.99, 0.01, len(x), dtype=np.float32)[:, None]
    found = Candidates(np.stack([x, y, x + w, y + h], axis=1), np.roll(scores, 3, axis=0))
    chosen = kept(found, threshold, most)
    assert (chosen.best >= threshold).all() and (np.diff(chosen.best) <= 0).all()
    for place, box in enumerate(chosen.boxes):
        assert (iou(box, chosen.boxes[place + 1 :]) <= most + 1e-6).all()
    if (found.best >= threshold).any():
        assert chosen.best[0] == found.best.max()
    for box, score in zip(found.boxes, found.best, strict=True):  # what was left out overlaps a surer one
        if score >= threshold and len(chosen.boxes):
            surer = chosen.boxes[chosen.best >= score]
            assert (chosen.boxes == box).all(axis=1).any() or (iou(box, surer) > most - 1e-6).any()


@given(boxes_of)
def test_iou_is_symmetric_and_one_with_itself(given_boxes: list[tuple[float, ...]]) -> None:
    x, y, w, h = np.asarray(given_boxes, np.float32).T
    boxes = np.stack([x, y, x + w, y + h], axis=1)
    table = np.stack([iou(box, boxes) for box in boxes])
    assert np.allclose(table, table.T, atol=1e-5) and np.allclose(np.diag(table), 1, atol=1e-3)
    assert ((table >= 0) & (table <= 1 + 1e-6)).all()
    assert nms(boxes[:0], 0.5).size == 0


def test_twice_flipped_is_as_before() -> None:
    boxes = np.asarray([[1, 2, 30, 40], [33, 2, 40, 9]], np.float32)
    found = Candidates(boxes, np.asarray([[0.5], [0.25]], np.float32))
    once = decode.flipped(found, (32, 64), [32])
    assert once.boxes.tolist() == [[24, 2, 31, 9], [34, 2, 63, 40]] and once.scores.tolist() == [[0.25], [0.5]]
    assert (decode.flipped(once, (32, 64), [32]).boxes == boxes).all()
