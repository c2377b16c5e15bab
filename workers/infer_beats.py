"""The beats of a cine from the borders that a model drew on its frames, for the `infer` process."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.ejection import measure

MOST_FRAMES: Final = 2000
MOST_POINTS: Final = 1000
ODD_BORDERS: Final = "The request for beats is not well formed."


def beats_of(borders: object) -> dict[str, Any]:
    """The answer to [[[x, y], ...] or None, ...], a border a frame; {error, message} for anything else.

    `beats` [[frame of end diastole, frame of end systole], ...], frames from 1; `reason` why there are none."""
    if not isinstance(borders, list) or len(borders) > MOST_FRAMES:
        return {"error": "Malformed", "message": ODD_BORDERS}
    contours = [None if one is None else _contour(one) for one in borders]
    if any(one is not None and contour is None for one, contour in zip(borders, contours, strict=True)):
        return {"error": "Malformed", "message": ODD_BORDERS}
    said = measure(contours)
    return {"beats": [[one.diastole + 1, one.systole + 1] for one in said.beats], "reason": said.reason}


def _contour(given: object) -> NDArray[np.float64] | None:
    """(n, 2) finite numbers; None for another thing."""
    if not isinstance(given, list) or not 0 < len(given) <= MOST_POINTS:
        return None
    try:
        points = np.asarray(given, np.float64)
    except (ValueError, TypeError):
        return None
    return points if points.ndim == 2 and points.shape[1] == 2 and np.isfinite(points).all() else None
