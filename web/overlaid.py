"""ROIs of several people over one frame, as SVG that the server writes: a line of its own for each, and a letter on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.queries.adjudication import Side, points_on


@dataclass(frozen=True)
class Outline:
    """One outline: its side's place (0 is the case itself), the points as SVG writes them, and where its letter stands."""

    place: int
    letter: str
    points: str
    is_closed: bool
    x: float
    y: float


def outlines(sides: Sequence[Side], image_id: object, frame: int) -> list[Outline]:
    """Everything that was drawn on this frame, the case's own first."""
    found = []
    for place, side in enumerate(sides):
        for roi in side.rois:
            drawn = points_on(roi, frame) if roi.image_id == image_id else None
            if drawn:
                found.append(_outline(place, side.letter, *drawn))
    return found


def _outline(place: int, letter: str, points: Sequence[tuple[float, float]], is_closed: bool) -> Outline:
    # Letters stand on different corners, so that outlines that lie on each other can still be told apart.
    ways = ((-1, -1), (1, -1), (1, 1), (-1, 1))[place % 4]
    x, y = max(points, key=lambda point: point[0] * ways[0] + point[1] * ways[1])
    return Outline(place, letter, " ".join(f"{px:.1f},{py:.1f}" for px, py in points), is_closed, x, y)
