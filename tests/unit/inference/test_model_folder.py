"""What a model's folder says is read strictly: names, digests and sizes; what does not hold together is refused in a sentence."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.errors import Refused
from core.inference import folder
from tests.modelled import zipped
from tests.tiny_models import bright_cells, save, save_liver, save_pipeline
from web.pages.models import figures_of


def test_a_pipeline_says_what_its_parts_say(tmp_path: Path) -> None:
    told = folder.read(folder.from_folder(save_liver(tmp_path)))
    assert (told.name, told.version, told.task, told.classes) == ("tiny-liver", 1, "detect", ["cyst", "non-cyst"])
    assert told.is_shippable and told.licence == "Apache-2.0" and told.card.startswith("# tiny-liver")
    assert figures_of(told.metrics) == [("tune.f1", 0.5), ("tune.map50", 0.25)]
    assert sorted(told.files) == [
        "card.md", "classify/model.json", "classify/model.onnx", "detect/model.json", "detect/model.onnx", "metrics.json",
        "pipeline.json",
    ]  # fmt: skip
    again = folder.read(folder.from_zip(io.BytesIO(zipped(tmp_path))))
    assert (again.sha256, again.files) == (told.sha256, told.files)


def test_one_part_that_may_not_be_passed_on_holds_the_whole_back(tmp_path: Path) -> None:
    save_pipeline(tmp_path)
    path = tmp_path / "classify" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shippable": False, "licence": "AGPL-3.0"}))
    told = folder.read(folder.from_folder(tmp_path))
    assert not told.is_shippable and told.licence == "Apache-2.0, AGPL-3.0"


def test_other_bytes_are_another_model(tmp_path: Path) -> None:
    one = folder.read(folder.from_folder(save_pipeline(tmp_path / "a")))
    assert one.sha256 != folder.read(folder.from_folder(save_pipeline(tmp_path / "b", dark=True))).sha256
    assert one.sha256 == folder.read(folder.from_folder(save_pipeline(tmp_path / "c"))).sha256


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 3}, "not JSON"),
        ({"name": "a/b"}, "not JSON"),
        ({"version": "1"}, "not JSON"),
        ({"task": "paint"}, "not JSON"),
        ({"files": {}}, "not JSON"),
        ({"files": {"model.onnx": "0" * 64}}, "missing, or is not the one"),
        ({"files": {"other.onnx": "0" * 64}}, "missing, or is not the one"),
        ({"intended_use": "a\0b"}, "not JSON"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    save(tmp_path, bright_cells(64, 16), side=64, task="detect", decode="fcos", classes=["a"])
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Refused, match=sentence):
        folder.read(folder.from_folder(tmp_path))


def test_archives_from_outside_are_looked_at_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(*names: str, content: bytes = b"{}") -> io.BytesIO:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, content)
        return io.BytesIO(out.getvalue())

    for name in ("../model.json", "/model.json", "a/b/model.json", "a\\model.onnx", ".hidden.onnx"):
        with pytest.raises(Refused, match="not allowed"):
            folder.from_zip(packed(name))
    assert folder.from_zip(packed("notes.txt", "resume.pt")) == {}
    with pytest.raises(Refused, match="at most 40"):
        folder.from_zip(packed(*(f"m{number}.onnx" for number in range(41))))
    monkeypatch.setattr(folder, "MOST_BYTES", 1000)
    with pytest.raises(Refused, match="at most 40"):
        folder.from_zip(packed("model.onnx", content=bytes(2000)))
    with pytest.raises(Refused, match="ZIP"):
        folder.from_zip(io.BytesIO(b"PK\x03\x04 nothing"))
