"""Training a detector: the pictures that go in, and that a run killed or cancelled ends as if it had not been."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml import run_folder
from ml.data import Folder, load
from ml.images import Input
from ml.judge.detect_run import evaluate, judged
from ml.judge.unseen import SawIt
from ml.runtime import Pipeline
from ml.tasks import detect, reject
from ml.tasks.detect import Recipe, train
from ml.tasks.detect_data import Augmentation, Pictures, moved, tiled
from ml.tasks.detect_folds import Plan, cross, parts, shifted
from web.pages.training import TUNED

TINY = Recipe(size=64, epochs=3, batch=4, warm_steps=2, eight_bits=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Dark discs on noise, one a picture, every third picture without; two pictures a patient."""
    root = tmp_path_factory.mktemp("discs")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(24):
        grey = rng.integers(110, 190, (80, 100), dtype=np.uint8)
        entry = {
            "id": number,
            "file_name": f"images/{number}.png",
            "width": 100,
            "height": 80,
            "patient_id": f"p{number // 2}",
        }
        images.append(entry | {"split": "tune" if number >= 16 else "train"})
        if number % 3:
            x, y, r = (int(v) for v in (rng.integers(25, 75), rng.integers(25, 55), rng.integers(10, 20)))
            cv2.circle(grey, (x, y), r, 15, -1)
            box = {"bbox": [x - r, y - r, 2 * r + 1, 2 * r + 1], "area": 4 * r * r, "iscrowd": 0}
            annotations.append({"id": len(annotations), "image_id": number, "category_id": 1 + number % 2, **box})
        cv2.imwrite(str(root / entry["file_name"]), grey)
    categories = [{"id": 1, "name": "cyst"}, {"id": 2, "name": "non-cyst"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(document))
    return load(root)


def parts_of(folder: Folder) -> tuple:
    return folder.of("train"), folder.of("tune")


@pytest.fixture(scope="module")
def done(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train(folder, out, replace(TINY, eight_bits=True), 1, parts_of(folder)).path == out
    return out


def test_a_run_leaves_what_its_readers_need(done: Path, folder: Folder) -> None:
    assert run_folder.read(done)["state"] == "done"
    assert [line["epoch"] for line in run_folder.progress(done)] == [1, 2, 3]
    assert {key for key, _ in TUNED["detect"]} <= run_folder.progress(done)[0]["tune"].keys(), "the page draws them"
    assert run_folder.seen(done)["images"] == {item.sha256 for item in folder.items}
    assert not (done / "resume.pt").exists()
    told = json.loads((done / "model.json").read_text())
    assert told["decode"] == "fcos"
    assert told["shippable"] is True
    assert told["classes"] == ["cyst", "non-cyst"]
    metrics = json.loads((done / "metrics.json").read_text())
    assert metrics["parity"]["box_px"] <= 1
    assert "may be shipped: yes" in (done / "card.md").read_text()
    assert told["threshold"] == metrics["threshold"]["value"]
    assert metrics["eight_bits"]["kept"] == ("model.int8.onnx" in told["files"])
    assert Pipeline.open(done).frame(np.zeros((80, 100, 3), np.uint8)) is not None


def test_a_killed_run_goes_on_to_the_same_end(
    done: Path, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    steps = iter(range(1000))
    real = detect.step

    def dies(*given: object) -> float:
        if next(steps) == 9:  # in the middle of the third epoch
            raise Killed
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(detect, "step", dies)
    out = tmp_path / "killed"
    with pytest.raises(Killed):
        train(folder, out, TINY, 1, parts_of(folder))
    assert (out / "resume.pt").exists()
    monkeypatch.setattr(detect, "step", real)
    train(folder, out, TINY, 1, parts_of(folder))
    losses = [[line["loss"] for line in run_folder.progress(path)] for path in (out, done)]
    assert losses[0] == losses[1]
    digests = [json.loads((path / "model.json").read_text())["files"]["model.onnx"] for path in (out, done)]
    assert digests[0] == digests[1]


def test_a_cancelled_run_stops_and_says_so(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, real = tmp_path / "run", detect.step

    def asked(*given: object) -> float:
        (out / "cancel").touch()
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(detect, "step", asked)
    train(folder, out, TINY, 1, parts_of(folder))
    assert run_folder.read(out)["state"] == "cancelled"


def test_another_recipe_needs_another_folder(done: Path, folder: Folder) -> None:
    with pytest.raises(run_folder.BadRun):
        train(folder, done, TINY, 1, parts_of(folder))


def test_judging_tells_sizes_and_refuses_other_classes(done: Path, folder: Folder) -> None:
    told = judged(done, Pipeline.open(done), folder.of("tune"), draws=20)
    assert told["per"]["image"]["n"] == 8
    assert sum(part["images"] for part in told["breakdown"]["size"].values()) == 8
    with pytest.raises(SawIt):
        evaluate(done, folder.root, "tune")
    strange = replace(folder.items[1], boxes=(replace(folder.items[1].boxes[0], category="stone"),))
    with pytest.raises(ValueError, match="stone"):
        judged(done, Pipeline.open(done), [strange], draws=0)


def test_the_second_stage_makes_a_pipeline(done: Path, folder: Folder, tmp_path: Path) -> None:
    recipe = reject.Recipe("digest", side=32, epochs=2, copies=2)
    out = tmp_path / "reject"
    reject.train(folder, out, done, recipe, 0, parts_of(folder))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["patches"]["drawn"] == sum(len(item.boxes) for item in folder.of("train"))
    before, after = (metrics["gain_on_tune"][name] for name in ("before", "after"))
    assert after["recall"] >= before["recall"]
    assert after["false_per_image"] <= before["false_per_image"]
    pipeline = Pipeline.open(out / "pipeline")
    assert pipeline.rejector is not None
    again = judged(out / "pipeline", pipeline, folder.of("tune"), draws=0)["second_stage"]
    assert again == metrics["gain_on_tune"]


def test_folds_go_on_by_themselves(folder: Folder, tmp_path: Path) -> None:
    said: list[str] = []
    plan = Plan(replace(TINY, epochs=1, one_class="lesion"), seeds=(0,), folds=3)
    first = cross(folder, tmp_path / "folds", plan, said.append)
    assert len(said) == 3
    assert first["images"] == {"0": 24}
    again = cross(folder, tmp_path / "folds", plan, said.append)
    assert len(said) == 3
    assert again["mean"] == first["mean"]
    with pytest.raises(ValueError, match="another setting"):
        cross(folder, tmp_path / "folds", replace(plan, folds=4), said.append)


def test_folds_hold_each_image_once_and_never_split_a_patient(folder: Folder) -> None:
    held: list[str] = []
    for fold in range(4):
        train_, tune, test = parts(folder, 4, fold, 7)
        units = [{item.unit for item in part} for part in (train_, tune, test)]
        assert not (units[0] & units[1] or units[0] & units[2] or units[1] & units[2])
        assert all(units)
        held += [item.file_name for item in test]
    assert sorted(held) == sorted(item.file_name for item in folder.items)


def test_shifted_scores_keep_their_order_and_cross_at_the_middle() -> None:
    found = shifted(np.asarray([0.1, 0.3, 0.9]), 0.3)
    assert found[1] == pytest.approx(0.5)
    assert (np.diff(found) > 0).all()


def test_boxes_move_with_their_pixels(folder: Folder) -> None:
    data = Pictures(folder.of("train"), folder.categories, Input(64, 64), one_class=False)
    rng = np.random.default_rng(3)
    for index in (1, 2, 4, 5):
        for _ in range(5):
            sample = moved(data.sample(index), rng, Augmentation(), 114)
            for _, x0, y0, x1, y1 in sample.boxes:
                inside = sample.rgb[round((y0 + y1) / 2), round((x0 + x1) / 2)]
                assert inside.max() < 60  # the disc's own grey, wherever it went
    four = tiled([data.sample(i) for i in (1, 2, 4, 5)], rng)
    assert len(four.boxes) == 4
    for _, x0, y0, x1, y1 in four.boxes:
        assert four.rgb[round((y0 + y1) / 2), round((x0 + x1) / 2)].max() < 60


def test_an_epoch_is_the_same_again_and_copies_double_it(folder: Folder) -> None:
    data = Pictures(folder.of("train"), ("lesion",), Input(64, 64), one_class=True)
    how = Augmentation(copies=2)
    first, again = (list(data.batches(np.random.default_rng(5), 4, how, 0.5)) for _ in range(2))
    assert len(first) == 8
    assert all((a[0] == b[0]).all() for a, b in zip(first, again, strict=True))
    assert len(list(data.batches(np.random.default_rng(5), 4, Augmentation(), 0.5))) == 4
