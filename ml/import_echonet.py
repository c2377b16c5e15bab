"""EchoNet-Dynamic as it is given out: FileList.csv, VolumeTracings.csv and Videos/*.avi become rows of frames.

Apical four-chamber clips, 112 x 112, with EF, and 21 lines on the end-diastolic and end-systolic frame: the long axis,
then 20 chords across it (Ouyang et al., Nature 580:252 (2020)). There is no scale, and no patient: every video counts as a
patient of its own, which is what its authors say. The set is not ours and comes under its own agreement:
what is trained on it is not passed on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.dicom.video import library
from core.errors import Held
from ml.data import BadFolder, inside
from ml.import_clips import MOST_FRAMES, Grey, Source, number_of, rows_of_clip
from ml.import_sources import Row, split_of, table
from ml.outlines import Outline

FILES: Final = "FileList.csv"
TRACINGS: Final = "VolumeTracings.csv"
LEAST_LINES: Final = 4  # the long axis and three chords
MOST_SIDE: Final = 4096


def fits(source: Path) -> bool:
    """Whether a folder has this form."""
    return (source / FILES).is_file() and (source / TRACINGS).is_file()


def rows_of(source: Path, place: Path) -> list[Row]:
    """Every frame of test, and the traced ones of train and tune, written into `place`. Raises BadFolder."""
    traced = tracings(source / TRACINGS)
    rows: list[Row] = []
    listed = _lines(source / FILES, ("FileName", "EF", "FPS", "Split"))
    if len({stem(cells["FileName"]) for cells in listed}) != len(listed):
        raise BadFolder(f"{FILES} names a video twice.")
    for number, cells in enumerate(listed, 2):
        at, name = f"line {number} of {FILES}", stem(cells["FileName"])
        split = split_of(cells["Split"], at)
        path = inside(source, f"Videos/{name}.avi")
        if not name or path is None:
            raise BadFolder(f"{at}: its video is absent, or lies outside the folder.")
        keep_all = split not in ("train", "tune")
        if not keep_all and name not in traced:
            continue
        clip = Source(name, frames_of(path, at), traced.get(name, {}), split, keep_all, _facts(cells, at))
        rows += rows_of_clip(clip, place)
    return rows


def tracings(path: Path) -> dict[str, dict[int, Outline]]:
    """The outline of each traced frame (from 0) of each video: down one side of the chords and up the other."""
    lines: dict[str, dict[int, list[list[float]]]] = {}
    columns = ("X1", "Y1", "X2", "Y2", "Frame")
    for number, cells in enumerate(_lines(path, ("FileName", *columns)), 2):
        *chord, frame = (number_of(cells[name], f"line {number} of {TRACINGS}") for name in columns)
        lines.setdefault(stem(cells["FileName"]), {}).setdefault(int(frame), []).append(chord)
    return {name: {frame: _outline(found) for frame, found in frames.items()} for name, frames in lines.items()}


def frames_of(path: Path, at: str) -> list[Grey]:
    """Every frame of a video as (rows, columns) grey. Raises BadFolder when it does not decode, or PyAV is not there."""
    try:
        av = library()
    except Held as missing:
        raise BadFolder(missing.message) from missing
    try:
        with av.open(str(path)) as container:
            return _decoded(container, at)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise BadFolder(f"{at}: its video does not decode.") from error


def stem(name: str) -> str:
    """The tables name a video with and without its ending."""
    return name.removesuffix(".avi")


def _lines(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    names, lines = table(path, path.name)
    if missing := set(columns) - set(names):
        raise BadFolder(f"{path.name} has no column {', '.join(sorted(missing))}.")
    return lines


def _decoded(container: Any, at: str) -> list[Grey]:  # noqa: ANN401 -- PyAV is an extra that may be absent
    frames: list[Grey] = []
    for frame in container.decode(video=0):
        if len(frames) >= MOST_FRAMES or max(frame.width, frame.height) > MOST_SIDE:
            raise BadFolder(f"{at}: its video is too long or too large.")
        frames.append(np.rint(frame.to_ndarray(format="rgb24").mean(axis=2)).astype(np.uint8))
    if not frames or len({frame.shape for frame in frames}) > 1:
        raise BadFolder(f"{at}: its video has no frames, or frames of different sizes.")
    return frames


def _outline(lines: Sequence[Sequence[float]]) -> Outline:
    if len(lines) < LEAST_LINES:
        raise BadFolder(f"{TRACINGS} has a frame with too few lines.")
    chords = lines[1:]
    points = [(x1, y1) for x1, y1, _, _ in chords] + [(x2, y2) for _, _, x2, y2 in reversed(chords)]
    return tuple(value for point in points for value in point)


def _facts(cells: Mapping[str, str], at: str) -> dict[str, str]:
    facts = {"view": "a4c"}
    if cells["EF"]:
        facts["ef_percent"] = f"{number_of(cells['EF'], at):.3f}"
    if cells["FPS"] and (rate := number_of(cells["FPS"], at)) > 0:
        facts["frame_ms"] = f"{1000 / rate:.4f}"
    return facts
