"""Boxes of one image that follow each other from frame to frame, as one lesion each: pure, and only for a report's sake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_OVERLAP: Final = 0.3
_GAP: Final = 5  # frames that a lesion may be missed for


@dataclass(frozen=True)
class Hit:
    """A box on a frame (from 1), in pixels of the frame."""

    frame: int
    x: float
    y: float
    width: float
    height: float
    label: str
    score: float


def hits_of(frame: int, boxes: Sequence[Mapping[str, Any]]) -> list[Hit]:
    """From the boxes of an answer of the infer process."""
    return [
        Hit(frame, box["x"], box["y"], box["width"], box["height"], str(box["label"]), box["score"]) for box in boxes
    ]


def lesions(hits: Sequence[Hit]) -> list[list[Hit]]:
    """The hits of each lesion in the order of their frames; the lesion of the surest hit first."""
    found: list[list[Hit]] = []
    for hit in sorted(hits, key=lambda one: (one.frame, -one.score)):
        near = [one for one in found if 0 < hit.frame - one[-1].frame <= _GAP and iou(one[-1], hit) >= _OVERLAP]
        if near:
            max(near, key=lambda one: iou(one[-1], hit)).append(hit)
        else:
            found.append([hit])
    return sorted(found, key=lambda one: -surest(one).score)


def surest(hits: Sequence[Hit]) -> Hit:
    return max(hits, key=lambda one: one.score)


def iou(one: Hit, other: Hit) -> float:
    """Intersection over union, 0 where either is empty."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(width, 0) * max(height, 0)
    union = one.width * one.height + other.width * other.height - shared
    return shared / union if union > 0 else 0.0
