"""ROIs of several people over one frame, as SVG that the server writes: a line of its own for each, and a letter on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.models.curation import Roi
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
    label: str


def outlines(sides: Sequence[Side], image_id: object, frame: int) -> list[Outline]:
    """Everything that was drawn on this frame, the case's own first."""
    found = []
    for place, side in enumerate(sides):
        for roi in side.rois:
            points = points_on(roi, frame) if roi.image_id == image_id else None
            if points:
                found.append(_outline(place, side.letter, roi, points))
    return found


def _outline(place: int, letter: str, roi: Roi, points: Sequence[tuple[float, float]]) -> Outline:
    # Letters stand on different corners, so that outlines that lie on each other can still be told apart.
    corner = [min(points, key=lambda p: p[0] + p[1]), max(points, key=lambda p: p[0] - p[1]),
              max(points, key=lambda p: p[0] + p[1]), min(points, key=lambda p: p[0] - p[1])][place % 4]  # fmt: skip
    written = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Outline(place, letter, written, len(points) > 2, corner[0], corner[1], roi.label)
