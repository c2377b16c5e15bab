"""The verbs with boxes, from the command line to the report."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands.ml import app
from core.errors import Refused


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_phantoms_are_trained_on_and_judged(tmp_path: Path) -> None:
    data, out, report = (str(tmp_path / name) for name in ("data", "run", "report"))
    told = json.loads(run("phantoms", "--out", data, "--count", "48", "--json"))
    assert told["images"]["train"] + told["images"]["tune"] + told["images"]["test"] == 48
    words = ("--data", data, "--out", out, "--size", "64", "--epochs", "1", "--batch", "8", "--json")
    assert json.loads(run("train", "detect", *words))["task"] == "detect"
    result = json.loads(run("evaluate", "--run", out, "--data", data, "--report", report, "--json"))
    assert result["split"] == "test"
    assert set(result["per"]) == {"box", "lesion", "image", "patient"}
    assert {"f1", "map50", "recall_iou30", "false_per_normal"} <= set(result["metrics"])
    page = (Path(report) / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "Research use only" in page
    assert "by size" in page.lower()
    with pytest.raises(Refused, match="saw"):
        run("evaluate", "--run", out, "--data", data, "--split", "train")
    cines = json.loads(run("cines", "--run", out, "--count", "2", "--frames", "4", "--json"))
    assert set(cines) >= {"frames", "tracked", "seconds"}


@pytest.mark.parametrize(
    ("words", "sentence"), [(("--recipe", "yolo99"), "There is no recipe"), (("--size", "100"), "multiple of 32")]
)
def test_what_cannot_be_trained_is_said(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(Refused, match=sentence):
        run("train", "detect", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *words)
