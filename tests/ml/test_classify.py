"""A classifier is trained, killed, taken up, exported and judged on what it never saw."""

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from commands.ml import app
from ml.annotations import Box
from ml.calibration import softmax
from ml.class_map import fitting
from ml.data import BadFolder, load
from ml.judge.evaluate import evaluate
from ml.judge.report import write
from ml.judge.saliency import pictures
from ml.judge.unseen import SawIt
from ml.run_folder import BadRun, Cancelled, Run, progress, read, seen
from ml.runtime import Model
from ml.samples import picture, samples_of
from ml.tasks.classify import Choice, train
from ml.tasks.cross import Plan, cross
from ml.tasks.fitting import fit
from ml.tasks.recipes import RECIPES, measured_best
from ml.tasks.views import Store
from tests.small_sets import small_set
from web.pages.training import TUNED

ROOT = Path(__file__).resolve().parents[2]
TINY = replace(RECIPES["tiny"], epochs=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("small")
    small_set(place / "data", place / "source", boxes=True)
    small_set(place / "test", place / "source-test", images=16, first=100, split="test", boxes=True)
    return place / "data"


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    train(data, data.parent / "run", Choice(TINY))
    return data.parent / "run"


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model.onnx").read_bytes()).hexdigest()


def test_a_run_leaves_what_the_runtime_reads(run: Path, data: Path) -> None:
    model = Model.open(run)
    assert model.spec.classes == ("benign", "malignant") and model.spec.task == "classify"
    assert model.spec.derived == {"malignant": ("malignant",)} and model.spec.tta == ("identity", "hflip")
    item = load(data).items[0]
    box = item.boxes[0]
    said = model.classify(picture(item), [(box.x, box.y, box.width, box.height)])
    assert said.shape == (1, 2) and said.sum() == pytest.approx(1, abs=1e-5)
    told, lines = read(run), progress(run)
    assert told["state"] == "done" and len(lines) == 3 and not (run / "resume.pt").exists()
    assert set(lines[0]) >= {"epoch", "of", "seconds", "loss", "tune"} and (run / "card.md").is_file()
    assert {key for key, _ in TUNED["classify"]} <= lines[0]["tune"].keys(), "the page draws them"
    assert json.loads((run / "metrics.json").read_text())["onnx_apart"] <= 1e-3
    whole = load(data)
    assert seen(run)["images"] == {one.sha256 for one in whole.items} and len(seen(run)["pixels"]) == len(whole.items)


def test_the_same_seed_gives_the_same_model_and_another_one_another(run: Path, data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "again", Choice(TINY))
    train(data, tmp_path / "other", Choice(TINY, seed=1))
    assert weights(tmp_path / "again") == weights(run) != weights(tmp_path / "other")


def test_the_form_of_a_box_counts_in_training_in_folds_and_at_the_runtime_alike(tmp_path: Path) -> None:
    small_set(tmp_path / "data", tmp_path / "source", images=80, tall=True)
    small_set(tmp_path / "test", tmp_path / "source-test", images=40, first=100, split="test", tall=True)
    recipe = replace(TINY, epochs=1, by_form=True)
    train(tmp_path / "data", tmp_path / "run", Choice(recipe))
    auc = {
        "run": evaluate(tmp_path / "run", tmp_path / "test")["per"]["lesion"]["metrics"]["auc"]["value"],
        "folds": cross(tmp_path / "data", tmp_path / "folds", Plan(recipe, (0,), folds=4), lambda text: None)
        ["per"]["lesion"]["metrics"]["auc"]["value"],
    }  # fmt: skip
    assert min(auc.values()) > 0.9, auc
    form = Model.open(tmp_path / "run").spec.form
    assert form is not None and form.weights[1][0] > 0.3 and "tall" in (tmp_path / "run" / "card.md").read_text()


def test_a_killed_training_goes_on_and_ends_the_same(run: Path, data: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from dataclasses import replace\n"
        "from ml.run_folder import Run; from ml.tasks.classify import Choice, train; from ml.tasks.recipes import RECIPES\n"
        "keep = Run.keep\n"
        "def slow(run, write):\n    keep(run, write)\n"
        "    time.sleep(600 if (run.path / 'progress.jsonl').read_text().count('\\n') > 1 else 0)\n"
        "Run.keep = slow\n"
        "train(Path(sys.argv[1]), Path(sys.argv[2]), Choice(replace(RECIPES['tiny'], epochs=3)))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(data), str(tmp_path / "run")], cwd=ROOT)
    try:
        until = time.monotonic() + 300
        while len(progress(tmp_path / "run")) < 2 and child.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert len(progress(tmp_path / "run")) == 2 and read(tmp_path / "run")["state"] == "running"
    train(data, tmp_path / "run", Choice(TINY))
    assert weights(tmp_path / "run") == weights(run)
    assert [{**line, "seconds": 0} for line in progress(tmp_path / "run")] == [
        {**line, "seconds": 0} for line in progress(run)
    ]


def test_a_cancelled_training_goes_on(data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Run.log

    def ask(self: Run, line: dict[str, object]) -> None:
        log(self, line)
        (self.path / "cancel").touch()

    with monkeypatch.context() as patched:
        patched.setattr(Run, "log", ask)
        with pytest.raises(Cancelled):
            train(data, tmp_path / "run", Choice(TINY))
    assert read(tmp_path / "run")["state"] == "cancelled" and len(progress(tmp_path / "run")) == 1
    train(data, tmp_path / "run", Choice(TINY))
    assert weights(tmp_path / "run") == weights(run)
    with pytest.raises(BadRun, match="done already"):
        train(data, tmp_path / "run", Choice(TINY))


def test_recipes_beside_each_other_learn_in_turn_and_answer_as_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = replace(TINY, epochs=1, side=48, beside=("tiny",))
    train(data, tmp_path / "whole", Choice(mixed))
    assert [line["of"] for line in progress(tmp_path / "whole")] == [3, 3, 3]
    log = Run.log

    def ask(self: Run, line: dict[str, object]) -> None:
        log(self, line)
        if line["epoch"] == 2:  # the second recipe has begun
            (self.path / "cancel").touch()

    with monkeypatch.context() as patched:
        patched.setattr(Run, "log", ask)
        with pytest.raises(Cancelled):
            train(data, tmp_path / "run", Choice(mixed))
    train(data, tmp_path / "run", Choice(mixed))
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    model, folder = Model.open(tmp_path / "run"), load(data)
    assert model.spec.input.height == 48
    learn, tune = (samples_of(folder.of(part), fitting(folder.labels), by_box=True) for part in ("train", "tune"))
    fitted = fit(learn, tune, 2, mixed, 0)
    said = softmax(fitted.say(Store().looked(tune, mixed), tune), model.spec.temperature)  # as folds say it
    assert said == pytest.approx(
        np.concatenate([model.classify(picture(one.item), [one.box]) for one in tune]), abs=1e-4
    )


def test_it_is_judged_on_what_it_never_saw(run: Path, data: Path, tmp_path: Path) -> None:
    result = evaluate(run, data.parent / "test")
    assert result["task"] == "classify" and result["level"] == "patient" and result["n"] == 8
    assert set(result["per"]) == {"lesion", "image", "patient"} and result["per"]["lesion"]["n"] == 16
    assert (
        set(result["metrics"]["auc"]) == {"value", "low", "high"}
        and result["threshold"] == Model.open(run).spec.threshold
    )
    assert set(result["breakdown"]["vendor"]) == {"A", "B"} and "size" in result["breakdown"]
    looked = pictures(run, load(data.parent / "test", ("test",)), result["examples"])
    assert 2 <= len(looked) == len(result["examples"]) <= 8 and all(one.startswith(b"\x89PNG") for one, _ in looked)
    write(tmp_path / "report", result, looked)
    text = (tmp_path / "report" / "report.html").read_text()
    assert text.count("<svg") == 4 and text.count("<figure>") == len(looked) and "<script" not in text
    assert "http" not in re.sub(r'data:image/png[^"]*|http://www.w3.org', "", text)
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == json.loads(json.dumps(result))


@pytest.mark.parametrize("spoil", ["file", "pixels", "patient"])
def test_it_is_not_judged_on_what_it_saw(run: Path, data: Path, tmp_path: Path, spoil: str) -> None:
    with pytest.raises(BadFolder, match="no test split"):
        evaluate(run, data)
    with pytest.raises(SawIt, match="of 36 images 36 as the same file, 36 as the same pixels, 36 by patient"):
        evaluate(run, data, "train")
    small_set(
        tmp_path / "test",
        tmp_path / "source",
        images=4,
        first=0 if spoil == "patient" else 200,
        split="test",
        boxes=True,
    )
    place = tmp_path / "test" / "annotations.json"
    document = json.loads(place.read_text())
    (tmp_path / "test" / "manifest.json").unlink()
    if spoil == "patient":
        for path in (tmp_path / "test" / "images").iterdir():
            path.write_bytes(path.read_bytes() + b"\0")  # other bytes, the same patients and pixels
        with pytest.raises(SawIt, match="of 4 images 0 as the same file, 4 as the same pixels, 4 by patient"):
            evaluate(run, tmp_path / "test")
        return
    known = load(data).items[0]
    content = known.path.read_bytes() + (b"" if spoil == "file" else b"\0")
    (tmp_path / "test" / document["images"][0]["file_name"]).write_bytes(content)
    words = (
        "of 4 images 1 as the same file, 1 as the same pixels, 0"
        if spoil == "file"
        else "of 4 images 0 as the same file, 1"
    )
    with pytest.raises(SawIt, match=words):
        evaluate(run, tmp_path / "test")


def test_the_command_answers_with_one_object_or_code_2(run: Path, data: Path) -> None:
    from core.errors import Refused

    told = CliRunner().invoke(app, ["evaluate", "--run", str(run), "--data", str(data.parent / "test"), "--json"])
    last = json.loads(told.stdout.strip().splitlines()[-1])
    assert told.exit_code == 0 and {"task", "n", "metrics", "per"} <= set(last)
    refused = CliRunner().invoke(app, ["evaluate", "--run", str(run), "--data", str(data), "--split", "tune"])
    assert isinstance(refused.exception, Refused) and "saw what it is to be judged on" in refused.exception.message


def test_where_it_looks_is_drawn_for_one_picture(run: Path, data: Path, tmp_path: Path) -> None:
    from core.errors import Refused

    item, out = load(data).items[0], tmp_path / "looked.png"
    given = ["saliency", "--run", str(run), "--image", str(item.path), "--out", str(out)]
    told = CliRunner().invoke(app, [*given, "--box", "12,8,24,24"])
    assert told.exit_code == 0 and told.stdout.startswith("malignant: 0.") and out.read_bytes().startswith(b"\x89PNG")
    refused = CliRunner().invoke(app, [*given, "--box", "12,8,0,24"])
    assert isinstance(refused.exception, Refused) and "--box needs" in refused.exception.message


def test_without_a_name_the_recipe_that_did_best_on_such_data_is_taken(data: Path) -> None:
    folder = load(data)
    large = replace(folder, items=tuple(replace(item, width=640, height=480, boxes=()) for item in folder.items))
    small = replace(large, items=tuple(replace(item, width=60, height=60) for item in large.items))
    box = Box(10, 10, 20, 20, folder.items[0].label)
    lesions = replace(large, items=tuple(replace(item, boxes=(box,)) for item in large.items))
    assert [measured_best(one) for one in (large, small, lesions)] == ["tails", "mixed-small", "tails-form"]


def test_folds_keep_what_they_said_and_are_not_trained_twice(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    plan = Plan(replace(TINY, epochs=1), (0, 1), folds=3)
    holdout = cross(data, tmp_path / "folds", replace(plan, only_first=True), said.append)
    assert len(said) == 2 and holdout["only_first"] is True
    result = cross(data, tmp_path / "folds", plan, said.append)  # the other folds join those that are there
    assert result["only_first"] is False and json.loads((tmp_path / "folds" / "setting.json").read_text()) == {
        name: result[name]
        for name in ("data", "class_map", "classes", "positive", "recipe", "folds", "only_first", "random")
    }
    assert len(said) == 6 and result["per"]["image"]["n"] == {"0": 40, "1": 40}
    again = cross(data, tmp_path / "folds", plan, said.append)
    assert len(said) == 6 and again["per"] == result["per"]
    units: dict[str, set[int]] = {}
    for fold in range(3):
        for line in (tmp_path / "folds" / f"seed0-fold{fold}.csv").read_text().splitlines()[1:]:
            units.setdefault(line.split(",")[1], set()).add(fold)
    assert len(units) == 20 and all(len(folds) == 1 for folds in units.values())
    with pytest.raises(BadFolder, match="another setting"):
        cross(data, tmp_path / "folds", replace(plan, random=True), said.append)


def test_one_fold_can_be_left_out(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "run", Choice(replace(TINY, epochs=1), folds=4, fold=1))
    held = {item.unit for item in load(data).items} - seen(tmp_path / "run")["units"]
    assert 3 <= len(held) <= 7


def test_training_does_not_leave_determinism_to_chance(run: Path) -> None:
    assert torch.get_num_threads() == 1 and np.isfinite(
        json.loads((run / "metrics.json").read_text())["tune"]["least_loss"]
    )
