"""CAMUS as NIfTI: patientNNNN/ with a half sequence of two views, a mask of every frame, and what Info_VIEW.cfg tells.

Apical four- and two-chamber clips from end diastole to end systole of 500 patients, traced on every frame: 1 in a mask is
the cavity of the left ventricle (Leclerc et al., IEEE Trans Med Imaging 38:2198 (2019)). Pixels may be taller than wide:
pictures are brought to square ones. The set is not ours and comes under its own agreement:
what is trained on it is not passed on."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ml import nifti
from ml.clips import PHASES
from ml.data import BadFolder, inside
from ml.import_clips import MOST_FRAMES, Grey, Source, anonymous, number_of, rows_of_clip
from ml.import_sources import Row
from ml.outlines import Outline

VIEWS: Final = {"4CH": "a4c", "2CH": "a2c"}
CAVITY: Final = 1
MOST_SIDE: Final = 4096
SPLITS: Final = {"training": "train", "validation": "tune", "testing": "test"}
_PATIENT: Final = re.compile(r"patient[0-9]{1,6}", re.ASCII)


def fits(source: Path) -> bool:
    """Whether a folder has this form."""
    return next(_patients(source), None) is not None


def rows_of(source: Path, place: Path) -> list[Row]:
    """Every frame of every view, written into `place`. Raises BadFolder."""
    told = _splits(source)
    rows: list[Row] = []
    for folder in _patients(source):
        for view in VIEWS:
            if (folder / f"Info_{view}.cfg").is_file():
                rows += rows_of_clip(_clip(source, folder, view, told.get(folder.name, "")), place)
    return rows


def _patients(source: Path) -> Iterator[Path]:
    """The patients' folders, in the set's root or its database_nifti."""
    for home in (source, source / "database_nifti"):
        for folder in sorted(home.iterdir()) if home.is_dir() else ():
            if _PATIENT.fullmatch(folder.name) and any((folder / f"Info_{view}.cfg").is_file() for view in VIEWS):
                yield folder


def _splits(source: Path) -> dict[str, str]:
    """The published parts, where database_split/subgroup_*.txt lists them."""
    found: dict[str, str] = {}
    for word, split in SPLITS.items():
        path = source / "database_split" / f"subgroup_{word}.txt"
        if path.is_file():
            found |= dict.fromkeys(path.read_text("utf-8", errors="replace").split(), split)
    return found


def _clip(source: Path, folder: Path, view: str, split: str) -> Source:
    at = f"{folder.name} {view}"
    told = _told(folder / f"Info_{view}.cfg", at)
    pictures, masks = (_stack(source, folder, f"{folder.name}_{view}_half_sequence{end}", at) for end in ("", "_gt"))
    if pictures.pictures.shape != masks.pictures.shape or len(pictures.pictures) > MOST_FRAMES:
        raise BadFolder(f"{at}: its masks are not of its pictures, or it is too long.")
    scale = max(pictures.mm_x, pictures.mm_y)
    rows, columns = pictures.pictures.shape[1:]
    size = (round(columns * pictures.mm_x / scale), round(rows * pictures.mm_y / scale))
    if not all(1 <= side <= MOST_SIDE for side in (*size, rows, columns)):
        raise BadFolder(f"{at}: its pictures are too large.")
    greys = [np.clip(one, 0, 255).astype(np.uint8) for one in pictures.pictures]
    frames: list[Grey] = [np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA), np.uint8) for one in greys]
    traced = {number: _outline(mask == CAVITY, size, at) for number, mask in enumerate(masks.pictures)}
    phases = {int(number_of(told[phase], at)) - 1: phase for phase in PHASES if phase in told}
    facts = {"view": VIEWS[view], "mm_per_px": f"{scale:.5f}"}
    if "EF" in told:
        facts["ef_percent"] = f"{number_of(told['EF'], at):.3f}"
    if "FrameRate" in told and (rate := number_of(told["FrameRate"], at)) > 0:
        facts["frame_ms"] = f"{1000 / rate:.4f}"
    return Source(f"{at}", frames, traced, split, True, facts, anonymous(folder.name), phases)


def _told(path: Path, at: str) -> dict[str, str]:
    """`key: value` lines."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFolder(f"{at}: its Info file cannot be read.") from error
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs if value.strip()}


def _stack(source: Path, folder: Path, name: str, at: str) -> nifti.Stack:
    for end in (".nii.gz", ".nii"):
        path = inside(source, (folder / f"{name}{end}").relative_to(source).as_posix())
        if path is not None:
            try:
                return nifti.read(path)
            except nifti.BadNifti as error:
                raise BadFolder(f"{at}: {error}") from error
    raise BadFolder(f"{at}: its half sequence is absent, or lies outside the folder.")


def _outline(mask: NDArray[np.bool_], size: tuple[int, int], at: str) -> Outline:
    """The border of the largest part, in square pixels."""
    rows, columns = mask.shape
    large = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)  # its border runs within a quarter pixel
    rings: Any = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    if not rings:
        raise BadFolder(f"{at}: a mask has no left ventricle.")
    ring = max(rings, key=cv2.contourArea)[:, 0].astype(np.float64)
    points = (ring + 0.5) / 2 * (size[0] / columns, size[1] / rows)
    return tuple(float(value) for value in points.ravel())
