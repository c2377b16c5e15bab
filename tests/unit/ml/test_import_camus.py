"""CAMUS' form comes in: half sequences as NIfTI, masks as outlines, tall pixels as square ones."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml import nifti
from ml.clips import clips_of, outline
from ml.data import BadFolder, load
from ml.imports import Choices, import_folder
from ml.outlines import area_of
from ml.samples import picture
from ml.ventricle import filled
from tests.small_hearts import frames, heart

SHOWN = 7  # ED to ES


def written(stack: NDArray[np.uint8], mm: tuple[float, float]) -> bytes:
    """One NIfTI-1 file of (n, rows, columns)."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, stack.shape[2], stack.shape[1], stack.shape[0], 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 2, 8)
    struct.pack_into("<8f", head, 76, 1, *mm, 1, 0, 0, 0, 0)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return bytes(head) + stack.tobytes()


def camus(place: Path, patients: int = 3) -> None:
    """Pixels twice as wide as tall: every row stands twice."""
    for number in range(1, patients + 1):
        folder = place / "database_nifti" / f"patient{number:04d}"
        folder.mkdir(parents=True)
        small = heart(number)
        first, last = small.ends
        pictures = np.stack([one[..., 0] for one in frames(small, number)[first : last + 1]])
        masks = (pictures < 75).astype(np.uint8)
        for view in ("2CH", "4CH"):
            for end, stack in (("", pictures), ("_gt", masks)):
                content = written(np.repeat(stack, 2, axis=1), (1.0, 0.5))
                path = folder / f"patient{number:04d}_{view}_half_sequence{end}.nii.gz"
                path.write_bytes(gzip.compress(content))
            told = f"ED: 1\nES: {SHOWN}\nNbFrame: {SHOWN}\nSex: F\nEF: {small.ef_percent:.1f}\nFrameRate: 50\n"
            (folder / f"Info_{view}.cfg").write_text(told)
    (place / "database_split").mkdir()
    (place / "database_split" / "subgroup_testing.txt").write_text("patient0003\n")


def test_half_sequences_come_in(tmp_path: Path) -> None:
    camus(tmp_path / "source")
    made = import_folder(tmp_path / "source", tmp_path / "data", "camus", Choices())
    folder = load(tmp_path / "data", ("train", "tune", "test"))
    assert (made.units, made.images, made.boxes) == (3, 6 * SHOWN, 6 * SHOWN) and len(folder.of("test")) == 2 * SHOWN
    clips = clips_of(folder.of("test"))
    assert {clip.items[0].facts["view"] for clip in clips} == {"a4c", "a2c"}
    small, clip = heart(3), clips[0]
    assert (clip.ends("ED"), clip.ends("ES"), clip.mm_per_px, clip.frame_ms) == ((0,), (SHOWN - 1,), 1, 20)
    assert clip.ef_percent == pytest.approx(small.ef_percent, abs=0.1)
    item = clip.items[0]
    assert (item.width, item.height) == (64, 64)
    area = np.pi / 2 * small.half[small.ends[0]] * small.long[small.ends[0]]
    assert area_of(outline(item)) == pytest.approx(area, rel=0.05)
    grey, mask = picture(item).mean(axis=2), filled(outline(item), 64, 64)
    assert grey[mask == 1].mean() < 40 and grey[mask == 0].mean() > 110
    assert "patient0" not in (tmp_path / "data" / "annotations.json").read_text()


def test_what_is_no_nifti_is_refused(tmp_path: Path) -> None:
    stack = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = written(stack, (0.3, 0.2))
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    found = nifti.read(path)
    assert (found.pictures == stack).all() and (found.mm_x, found.mm_y) == pytest.approx((0.3, 0.2))
    for spoilt in (b"", content[:-1], content[:100], b"\0" * 400, content[:70] + b"\x80\0" + content[72:]):
        path.write_bytes(spoilt)
        with pytest.raises(nifti.BadNifti):
            nifti.read(path)
    zipped = tmp_path / "a.nii.gz"
    zipped.write_bytes(gzip.compress(content)[:60])
    with pytest.raises(nifti.BadNifti):
        nifti.read(zipped)


def test_masks_of_another_size_are_refused(tmp_path: Path) -> None:
    camus(tmp_path / "source", 1)
    path = next((tmp_path / "source").rglob("*4CH_half_sequence_gt.nii.gz"))
    path.write_bytes(gzip.compress(written(np.ones((2, 8, 8), np.uint8), (1, 1))))
    with pytest.raises(BadFolder, match="not of its pictures"):
        import_folder(tmp_path / "source", tmp_path / "out", "x", Choices())
