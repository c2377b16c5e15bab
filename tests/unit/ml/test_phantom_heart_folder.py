"""Generated hearts as a data folder: split by patient, borders on every frame, the beat's ends and EF beside them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ml import phantom_heart_folder
from ml.clips import clips_of, outline
from ml.data import BadFolder
from ml.outlines import area_of
from ml.phantom_heart_folder import FRAME_MS, HeartClip, hearts, make
from ml.samples import picture
from ml.ventricle import filled

FRAMES = 15


@pytest.fixture(scope="module")
def clips() -> list[HeartClip]:
    return list(hearts(3, 0, FRAMES))


def test_the_same_seed_gives_the_same_heart(clips: list[HeartClip]) -> None:
    again, other = next(hearts(3, 0, FRAMES)), next(hearts(3, 1, FRAMES))
    assert (again.frames == clips[0].frames).all() and again.outlines == clips[0].outlines
    assert other.ef_percent != clips[0].ef_percent and (other.frames[0] != clips[0].frames[0]).any()
    assert clips[0].ef_percent == clips[1].ef_percent and 15 < clips[0].ef_percent < 75
    for clip in clips:
        volumes = [area_of(drawn) * clip.mm_per_px**2 for drawn in clip.outlines]
        assert np.corrcoef(volumes, clip.volumes_ml)[0, 1] > 0.99


def test_a_folder_is_whole_and_the_same_again(
    clips: list[HeartClip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(seed: int, patient: int) -> Iterator[HeartClip]:
        """Quick: every patient has the same heart, a grey step brighter."""
        yield from (HeartClip(**{**vars(clip), "frames": clip.frames + np.uint8(patient)}) for clip in clips)

    monkeypatch.setattr(phantom_heart_folder, "hearts", shifted)
    folder = make(tmp_path / "a", 12, 3)
    assert make(tmp_path / "b", 12, 3).hash == folder.hash
    assert len(folder.items) == 12 * FRAMES and folder.categories == ("LV",)
    splits: dict[str, set[str]] = {}
    for item in folder.items:
        splits.setdefault(item.patient, set()).add(item.split)
    assert len(splits) == 6 and all(len(found) == 1 for found in splits.values())
    assert {item.split for item in folder.items} == {"train", "tune", "test"}
    clip = next(one for one in clips_of(folder.items) if one.items[0].facts["view"] == "a4c")
    assert (clip.ends("ED")[0], clip.ends("ES")[0]) == clips[0].ends[0]
    assert clip.ef_percent == pytest.approx(clips[0].ef_percent, abs=0.001) and clip.frame_ms == FRAME_MS
    grey, mask = picture(clip.items[0]).mean(axis=2), filled(outline(clip.items[0]), 160, 160)
    assert grey[mask == 1].mean() < 30


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    for count in (5, 11, 13):
        with pytest.raises(BadFolder, match="even number from 12"):
            make(tmp_path / "a", count, 0)
    (tmp_path / "a").mkdir()
    with pytest.raises(BadFolder, match="exists"):
        make(tmp_path / "a", 12, 0)
