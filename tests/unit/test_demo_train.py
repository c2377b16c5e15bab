"""The demo's training: commands that refuse are told by their sentence, and what is registered is the run with its version."""

import io
import json
from pathlib import Path

import pytest

from commands.demo_train import FIGURES, command, packed
from core.errors import Unavailable
from core.inference import folder
from ml.judge.detect_run import LEVELS
from tests.tiny_models import bright_cells, save


def test_what_a_command_refuses_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        command("evaluate", "--run", str(tmp_path / "none"), "--data", str(tmp_path), "--json")
    assert refused.value.message == "./run ml evaluate: run.json is absent or cannot be read."


def test_what_is_told_of_a_judgement_is_in_it() -> None:
    assert set(FIGURES) <= set(LEVELS["box"])


def test_a_run_is_packed_as_the_next_version(tmp_path: Path) -> None:
    run = save(tmp_path / "run", bright_cells(64, 16), side=64, task="detect", decode="fcos", classes=["cyst"])
    (run / "metrics.json").write_text('{"f1": 0.5}')
    (run / "resume.pt").write_bytes(b"not of the model")
    told = json.loads((run / "model.json").read_text()) | {"version": 7}
    read = folder.read(folder.from_zip(io.BytesIO(packed(run, told))))
    assert (read.version, read.metrics, set(read.files)) == (
        7,
        {"f1": 0.5},
        {"model.json", "model.onnx", "metrics.json"},
    )
