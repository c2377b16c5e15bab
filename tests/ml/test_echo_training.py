"""The left ventricle's border is learned from EchoNet's form, killed, taken up, exported, and judged on unseen clips."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands.ml import app
from core.errors import Refused
from ml.data import BadFolder, load
from ml.heart import Heart
from ml.imports import Choices, import_folder
from ml.judge.echo import FIGURES, evaluate
from ml.judge.report import write
from ml.judge.unseen import SawIt
from ml.model_file import BadModel
from ml.networks.unet import Unet
from ml.run_folder import BadRun, Run, progress, read, seen
from ml.runtime import Pipeline
from ml.tasks.echo import Recipe, train
from tests.small_hearts import FRAMES, echonet, frames, heart

TINY = Recipe(side=32, epochs=3, batch=4, rate=5e-3, warm_steps=2, average=0.8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hearts")
    echonet(place / "source", 10, 2, 3)
    import_folder(place / "source", place / "data", "small", Choices())
    return place / "data"


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    train(data, data.parent / "run", TINY, 0)
    return data.parent / "run"


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model.onnx").read_bytes()).hexdigest()


def test_a_run_leaves_what_the_runtime_reads(run: Path, data: Path) -> None:
    spec = Heart.open(run).model.spec
    assert (spec.task, spec.decode, spec.classes, spec.input.height) == ("echo", "mask", ("LV",), 32)
    assert read(run)["state"] == "done" and len(progress(run)) == 3 and not (run / "resume.pt").exists()
    assert set(progress(run)[0]) == {"epoch", "of", "seconds", "loss", "tune"} and (run / "card.md").is_file()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["onnx_apart"] <= 1e-3 and str(spec.threshold) in metrics["chosen"]["tried"]
    assert seen(run)["images"] == {item.sha256 for item in load(data).items}
    found = Heart.open(run).frames(frames(heart(50), 50))
    assert len(found.masks) == FRAMES and found.masks[0].shape == (64, 64) and set(found.masks[0].flat) <= {0, 1}
    with pytest.raises(BadModel, match="not trained to detect"):
        Pipeline.open(run)


def test_the_network_has_half_a_million_weights() -> None:
    assert 100_000 < sum(weight.numel() for weight in Unet().parameters()) < 600_000


def test_a_training_that_was_cancelled_or_killed_ends_the_same(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Run.log

    def ask(self: Run, line: dict[str, object]) -> None:
        log(self, line)
        (self.path / "cancel").touch()

    with monkeypatch.context() as patched:
        patched.setattr(Run, "log", ask)
        assert read(train(data, tmp_path / "run", TINY, 0).path)["state"] == "cancelled"

    def die(self: Run, line: dict[str, object]) -> None:
        log(self, line)
        raise KeyboardInterrupt  # after the line was written, before resume.pt was kept

    with monkeypatch.context() as patched:
        patched.setattr(Run, "log", die)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "run", TINY, 0)
    assert len(progress(tmp_path / "run")) == 2
    train(data, tmp_path / "run", TINY, 0)
    assert [{**line, "seconds": 0} for line in progress(tmp_path / "run")] == [
        {**line, "seconds": 0} for line in progress(run)
    ]
    assert weights(tmp_path / "run") == weights(run)
    with pytest.raises(BadRun, match="done already"):
        train(data, tmp_path / "run", TINY, 0)
    train(data, tmp_path / "other", TINY, 1)
    assert weights(tmp_path / "other") != weights(run)


def test_it_is_judged_on_what_it_never_saw(run: Path, data: Path, tmp_path: Path) -> None:
    result = evaluate(run, data)
    assert result["task"] == "echo" and result["level"] == "clip" and result["n"] == 3
    assert set(result["per"]) == {"clip", "frame"} and result["per"]["frame"]["n"] == 6
    assert set(result["metrics"]) == set(FIGURES)
    assert sum(map(sum, result["confusion"]["rows_are_truth"])) == 3
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    write(tmp_path / "report", result)
    text = (tmp_path / "report" / "report.html").read_text()
    assert text.count("<svg") == 2 and "<script" not in text and "By clip" in text
    with pytest.raises(SawIt, match="as the same file"):
        evaluate(run, data, "tune")
    untraced = json.loads((data / "annotations.json").read_text()) | {"annotations": []}
    for image in untraced["images"]:
        image.pop("ef_percent")
    shutil.copytree(data / "images", tmp_path / "data" / "images")
    (tmp_path / "data" / "annotations.json").write_text(json.dumps(untraced))
    with pytest.raises(BadFolder, match="neither traced ventricles nor ejection fractions"):
        evaluate(run, tmp_path / "data")
    with pytest.raises(BadFolder, match="traced left ventricle"):
        train(tmp_path / "data", tmp_path / "run", TINY, 0)


def test_the_commands_answer(run: Path, data: Path, tmp_path: Path) -> None:
    judged = CliRunner().invoke(app, ["evaluate", "--run", str(run), "--data", str(data), "--json"])
    assert judged.exit_code == 0 and json.loads(judged.stdout.strip().splitlines()[-1])["task"] == "echo"
    said = CliRunner().invoke(app, ["ef", "--run", str(run), "--data", str(data), "--json"])
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert len(lines) == 3 and all(bool(line["reason"]) == (line["ef_percent"] is None) for line in lines)
    wrong = ["train", "echo", "--data", str(data), "--out", str(tmp_path / "run"), "--size", "100"]
    refused = CliRunner().invoke(app, wrong)
    assert isinstance(refused.exception, Refused) and "multiple of 16" in refused.exception.message
