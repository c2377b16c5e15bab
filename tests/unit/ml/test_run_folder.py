"""A run folder: begun once, taken up after a kill, cancelled by a file, never mixed with another run."""

import json
from pathlib import Path

import pytest

from ml.data import Folder, Item
from ml.run_folder import BadRun, Cancelled, Run, begin, progress, read, seen

FOLDER = Folder(Path("x"), "liver", "2", "f" * 64, (), ())


def start(path: Path, **other: int) -> Run:
    return begin(path, "classify", {"name": "cnn10", "sizes": (1, 2)}, other.get("seed", 0), FOLDER, ("train", "tune"))


def test_a_run_is_begun_and_ends(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    assert read(run.path)["state"] == "running"
    run.keep(lambda path: path.write_bytes(b"weights"))
    run.end("done")
    told = read(run.path)
    assert told["state"] == "done" and told["seconds"] >= 0 and told["data"]["version"] == "2" and told["code"]
    assert not run.resume.exists() and told["environment"]["python"]
    with pytest.raises(BadRun, match="done already"):
        start(tmp_path / "run")


def test_a_killed_run_is_taken_up_and_loses_what_came_after_its_last_epoch(tmp_path: Path) -> None:
    run = start(tmp_path)
    for epoch in (1, 2, 3):
        run.log({"epoch": epoch, "loss": 0.5})
    with (tmp_path / "progress.jsonl").open("a") as handle:
        handle.write('{"epoch": 4, "lo')
    again = start(tmp_path)
    again.rewind(2)
    again.log({"epoch": 3})
    assert [line["epoch"] for line in progress(tmp_path)] == [1, 2, 3]


def test_another_run_is_not_taken_up(tmp_path: Path) -> None:
    start(tmp_path / "run")
    with pytest.raises(BadRun, match="another run"):
        start(tmp_path / "run", seed=1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(BadRun, match="not empty"):
        start(tmp_path / "other")


def test_a_file_asks_to_stop(tmp_path: Path) -> None:
    run = start(tmp_path)
    run.stop_if_asked()
    (tmp_path / "cancel").touch()
    with pytest.raises(Cancelled):
        run.stop_if_asked()
    run.end("cancelled")
    start(tmp_path).stop_if_asked()


def test_what_was_seen_adds_up(tmp_path: Path) -> None:
    run = start(tmp_path)
    assert seen(tmp_path) == {"images": set(), "pixels": set(), "units": set()}
    run.saw([Item(Path("x"), "1.png", "a" * 64, 9, 9, "P1", "g1", "train", "")], ["d" * 64])
    run.saw([Item(Path("x"), "2.png", "b" * 64, 9, 9, "", "g2", "tune", "")])
    found = seen(tmp_path)
    assert found["images"] == {"a" * 64, "b" * 64} and found["pixels"] == {"d" * 64}
    assert found["units"] == {"patient:/P1", "group:g1", "group:g2"}
    (tmp_path / "seen.json").write_text(json.dumps({"images": [1]}))
    with pytest.raises(BadRun):
        seen(tmp_path)
