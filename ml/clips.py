"""Clips of a data folder: the images that share a `video`, in the order of their `frame`. Standard library only."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ml.annotations import BadFolder
from ml.data import Item
from ml.outlines import Outline

VENTRICLE: Final = "LV"  # the category whose polygon is the border of the left ventricle's cavity
PHASES: Final = ("ED", "ES")


@dataclass(frozen=True)
class Clip:
    """The frames of one clip in order, not always all that were recorded. `ef_percent` is what the source says, or None."""

    video: str
    items: tuple[Item, ...]
    ef_percent: float | None
    mm_per_px: float | None
    frame_ms: float | None

    @property
    def unit(self) -> str:
        return self.items[0].unit

    def ends(self, phase: str) -> tuple[int, ...]:
        """Places in `items` (from 0) of the frames that the source calls ED or ES."""
        return tuple(number for number, item in enumerate(self.items) if item.facts.get("phase") == phase)


def clips_of(items: Iterable[Item]) -> list[Clip]:
    """Every clip, in the order of the folder. Raises BadFolder for images without video and frame."""
    found: dict[tuple[str, str], dict[int, Item]] = {}
    for item in items:
        video, frame = item.facts.get("video", ""), item.facts.get("frame", "")
        if not video or not frame.isdecimal():
            raise BadFolder("An image does not say which frame of which video it is.")
        of = found.setdefault((item.unit, video), {})
        if of.setdefault(int(frame), item) is not item:
            raise BadFolder("A video has the same frame twice.")
    return [_clip(video, [of[number] for number in sorted(of)]) for (_, video), of in found.items()]


def outline(item: Item) -> Outline:
    """The traced border of the ventricle on this frame, () where nobody traced it. Raises BadFolder for two of them."""
    traced = [box.outline for box in item.boxes if box.category == VENTRICLE and box.outline]
    if len(traced) > 1:
        raise BadFolder("An image has two left ventricles.")
    return traced[0] if traced else ()


def _clip(video: str, items: list[Item]) -> Clip:
    if len({(item.width, item.height) for item in items}) > 1:
        raise BadFolder("The frames of a video are not of one size.")
    if any(item.facts.get("phase", "ED") not in PHASES for item in items):
        raise BadFolder("The phase of a frame is neither ED nor ES.")
    fraction, scale, frame_ms = (_one(items, fact) for fact in ("ef_percent", "mm_per_px", "frame_ms"))
    if fraction is not None and fraction > 100:
        raise BadFolder("An ejection fraction is above 100 %.")
    return Clip(video, tuple(items), fraction, scale, frame_ms)


def _one(items: list[Item], fact: str) -> float | None:
    """The number that the frames of a clip agree on; None where none is told."""
    told = {item.facts[fact] for item in items if item.facts.get(fact)}
    if not told:
        return None
    try:
        (value,) = (float(one) for one in told)
    except ValueError as error:
        raise BadFolder(f"The frames of a video do not agree on {fact}, or it is not a number.") from error
    if not 0 < value < float("inf"):
        raise BadFolder(f"{fact} is not above zero.")
    return value
