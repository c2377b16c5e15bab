"""What the imports of heart clips share: a clip's frames as rows, numbers read, outlines kept inside their picture."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.clips import PHASES, VENTRICLE
from ml.data import BadFolder
from ml.import_sources import Object, Row
from ml.outlines import Outline, area_of, box_of

Grey = NDArray[np.uint8]
MOST_FRAMES: Final = 5000


@dataclass(frozen=True)
class Source:
    """One clip as its set gives it: frames (rows, columns) grey, and the outlines that were traced, by place from 0.

    `keep_all` is False where only the traced frames are wanted: training looks at no other. `patient` is "" if not told.
    `phases` says which places are ED and ES; where it is empty the largest traced ventricle is ED and the smallest ES."""

    name: str
    frames: Sequence[Grey]
    outlines: Mapping[int, Outline]
    split: str
    keep_all: bool
    facts: Mapping[str, str]
    patient: str = ""
    phases: Mapping[int, str] = field(default_factory=dict)


def rows_of_clip(clip: Source, place: Path) -> list[Row]:
    """The rows of one clip, its frames written into `place` as PNG.

    Videos and groups are named by digests: names of the source may say who the patient is. Raises BadFolder."""
    if any(not 0 <= number < len(clip.frames) for number in clip.outlines):
        raise BadFolder(f"{clip.name}: a frame was traced that the clip does not have.")
    video = anonymous(clip.name)
    phases = clip.phases or _phases(clip.outlines)
    numbers = range(len(clip.frames)) if clip.keep_all else sorted(clip.outlines)
    rows = []
    for number in numbers:
        path = place / f"{video}-{number + 1}.png"
        if not cv2.imwrite(str(path), clip.frames[number]):
            raise BadFolder(f"{clip.name}: a frame could not be written.")
        facts = {**clip.facts, "video": video, "frame": str(number + 1)}
        facts |= {"phase": phases[number]} if number in phases else {}
        traced = _object(clip, number)
        group = "" if clip.patient else f"video-{video}"
        name = f"{clip.name} frame {number + 1}"
        rows.append(Row(path, name, "", clip.patient, group, clip.split, traced, facts))
    return rows


def anonymous(name: str) -> str:
    """The same word for the same name, which does not say it."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def number_of(word: str, at: str) -> float:
    """A number of a cell. Raises BadFolder."""
    try:
        value = float(word)
    except ValueError as error:
        raise BadFolder(f"{at}: a cell is not a number.") from error
    if not -1e9 < value < 1e9:
        raise BadFolder(f"{at}: a cell is no sensible number.")
    return value


def _object(clip: Source, number: int) -> tuple[Object, ...]:
    outline = clip.outlines.get(number, ())
    if not outline:
        return ()
    rows, columns = clip.frames[number].shape
    points = np.clip(np.reshape(outline, (-1, 2)), 0, (columns, rows))
    kept = tuple(round(float(value), 3) for value in points.ravel())
    if not area_of(kept) > 0:
        raise BadFolder(f"{clip.name}: a traced ventricle holds no area.")
    return (Object(box_of(kept), VENTRICLE, outline=kept),)


def _phases(outlines: Mapping[int, Outline]) -> dict[int, str]:
    if len(outlines) < 2:
        return {}
    ordered = sorted(outlines, key=lambda number: area_of(outlines[number]))
    return dict(zip((ordered[-1], ordered[0]), PHASES, strict=True))
