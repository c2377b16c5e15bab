"""The model in effect as the detector behind proposals: the infer process looks, a person decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from core.curation.detector import ENDS, Blobs, Detector, Found, spread
from core.curation.shapes import Points
from core.deid.candidate import Index
from core.dicom.ultrasound import Region
from core.errors import Unavailable
from core.inference.client import NO_MODEL, Client, Pixels
from core.models.registry import ModelVersion
from core.node import Node
from core.sandbox import Caller
from core.services import heart, inference
from core.vocabulary import domain as vocabulary

CLASSICAL: Final[Detector] = Blobs()
MOST_FRAMES: Final = 240  # of a cine, for its beats: some seconds
POINTS_OF_BORDER: Final = 13  # few enough to be moved by hand; a spline goes through them


@dataclass(frozen=True)
class Learned:
    """One accepted version. A label that is a diagnosis of the organ goes along; others are left for the person to give."""

    name: str
    version: str
    domain: str
    codes: frozenset[str]
    client: Client = field(repr=False)

    def looked_at(self, frames: int) -> Sequence[int]:
        """See `Detector.looked_at`."""
        return spread(frames)

    def detect(
        self, sandbox: Caller, index: Index, frames: Mapping[int, bytes], regions: tuple[Region, ...]
    ) -> list[Found]:
        """See `Detector.detect`; raises Unavailable where the infer process does not answer."""
        found: list[Found] = []
        for number, stored in frames.items():
            pixels = inference.pixels_of_stored(sandbox, stored, index.format, index.palette)
            for box in self.client.frame(pixels, self.domain)["boxes"]:
                x, y, width, height = (float(box[side]) for side in ("x", "y", "width", "height"))
                if not regions or any(_is_in(x + width / 2, y + height / 2, region) for region in regions):
                    label = box["label"] if box["label"] in self.codes else ""
                    found.append(Found(number, "rectangle", ((x, y), (x + width, y + height)), box["score"], label))
        return found


@dataclass(frozen=True)
class LearnedBorder:
    """A version that draws the left ventricle: its border at both ends of each beat of a cine.

    It sees the sector alone where the file says where that lies: it was trained on such pictures."""

    name: str
    version: str
    domain: str
    client: Client = field(repr=False)

    def looked_at(self, frames: int) -> Sequence[int]:
        """See `Detector.looked_at`; a still has no beat."""
        return range(1, min(frames, MOST_FRAMES) + 1) if frames > 1 else ()

    def detect(
        self, sandbox: Caller, index: Index, frames: Mapping[int, bytes], regions: tuple[Region, ...]
    ) -> list[Found]:
        """See `Detector.detect`; raises Unavailable where the infer process does not answer."""
        sector = regions[0] if regions else None
        numbers, borders = list(frames), []
        for stored in frames.values():
            pixels = inference.pixels_of_stored(sandbox, stored, index.format, index.palette)
            borders.append(self.client.frame(_cut(pixels, sector), self.domain).get("border"))
        if not numbers:
            return []
        beats = self.client.beats([border and border["points"] for border in borders])["beats"]
        corner = (sector.x0, sector.y0) if sector else (0, 0)
        return [
            Found(numbers[place - 1], "line", _few(border["points"], corner), border["score"], end)
            for beat in beats
            for place, end in zip(beat, ENDS, strict=True)
            if (border := borders[place - 1]) is not None
        ]


def detector(node: Node, model: ModelVersion | None, domain: str) -> Detector:
    """What looks at an image of this organ: the version in effect, else the classical detector.

    Raises Unavailable for a heart without a model: its dark round areas are no lesions."""
    if model is None and domain == heart.DOMAIN:
        raise Unavailable(NO_MODEL)
    if model is None:
        return CLASSICAL
    if model.task == "echo":
        return LearnedBorder(model.name[:64], str(model.version), domain, node.inference)
    codes = frozenset(option.code for option in vocabulary.load(domain).options["diagnosis"])
    return Learned(model.name[:64], str(model.version), domain, codes, node.inference)


def _cut(pixels: Pixels, region: Region | None) -> Pixels:
    """The part of a frame that a region shows."""
    if region is None:
        return pixels
    whole = np.frombuffer(pixels.data, np.uint8).reshape(pixels.rows, pixels.columns, 3)
    part = whole[region.y0 : region.y1 + 1, region.x0 : region.x1 + 1]
    return Pixels(part.shape[0], part.shape[1], part.tobytes())


def _few(points: Sequence[Sequence[float]], corner: tuple[int, int]) -> Points:
    """Some of a border's points, both ends among them, in pixels of the whole frame."""
    chosen = np.linspace(0, len(points) - 1, min(POINTS_OF_BORDER, len(points))).round().astype(int)
    return tuple((round(points[at][0] + corner[0], 2), round(points[at][1] + corner[1], 2)) for at in chosen)


def _is_in(x: float, y: float, region: Region) -> bool:
    return region.x0 <= x <= region.x1 + 1 and region.y0 <= y <= region.y1 + 1
