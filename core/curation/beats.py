"""Beats of a cine: the frames of end diastole (ED) and end systole (ES), and where they most likely are.

ED is at the R wave. How long systole lasts from there follows the heart rate: from the begin of Q to the closure of the
aortic valve 546 - 2.1 x rate ms (A. M. Weissler et al., Circulation 37:149 (1968), men; women 549 - 2.0 x rate), of which
the Q wave takes about 40. Where contours are drawn, their areas say it better (`core.curation.volumes.end_frames`)."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from core.curation.volumes import end_frames
from core.errors import Malformed

Beat = tuple[int | None, int | None]
MOST_BEATS: Final = 500
FEWEST_AREAS: Final = 3
SLOWEST_BPM, FASTEST_BPM = 25.0, 240.0
_Q_MS: Final = 40.0


def beats_of(given: Sequence[Any], frames: int) -> tuple[Beat, ...]:
    """The beats of a cine, in the order of their frames (from 1): (ED, ES), one of which may be None.

    Raises Malformed for a frame that is not there, an ES that does not follow its ED, and beats that overlap."""
    if len(given) > MOST_BEATS:
        raise Malformed("A cine has 500 beats at most.")
    beats = [_beat(one, frames) for one in given]
    beats.sort(key=_first)
    for one, other in pairwise(beats):
        if max(frame for frame in one if frame is not None) >= _first(other):
            raise Malformed("The beats of a cine follow one another.")
    return tuple(beats)


def _beat(given: object, frames: int) -> Beat:
    if not isinstance(given, list | tuple) or len(given) != len(("ED", "ES")):
        raise Malformed("A beat has a frame of end diastole and one of end systole.")
    for frame in given:
        if frame is not None and (type(frame) is not int or not 1 <= frame <= frames):
            raise Malformed(f"This image has frames 1 to {frames}.")
    diastole, systole = given
    if diastole is None and systole is None:
        raise Malformed("A beat has a frame of end diastole and one of end systole.")
    if diastole is not None and systole is not None and systole <= diastole:
        raise Malformed("End systole follows end diastole.")
    return diastole, systole


def _first(beat: Beat) -> int:
    return min(frame for frame in beat if frame is not None)


def frame_at(times_ms: Sequence[float], ms: float) -> int | None:
    """The frame (from 1) nearest to a time, the earlier of equals; None for a time that the cine does not hold."""
    if not times_ms or not times_ms[0] <= ms <= times_ms[-1]:
        return None
    after = bisect_left(times_ms, ms)
    before = max(0, after - 1)
    return before + 1 if ms - times_ms[before] <= times_ms[after] - ms else after + 1


def proposals(
    times_ms: Sequence[float],
    r_waves_ms: Sequence[float],
    heart_rate: float | None,
    area_by_frame: Mapping[int, float],
) -> tuple[Beat, ...]:
    """Beats that a person may take over: from the R waves where the file has them, else from the areas of the contours.

    `times_ms` of each frame; `r_waves_ms` and they count from the first frame; areas in any one unit."""
    by_frame: dict[int, float] = {}
    for wave in sorted(r_waves_ms):
        if (frame := frame_at(times_ms, wave)) is not None:
            by_frame.setdefault(frame, wave)
    starts = list(by_frame.items())
    if not starts:
        return _by_area(area_by_frame)
    found: list[Beat] = []
    for place, (frame, wave) in enumerate(starts):
        following = starts[place + 1] if place + 1 < len(starts) else None
        last = following[0] - 1 if following else len(times_ms)
        inside = {number: area for number, area in area_by_frame.items() if frame <= number <= last}
        rate = 60_000 / (following[1] - wave) if following else heart_rate or _rate(starts)
        found.append((frame, _systole(times_ms, frame, last, wave, rate, inside)))
    return tuple(found)


def _systole(
    times_ms: Sequence[float], frame: int, last: int, wave: float, rate: float | None, areas: Mapping[int, float]
) -> int | None:
    if len(areas) >= FEWEST_AREAS and len(set(areas.values())) > 1:
        smallest = end_frames(areas)[1]
        return smallest if smallest > frame else None
    if rate is None or not SLOWEST_BPM <= rate <= FASTEST_BPM:
        return None
    found = frame_at(times_ms, wave + 546.0 - 2.1 * rate - _Q_MS)
    return found if found is not None and frame < found <= last else None


def _rate(starts: Sequence[tuple[int, float]]) -> float | None:
    if len(starts) < len(("one", "other")):
        return None
    return 60_000 * (len(starts) - 1) / (starts[-1][1] - starts[0][1])


def _by_area(areas: Mapping[int, float]) -> tuple[Beat, ...]:
    """One beat of the largest and the smallest contour, where the largest is drawn first."""
    if len(areas) < FEWEST_AREAS or len(set(areas.values())) == 1:
        return ()
    largest, smallest = end_frames(areas)
    return ((largest, smallest),) if largest < smallest else ()
