"""Imports: three layouts become the same folder; what does not hold together leaves nothing behind."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.data import BadFolder, load
from ml.import_sources import run_lengths
from ml.imports import Choices, import_folder

BREAST = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "breast"
NAMES = ["image", "masks", "class", "group", "boxes_xyxy", "split", "vendor"]


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30), np.uint8)
    Image.fromarray(pixels).save(path)


def table(place: Path, rows: list[dict[str, str]]) -> Path:
    for number, row in enumerate(rows):
        if not (place / row["image"]).exists():
            picture(place / row["image"], number)
    with (place / "labels.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, NAMES)
        writer.writeheader()
        writer.writerows(rows)
    return place


def row(number: int, label: str = "benign", **more: str) -> dict[str, str]:
    return {"image": f"images/{label}_{number}.png", "class": label, "group": f"g{number}", "split": "train"} | more


def test_masks_and_a_csv(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:9, 10:16] = 255
    source = tmp_path / "source"
    (source / "masks").mkdir(parents=True)
    Image.fromarray(mask).save(source / "masks" / "a.png")
    rows = [
        row(0, masks="masks/a.png", vendor="Maker"),
        row(1, boxes_xyxy="1 2 4 6;5 5 9 9"),
        row(2, "normal", split="val"),
    ]
    made = import_folder(table(source, rows), tmp_path / "out", "breast", Choices())
    found = load(tmp_path / "out")
    assert (made.images, made.units, made.boxes, made.tune_drawn) == (3, 3, 3, False)
    assert not found.models_stay
    assert [(b.x, b.y, b.width, b.height, b.category) for b in found.items[0].boxes] == [(10, 4, 6, 5, "benign")]
    assert [(b.x, b.y, b.width, b.height) for b in found.items[1].boxes] == [(1, 2, 3, 4), (5, 5, 4, 4)]
    assert found.items[2].split == "tune" and found.items[0].facts == {"vendor": "Maker"} and found.hash == made.hash
    annotation = json.loads((tmp_path / "out" / "annotations.json").read_text())["annotations"][0]
    assert annotation["area"] == 30 and sum(annotation["segmentation"]["counts"]) == 600
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())["files"]
    assert all(
        hashlib.sha256((tmp_path / "out" / path).read_bytes()).hexdigest() == digest
        for path, digest in manifest.items()
    )
    again = import_folder(tmp_path / "out", tmp_path / "again", "breast", Choices())
    assert again.counts == made.counts and len(load(tmp_path / "again").items[1].boxes) == 2


def test_a_folder_a_class_needs_to_be_told_that_images_stand_alone(tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / "source" / ("cyst" if number % 2 else "solid") / f"{number}.png", number)
    with pytest.raises(BadFolder, match="12 of 12 images have neither"):
        import_folder(tmp_path / "source", tmp_path / "out", "x", Choices())
    made = import_folder(tmp_path / "source", tmp_path / "out", "x", Choices(each_image_alone=True))
    assert made.tune_drawn and load(tmp_path / "out").labels == ("cyst", "solid") and made.units == 12
    with pytest.raises(BadFolder, match="exists already"):
        import_folder(tmp_path / "source", tmp_path / "out", "x", Choices(each_image_alone=True))


def test_duplicates_of_two_classes_are_listed_and_dropped(tmp_path: Path) -> None:
    rows = [row(0), row(1, "malignant", group="g0"), row(2), row(3, "malignant"), row(4), row(5), row(6, split="tune")]
    source = tmp_path / "source"
    picture(source / rows[2]["image"], 99)
    Image.open(source / rows[2]["image"]).save(source / rows[3]["image"], compress_level=1)
    picture(source / rows[4]["image"], 98)
    Image.open(source / rows[4]["image"]).convert("RGB").save(source / rows[5]["image"])
    kept = import_folder(table(source, rows), tmp_path / "kept", "x", Choices())
    assert len(kept.conflicts) == 2 and kept.dropped == 0 and kept.images == 7
    made = import_folder(source, tmp_path / "out", "x", Choices(drop_conflicts=True))
    assert (made.images, made.dropped) == (3, 4) and made.conflicts == kept.conflicts
    same = [item.unit for item in load(tmp_path / "out").of("train")]
    assert made.duplicates == [["images/benign_4.png", "images/benign_5.png"]] and len(set(same)) == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row(0), row(1, group="g0", split="test")], "more than one split: 1 by group"),
        ([row(0), row(1, image="images/benign_0.png", split="test")], "more than one split"),
        ([row(0), row(1, group="")], "neither a patient nor a group"),
        ([row(0), row(1, split="somewhere")], "not train, tune or test"),
        ([row(0, boxes_xyxy="1 2 3")], "not four numbers"),
        ([row(0, boxes_xyxy="20 2 90 9")], "leaves its image"),
        ([row(0, masks="masks/../../x.png")], "outside the folder"),
        ([], "no image"),
    ],
)
def test_what_does_not_hold_together_leaves_nothing(tmp_path: Path, rows: list[dict[str, str]], words: str) -> None:
    (tmp_path / "source").mkdir()
    source = table(tmp_path / "source", rows)
    with pytest.raises(BadFolder, match=words):
        import_folder(source, tmp_path / "out", "x", Choices())
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    source = table(tmp_path / "source", [row(0), row(1)]) if (tmp_path / "source").mkdir() is None else tmp_path
    whole = (source / "images" / "benign_1.png").read_bytes()
    for spoilt in (whole[: len(whole) // 2], b"", b"BM" + bytes(60), whole[:40] + b"\xff" * 40 + whole[80:]):
        (source / "images" / "benign_1.png").write_bytes(spoilt)
        with pytest.raises(BadFolder, match="not a whole picture"):
            import_folder(source, tmp_path / "out", "x", Choices())


def test_run_lengths_begin_outside() -> None:
    mask = np.array([[True, False], [True, True]])
    assert run_lengths(mask) == {"size": [2, 2], "counts": [0, 2, 1, 1]}


def test_the_breast_set_comes_in_without_its_conflicts(tmp_path: Path) -> None:
    if not BREAST.is_dir():
        pytest.skip("../shared/data is absent: no breast/")
    made = import_folder(BREAST, tmp_path / "out", "breast", Choices(drop_conflicts=True))
    assert (made.images, made.dropped, len(made.conflicts)) == (607, 16, 7)
    assert ["images/benign_433.png", "images/malignant_145.png"] in made.conflicts
