"""The dataset folder: what is written is read, and what is wrong with it is found."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.manifest import BadManifest, File, coco, digest_of, load, parse, to_json, verify, version_hash, write_manifest

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
FILES = st.lists(st.builds(lambda h, n: File(f"images/{h}.png", h, n, "image"), HEX, st.integers(0, 2**40)), max_size=6)


def image(number: int, file_name: str, patient: str = "R1", split: str = "train") -> dict[str, Any]:
    place = {"id": number, "file_name": file_name, "width": 100, "height": 80, "split": split, "patient": patient}
    return place | {"frame": 0, "sop_instance_uid": "2.25.1", "site": "S1", "mm_per_px": 0.2}


CATEGORIES = [{"id": 1, "name": "cyst"}]


def dataset(folder: Path, tune_patient: str = "R2") -> None:
    (folder / "coco").mkdir(parents=True)
    (folder / "images").mkdir()
    for n, (split, patient) in enumerate((("train", "R1"), ("tune", tune_patient))):
        data = f"picture {n}".encode()
        (folder / "a").write_bytes(data)
        sha256, _ = digest_of(folder / "a")
        (folder / "a").rename(folder / "images" / f"{sha256}.png")
        boxes = [{"id": 1, "image_id": n, "category_id": 1, "bbox": [1, 2, 30, 40]}]
        document = coco([image(n, f"{sha256}.png", patient, split)], boxes, CATEGORIES, {"version": "1"})
        (folder / "coco" / f"{split}.json").write_text(json.dumps(document))
    (folder / "CARD.md").write_text("# Card\n")


def test_a_written_folder_reads_back_and_verifies(tmp_path: Path) -> None:
    dataset(tmp_path)
    written = write_manifest(tmp_path, "liver", 2)
    assert load(tmp_path) == written and verify(tmp_path) == []
    assert written.hash == version_hash(written.files) and len(written.files) == 5
    assert write_manifest(tmp_path, "liver", 2) == written


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "CARD.md").write_text("# Other\n"), "CARD.md is not what"),
        (lambda f: (f / "CARD.md").unlink(), "CARD.md is missing"),
        (lambda f: (f / "images" / "new.png").write_bytes(b"x"), "not in the manifest"),
        (lambda f: (f / "manifest.json").write_text("{"), "no readable manifest"),
        (lambda f: (f / "manifest.json").unlink(), "no readable manifest"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, spoil: Callable[[Path], object], words: str) -> None:
    dataset(tmp_path)
    write_manifest(tmp_path, "liver", 1)
    spoil(tmp_path)
    problems = verify(tmp_path)
    assert len(problems) == 1 and words in problems[0]


def test_a_patient_in_two_splits_is_found(tmp_path: Path) -> None:
    dataset(tmp_path, tune_patient="R1")
    write_manifest(tmp_path, "liver", 1)
    assert verify(tmp_path) == ["A patient stands in more than one split."]


def test_a_coco_file_of_another_kind_is_found(tmp_path: Path) -> None:
    dataset(tmp_path)
    (tmp_path / "coco" / "tune.json").write_text("[]")
    write_manifest(tmp_path, "liver", 1)
    assert "coco/tune.json is not a COCO file of this layout." in verify(tmp_path)


def test_a_file_outside_the_layout_is_refused(tmp_path: Path) -> None:
    dataset(tmp_path)
    (tmp_path / "names.csv").write_text("x")
    with pytest.raises(BadManifest):
        write_manifest(tmp_path, "liver", 1)


@given(FILES, st.randoms())
def test_the_hash_knows_no_order_and_every_change(files: list[File], random: Random) -> None:
    shuffled = list(files)
    random.shuffle(shuffled)
    assert version_hash(files) == version_hash(shuffled)
    assert version_hash([*files, File("CARD.md", "0" * 64, 1, "card")]) != version_hash(files)


@pytest.mark.parametrize(
    "change",
    [
        {"path": "images/../x"},
        {"path": 3},
        {"sha256": "A" * 64},
        {"size": -1},
        {"size": True},
        {"kind": "script"},
        {"path": "images/" + "1" * 64 + ".png"},
    ],
)
def test_a_bad_entry_is_refused(change: dict[str, Any]) -> None:
    good = {"path": "images/" + "0" * 64 + ".png", "sha256": "0" * 64, "size": 1, "kind": "image"}
    document = {"name": "liver", "version": 1, "files": [good], "hash": version_hash([File(**good)])}
    assert json.loads(to_json(parse(document))) == document
    with pytest.raises(BadManifest):
        parse(document | {"files": [good | change]})


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_any_json_is_a_manifest_or_refused(document: object) -> None:
    with pytest.raises(BadManifest):
        parse(document)


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [-1, 0, 5, 5], [90, 0, 11, 5], [0, 70, 5, 11]])
def test_a_box_outside_its_image_is_refused(box: list[int]) -> None:
    with pytest.raises(BadManifest):
        coco([image(1, "x.png")], [{"id": 1, "image_id": 1, "category_id": 1, "bbox": box}], CATEGORIES, {})


def test_coco_refuses_what_does_not_belong_together() -> None:
    with pytest.raises(BadManifest, match="same id"):
        coco([image(1, "x.png"), image(1, "y.png")], [], CATEGORIES, {})
    with pytest.raises(BadManifest, match="one split"):
        coco([image(1, "x.png"), image(2, "y.png", split="test")], [], CATEGORIES, {})
    with pytest.raises(BadManifest, match="lacks patient"):
        coco([{k: v for k, v in image(1, "x.png").items() if k != "patient"}], [], CATEGORIES, {})
    with pytest.raises(BadManifest, match="belongs to no"):
        coco([image(1, "x.png")], [{"id": 1, "image_id": 2, "category_id": 1, "bbox": [0, 0, 1, 1]}], CATEGORIES, {})
