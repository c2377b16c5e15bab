"""EchoNet-Dynamic's form comes in: frames, outlines, EF, ED and ES; what does not hold together leaves nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from ml.clips import clips_of, outline
from ml.data import BadFolder, load
from ml.imports import Choices, import_folder
from ml.outlines import area_of
from ml.samples import picture
from ml.ventricle import filled
from tests.small_hearts import FRAMES, Small, echonet


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Small]]:
    found = tmp_path_factory.mktemp("echonet")
    hearts = echonet(found / "source", 2, 1, 1)
    import_folder(found / "source", found / "data", "small", Choices())
    return found, hearts


def test_frames_outlines_and_ef_come_in(place: tuple[Path, list[Small]]) -> None:
    folder = load(place[0] / "data", ("train", "tune", "test"))
    clips = {clip.items[0].split: clip for clip in clips_of(folder.items)}
    assert [len(folder.of(split)) for split in ("train", "tune", "test")] == [4, 2, FRAMES]  # only test comes whole
    small, clip = place[1][-1], clips["test"]
    assert clip.ef_percent == pytest.approx(small.ef_percent, abs=0.01) and clip.mm_per_px is None
    assert (clip.ends("ED"), clip.ends("ES")) == ((small.ends[0],), (small.ends[1],)) and clip.frame_ms == 40
    for frame in small.ends:
        item = clip.items[frame]
        drawn = outline(item)
        assert area_of(drawn) == pytest.approx(np.pi / 2 * small.half[frame] * small.long[frame], rel=0.03)
        mask, grey = filled(drawn, item.height, item.width), picture(item).mean(axis=2)
        assert grey[mask == 1].mean() < 40 and grey[mask == 0].mean() > 115
    assert not outline(clip.items[0]) and len({one.items[0].group for one in clips.values()}) == 3


def test_names_of_the_source_do_not_come_in(place: tuple[Path, list[Small]]) -> None:
    assert "0X0" not in (place[0] / "data" / "annotations.json").read_text()


def test_outlines_survive_another_import(place: tuple[Path, list[Small]], tmp_path: Path) -> None:
    import_folder(place[0] / "data", tmp_path / "again", "small", Choices())
    ours, theirs = (load(path, ("test",)).items for path in (place[0] / "data", tmp_path / "again"))
    assert [outline(item) for item in ours] == [outline(item) for item in theirs]
    assert [item.facts for item in ours] == [item.facts for item in theirs]
    assert [load(path).models_stay for path in (place[0] / "data", tmp_path / "again")] == [True, True]


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("FileList.csv", "TEST", "OTHER", "not train, tune or test"),
        ("FileList.csv", "0X000000000000,", "0X00000000000F,", "video is absent"),
        ("FileList.csv", "0X000000000000,", "../0X000000000000,", "video is absent"),
        ("FileList.csv", "FPS", "Rate", "no column FPS"),
        ("VolumeTracings.csv", ",9\r\n", ",900\r\n", "a frame was traced that the clip does not have"),
        ("VolumeTracings.csv", "Frame", "Frames", "no column Frame"),
        ("VolumeTracings.csv", ",3\r\n", ",three\r\n", "not a number"),
    ],
)
def test_what_does_not_hold_together(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    echonet(tmp_path / "source", 1, 1, 1)
    spoilt = tmp_path / "source" / file
    text = spoilt.read_bytes().decode()
    assert old in text
    spoilt.write_bytes(text.replace(old, new).encode())
    with pytest.raises(BadFolder, match=words):
        import_folder(tmp_path / "source", tmp_path / "out", "x", Choices())
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_video_that_does_not_decode(tmp_path: Path) -> None:
    echonet(tmp_path / "source", 1, 1, 1)
    path = next((tmp_path / "source" / "Videos").iterdir())
    for spoilt in (b"", b"RIFF" + bytes(200), path.read_bytes()[:300]):
        path.write_bytes(spoilt)
        with pytest.raises(BadFolder, match=r"does not decode|no frames"):
            import_folder(tmp_path / "source", tmp_path / "out", "x", Choices())


@pytest.mark.parametrize("segmentation", [[[1, 2, 3]], [["a", 1, 2, 3, 4, 5]], [[1, 2, 3, 4, 5, float("nan")]], [True]])
def test_broken_outlines_are_refused(place: tuple[Path, list[Small]], tmp_path: Path, segmentation: object) -> None:
    document = json.loads((place[0] / "data" / "annotations.json").read_text())
    document["annotations"][0]["segmentation"] = segmentation
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    with pytest.raises(BadFolder, match="segmentation"):
        load(tmp_path, ("train",))
