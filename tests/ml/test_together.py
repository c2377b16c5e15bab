"""Several processes train one model: they learn the same, and one of them writes it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands.ml import app
from ml import run_folder
from ml.runtime import Pipeline
from ml.tasks.together import Together

ROOT = Path(__file__).resolve().parents[2]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


def two(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TWO, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_each_learns_from_is_apart_and_as_much() -> None:
    parts = [Together(rank, 3).part(range(11)) for rank in range(3)]
    assert [len(part) for part in parts] == [3, 3, 3] and len(set().union(*parts)) == 9
    assert list(Together().part(range(5))) == [0, 1, 2, 3, 4]


def test_after_the_same_steps_all_have_learned_the_same(tmp_path: Path) -> None:
    """From other pictures each, one of them without any box in a batch."""
    done = two("tests.ml.together_steps", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = ((tmp_path / rank).read_text() for rank in "01")
    assert first == second


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("phantoms") / "data"
    CliRunner().invoke(app, ["phantoms", "--out", str(place), "--count", "48"], catch_exceptions=False)
    return place


def test_one_run_comes_of_it(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["ml", "train", "detect", "--data", data, "--out", out, "--size", 64, "--epochs", 2, "--batch", 8, "--json"]
    done = two("commands.main", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["task"] == "detect" and done.stdout.count('"task"') == 1
    assert run_folder.read(out)["state"] == "done"
    assert [line["epoch"] for line in run_folder.progress(out)] == [1, 2]
    assert Pipeline.open(out).detector.spec.task == "detect"


def test_a_batch_that_cannot_be_shared_is_refused(data: Path, tmp_path: Path) -> None:
    words = ["ml", "train", "detect", "--data", data, "--out", tmp_path / "run", "--size", 64, "--batch", 7]
    done = two("commands.main", *words)
    assert done.returncode != 0 and "share evenly" in done.stderr and not (tmp_path / "run").exists()
