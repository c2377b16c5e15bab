"""How a cine is judged: by lesions, not frames: found or not, false alarms a minute, flicker, frames to the right verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

from ml.tracking import Box, Tracked, overlap

LEAST_IOU = 0.3


@dataclass(frozen=True)
class TrueLesion:
    """What is really there: a class, and the box x, y, width, height px of every frame, None where it is out of view."""

    label: str
    boxes: tuple[Box | None, ...]


@dataclass(frozen=True)
class CineFigures:
    """The tallies of some cines; add them up with `+`, the figures are properties."""

    lesions: int = 0
    found: int = 0
    right: int = 0
    false_alarms: int = 0
    switches: int = 0
    lesion_frames: int = 0
    covered: int = 0
    latencies: tuple[int, ...] = ()
    seconds: float = 0.0
    lesion_seconds: float = 0.0

    def __add__(self, other: "CineFigures") -> "CineFigures":
        return CineFigures(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def told(self) -> dict[str, float | None]:
        """The figures; None where there is nothing to divide by."""
        ordered = sorted(self.latencies)
        return {
            "lesion_sensitivity": _part(self.found, self.lesions),
            "right_verdict": _part(self.right, self.lesions),
            "frames_covered": _part(self.covered, self.lesion_frames),
            "false_alarms_per_minute": _part(self.false_alarms, self.seconds / 60),
            "switches_per_lesion_second": _part(self.switches, self.lesion_seconds),
            "median_frames_to_right": float(ordered[len(ordered) // 2]) if ordered else None,
        }


def cine_figures(truth: Sequence[TrueLesion], shown: Sequence[Sequence[Tracked]], fps: float) -> CineFigures:
    """One cine; shown holds what the tracker says of each frame.

    A lesion is found when a track lies on it (IoU 0.3) on any frame, right when its last verdict is; a false alarm is
    a track that lies on no lesion on any frame; a switch is a change of what the lesion bears (a class, or nothing)
    between frames that show it, once it was found."""
    total = CineFigures(seconds=len(shown) / fps)
    honest: set[int] = set()
    for lesion in truth:
        said: list[str | None] = []
        for box, tracks in zip(lesion.boxes, shown, strict=True):
            if box is None:
                continue
            fits = overlap([box], [one.box for one in tracks])[0]
            honest |= {one.number for one, fit in zip(tracks, fits, strict=True) if fit >= LEAST_IOU}
            best = int(fits.argmax()) if len(tracks) else -1
            said.append(tracks[best].label if best >= 0 and fits[best] >= LEAST_IOU else None)
        total += _of_lesion(lesion, said, fps)
    false = {one.number for tracks in shown for one in tracks} - honest
    return total + CineFigures(false_alarms=len(false))


def _of_lesion(lesion: TrueLesion, said: Sequence[str | None], fps: float) -> CineFigures:
    names = [name for name in said if name is not None]
    begun = next((number for number, name in enumerate(said) if name is not None), len(said))
    right = next((number for number, name in enumerate(said) if name == lesion.label), None)
    return CineFigures(
        lesions=1 if said else 0,
        found=int(bool(names)),
        right=int(bool(names) and names[-1] == lesion.label),
        switches=sum(a != b for a, b in zip(said[begun:], said[begun + 1 :], strict=False)),
        lesion_frames=len(said),
        covered=len(names),
        latencies=() if right is None else (right,),
        lesion_seconds=len(said) / fps,
    )


def _part(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None
