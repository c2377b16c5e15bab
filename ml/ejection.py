"""From the contours of a clip to its ejection fraction: the curve of areas, its beats, volumes by disks, and a class.

NumPy only. Volumes are those of core.curation.volumes, single plane: EF needs no scale, millilitres do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.curation.volumes import Plane, Volume, disks_single_plane, ejection
from core.errors import Malformed
from ml.ventricle import plane

Floats = NDArray[np.float64]
CLASSES: Final = ("<40", "40-49", ">=50")  # percent; 49.9 belongs to the middle
LIMITS: Final = (40.0, 50.0)
FEWEST_FRAMES: Final = 5
LEAST_FOUND: Final = 0.8  # of the frames must show a ventricle
LEAST_SWING: Final = 0.05  # of the middle area: less is no beat
TURN: Final = 0.4  # part of the whole swing by which the area must fall or rise again for a turn to be one
STRAY: Final = 0.2  # part of the whole swing by which a lone frame leaves its neighbours when it is mistaken
SMOOTH: Final = np.array([-3.0, 12.0, 17.0, 12.0, -3.0]) / 35  # parabola of five (Savitzky and Golay 1964): tops stay
TOO_SHORT: Final = "The clip has too few frames."
NOT_FOUND: Final = "The ventricle was not found on enough frames."
NO_BEAT: Final = "The ventricle does not beat in this clip."


@dataclass(frozen=True)
class Beat:
    """End diastole and the end systole after it, as places in the clip from 0; millilitres, None without a scale."""

    diastole: int
    systole: int
    fraction_percent: float
    end_diastolic_ml: float | None
    end_systolic_ml: float | None


@dataclass(frozen=True)
class Measured:
    """What a clip says: its beats and the mean of their EF, or why it cannot be said.

    `areas`: of each frame, smoothed, in mm2 or without a scale in square pixels; empty if there is no curve."""

    beats: tuple[Beat, ...] = ()
    fraction_percent: float | None = None
    reason: str = ""
    areas: tuple[float, ...] = ()

    @property
    def ef_class(self) -> str:
        """One of CLASSES, "" where EF cannot be said."""
        return "" if self.fraction_percent is None else class_of(self.fraction_percent)


def class_of(fraction_percent: float) -> str:
    """The class of an ejection fraction in percent."""
    return CLASSES[sum(fraction_percent >= limit for limit in LIMITS)]


def measure(contours: Sequence[Floats | None], mm_per_px: float | None = None) -> Measured:
    """EF of the open contours of a clip's frames, None where a frame shows no ventricle."""
    if len(contours) < FEWEST_FRAMES:
        return Measured(reason=TOO_SHORT)
    planes = [plane(contour, mm_per_px or 1.0) for contour in contours]
    if sum(one is not None for one in planes) < LEAST_FOUND * len(planes):
        return Measured(reason=NOT_FOUND)
    areas = smoothed(_filled([None if one is None else one.area_mm2 for one in planes]))
    curve = tuple(float(area) for area in areas)
    volumes = smoothed(_filled([None if one is None else disks_single_plane(one).volume_ml for one in planes]))
    beats = [_beat(planes, volumes, ends, mm_per_px) for ends in beats_of(areas)]
    whole = tuple(beat for beat in beats if beat is not None)
    if not whole:
        return Measured(reason=NO_BEAT, areas=curve)
    return Measured(whole, float(np.mean([beat.fraction_percent for beat in whole])), "", curve)


def smoothed(values: Floats) -> Floats:
    """Lone frames that leave their neighbours are brought back, then parabolas of five frames are laid through."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(values, 2, "reflect"), 5)
    middle, swing = np.median(around, axis=1), float(np.ptp(np.percentile(values, [5, 95])))
    calm = np.where(np.abs(values - middle) > STRAY * swing, middle, values)
    result: Floats = np.convolve(np.pad(calm, 2, "reflect"), SMOOTH, "valid")
    return result


def beats_of(areas: Floats) -> list[tuple[int, int]]:
    """(end diastole, end systole) of each beat: a largest area and the smallest that follows it, as places from 0.

    Turns at the very ends of a clip are taken only when there is no other beat: the real one may lie outside."""
    swing = float(np.ptp(areas))
    if swing < LEAST_SWING * float(np.median(areas)) or swing <= 0:
        return []
    turns = _turns(areas, TURN * swing)
    found = [(a, b) for (a, top), (b, _) in pairwise(turns) if top]
    inner = [(a, b) for a, b in found if a > 0 and b < len(areas) - 1]
    return inner or found


def _turns(values: Floats, least: float) -> list[tuple[int, bool]]:
    """Places where a curve turns by at least `least`, with whether it is a top there; tops and bottoms in turn."""
    turns: list[tuple[int, bool]] = []
    top = bottom = 0
    rising: bool | None = None
    for place, value in enumerate(values):
        if rising is not False and value > values[top]:
            top = place
        if rising is not True and value < values[bottom]:
            bottom = place
        if rising is not False and values[top] - value >= least:
            turns.append((top, True))
            rising, bottom = False, place
        elif rising is not True and value - values[bottom] >= least:
            turns.append((bottom, False))
            rising, top = True, place
    if rising is not None:
        turns.append((top, True) if rising else (bottom, False))
    return turns


def _beat(
    planes: Sequence[Plane | None], volumes: Floats, ends: tuple[int, int], mm_per_px: float | None
) -> Beat | None:
    """EF of the smoothed volumes at both ends; None when they are none."""
    known = next(one for one in planes if one is not None)
    diastole, systole = (_volume(planes[place] or known, float(volumes[place])) for place in ends)
    try:
        found = ejection(diastole, systole)
    except Malformed:
        return None
    if not 0 < found.fraction_percent < 100:
        return None
    told = (found.end_diastolic_ml, found.end_systolic_ml) if mm_per_px else (None, None)
    return Beat(*ends, found.fraction_percent, *told)


def _volume(of: Plane, millilitres: float) -> Volume:
    return replace(disks_single_plane(of), volume_ml=millilitres)


def _filled(values: Sequence[float | None]) -> Floats:
    """Frames without a value get what lies between their neighbours."""
    known = [place for place, value in enumerate(values) if value is not None]
    told = [value for value in values if value is not None]
    return np.asarray(np.interp(np.arange(len(values)), known, told), np.float64)
