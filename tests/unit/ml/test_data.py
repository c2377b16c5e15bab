"""The data folder: what is right is read whole, and nothing from outside crashes it or leads out of it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data import BadFolder, load, splits_of
from ml.manifest import write_manifest


def image(number: int, **more: Any) -> dict[str, Any]:
    entry = {"id": number, "file_name": f"images/{number}.png", "width": 100, "height": 80, "split": "train"}
    return entry | {"patient_id": f"P{number}", "label": "benign"} | more


def document() -> dict[str, Any]:
    boxes = [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 30.5, 40], "lesion_id": "L1", "area": 9}]
    images = [
        image(1, vendor="Maker", mm_per_px=0.2, frame=3),
        image(2, split="tune", label=None),
        image(3, split="test"),
    ]
    return {"info": {"made": "here"}, "images": images, "annotations": boxes, "categories": [{"id": 7, "name": "cyst"}]}


def folder(place: Path, content: Any) -> Path:
    (place / "images").mkdir(parents=True, exist_ok=True)
    for number in (1, 2, 3):
        (place / "images" / f"{number}.png").write_bytes(b"picture %d" % number)
    (place / "annotations.json").write_text(json.dumps(content))
    return place


def test_a_folder_is_read(tmp_path: Path) -> None:
    found = load(folder(tmp_path / "set", document()))
    first, second = found.items
    assert (found.name, found.version, found.categories, found.labels) == ("set", "1", ("cyst",), ("benign",))
    assert first.sha256 == hashlib.sha256(b"picture 1").hexdigest() and first.path.is_file()
    assert (first.boxes[0].width, first.boxes[0].category, first.boxes[0].lesion) == (30.5, "cyst", "L1")
    assert first.facts == {"vendor": "Maker", "mm_per_px": "0.2", "frame": "3"}
    assert (second.split, second.label, second.boxes, second.unit) == ("tune", "", (), "patient:/P2")
    assert [item.split for item in load(tmp_path / "set", ("test",)).items] == ["test"]
    assert splits_of(tmp_path / "set") == ("train", "tune", "test")


def test_the_unit_is_the_patient_at_a_site_then_the_group_then_the_image(tmp_path: Path) -> None:
    content = document()
    content["info"]["each_image_alone"] = True
    content["images"][0] |= {"site": "S1", "group": "g"}
    content["images"][1] |= {"patient_id": None, "group": "h"}
    content["images"][2] |= {"patient_id": "", "split": "train"}
    units = [item.unit for item in load(folder(tmp_path, content)).items]
    assert units[:2] == ["patient:S1/P1", "group:h"] and units[2].startswith("group:image-")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d["images"][0].update(file_name="../other.png"), "outside"),
        (lambda d: d["images"][0].update(file_name="/etc/passwd"), "outside"),
        (lambda d: d["images"][0].update(file_name="images/link.png"), "outside"),
        (lambda d: d["images"][0].update(file_name="images\\1.png"), "outside"),
        (lambda d: d["images"][0].update(file_name="images/none.png"), "absent"),
        (lambda d: d["images"][0].update(file_name="x" * 5000), "absent"),
        (lambda d: d["images"][0].update(file_name="\ud800.png"), "absent"),
        (lambda d: d["images"][0].update(width=0), "whole pixels"),
        (lambda d: d["images"][0].update(split="valid"), "split"),
        (lambda d: d["images"][0].update(id=2), "same id"),
        (lambda d: d["images"][0].update(file_name="images/2.png"), "same file name"),
        (lambda d: d["images"][0].update(patient_id=None), "neither a patient nor a group"),
        (lambda d: d["images"][1].update(patient_id="P1"), "more than one split"),
        (lambda d: d["images"][1].update(group="g") or d["images"][0].update(group="g"), "more than one split"),
        (lambda d: d["annotations"][0].update(bbox=[0, 0, float("nan"), 1]), "bbox"),
        (lambda d: d["annotations"][0].update(bbox=[0, 0, 10**400, 1]), "bbox"),
        (lambda d: d["annotations"][0].update(bbox=[90, 0, 30, 10]), "leaves its image"),
        (lambda d: d["annotations"][0].update(category_id=9), "no such image or category"),
        (lambda d: d["annotations"][0].update(image_id=9), "no such image or category"),
        (lambda d: d["categories"].append({"id": 8, "name": "cyst"}), "stands twice"),
        (lambda d: d.update(images={}), "not a list"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, spoil: Callable[[dict[str, Any]], object], words: str) -> None:
    (tmp_path / "other.png").write_bytes(b"outside")
    content = document()
    spoil(content)
    place = folder(tmp_path / "set", content)
    (place / "images" / "link.png").symlink_to(tmp_path / "other.png")
    with pytest.raises(BadFolder, match=words):
        load(place)


@pytest.mark.parametrize(
    "files", [lambda p, d: {p: d}, lambda p, d: [{"file": p, "sha256": d}], lambda p, d: [{"path": p, "sha256": d}]]
)
def test_the_manifest_proves_the_files_in_either_shape(tmp_path: Path, files: Callable[[str, str], Any]) -> None:
    place, right = folder(tmp_path, document()), hashlib.sha256(b"picture 1").hexdigest()
    told = {"name": "a", "version": 3, "hash": "f" * 64, "files": files("images/1.png", right)}
    (place / "manifest.json").write_text(json.dumps(told))
    found = load(place)
    assert (found.name, found.version, found.hash) == ("a", "3", "f" * 64)
    for bare in (False, True):
        wrong = files("images/1.png", "sha256:" + "0" * 64)
        (place / "manifest.json").write_text(json.dumps(wrong if bare else {"files": wrong}))
        with pytest.raises(BadFolder, match="is not what manifest"):
            load(place)


def test_a_pulled_dataset_is_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "coco").mkdir()
    (tmp_path / "images").mkdir()
    for number, split in ((1, "train"), (2, "tune")):
        data = b"picture %d" % number
        name = f"{hashlib.sha256(data).hexdigest()}.png"
        (tmp_path / "images" / name).write_bytes(data)
        entry = image(number, file_name=name, split=split, patient=f"R{number}", site="S1")
        del entry["patient_id"]
        box = {"id": 1, "image_id": number, "category_id": 1, "bbox": [1, 2, 3, 4]}
        content = {"images": [entry], "annotations": [box], "categories": [{"id": 1, "name": "cyst"}]}
        (tmp_path / "coco" / f"{split}.json").write_text(json.dumps(content))
    (tmp_path / "CARD.md").write_text("# Card\n")
    written = write_manifest(tmp_path, "liver", 2)
    found = load(tmp_path)
    assert (found.name, found.version, found.hash) == ("liver", "2", written.hash)
    assert [(item.split, item.unit) for item in found.items] == [("train", "patient:S1/R1"), ("tune", "patient:S1/R2")]
    with pytest.raises(BadFolder, match="neither annotations"):
        load(folder(tmp_path / "empty", {}) / "images")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, inner in pairs for place in _places(inner, (*at, key)))]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_document_crashes_the_reader(data: st.DataObject) -> None:
    """One value of a right document, anywhere, becomes any other JSON value."""
    content: Any = document()
    place = data.draw(st.sampled_from(_places(content)))
    value = data.draw(JSON)
    if place:
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
    else:
        content = value
    with TemporaryDirectory() as root:
        try:
            found = load(folder(Path(root), content), ("train", "tune", "test"))
        except BadFolder:
            return
    home = Path(root).resolve()
    assert all(item.path.is_relative_to(home) and item.unit for item in found.items)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\ufeff{}", '{"images": 1' + "0" * 5000 + "}"])
def test_text_that_is_no_document_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(BadFolder):
        load(tmp_path)
