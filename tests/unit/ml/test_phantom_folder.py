"""Generated data folders: read back by the reader of data folders, split by patient, boxes on the lesions."""

from pathlib import Path

import pytest

from ml.data import BadFolder
from ml.images import read
from ml.phantom_folder import CLASSES, cine, make


def test_a_folder_is_whole_and_the_same_again(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "liver", 48, 3)
    assert len(folder.items) == 48
    assert folder.categories == CLASSES
    assert {item.split for item in folder.items} == {"train", "tune", "test"}
    splits: dict[str, set[str]] = {}
    for item in folder.items:
        splits.setdefault(item.patient, set()).add(item.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {box.category for item in folder.items for box in item.boxes} == set(CLASSES)
    assert any(not item.boxes for item in folder.items)
    assert make(tmp_path / "b", "liver", 48, 3).hash == folder.hash
    cyst = next(item for item in folder.items if item.boxes and item.boxes[0].category == "cyst")
    (box,), rgb = cyst.boxes, read(cyst.path)
    x, y = int(box.x + box.width / 2), int(box.y + box.height / 2)
    reach = int(max(box.width, box.height) * 0.7)
    around = rgb[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
    assert rgb[y - 3 : y + 4, x - 3 : x + 4].mean() < around.mean()  # a cyst is dark in its middle


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="liver and breast"):
        make(tmp_path / "a", "heart", 50, 0)
    with pytest.raises(BadFolder, match="At least"):
        make(tmp_path / "a", "liver", 5, 0)
    (tmp_path / "a").mkdir()
    with pytest.raises(BadFolder, match="exists"):
        make(tmp_path / "a", "breast", 48, 0)


def test_a_cine_has_a_box_a_frame() -> None:
    found = cine("liver", 1, 6, "LIV-HCC")
    assert found.frames.shape[0] == len(found.boxes) == 6
    assert found.label == "non-cyst"
    assert cine("liver", 1, 2, "").boxes == (None, None)
