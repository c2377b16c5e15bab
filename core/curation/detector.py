"""What finds lesions on the frames of a candidate, behind one interface; the classical blob detector stands behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from core.curation.shapes import Kind, Points
from core.deid.candidate import Index
from core.dicom.ultrasound import Region
from core.sandbox import Caller

# Of a cine: a sweep shows a lesion on some frames only, and a person goes on from one of them by keyframes.
FRAMES_OF_A_CINE: Final = 5
ENDS: Final = ("ed", "es")  # what a proposed border of the ventricle says of its frame, in place of a diagnosis


@dataclass(frozen=True)
class Found:
    """A shape on a frame (from 1), points in pixels of the stored frame; score 0 to 1; `label` a diagnosis code, of a
    ventricle's border one of ENDS, or ""."""

    frame: int
    kind: Kind
    points: Points
    score: float
    label: str = ""


class Detector(Protocol):
    """One version of one model."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def looked_at(self, frames: int) -> Sequence[int]:
        """Which frames (from 1) of an image of so many it must see."""
        ...

    def detect(
        self, sandbox: Caller, index: Index, frames: Mapping[int, bytes], regions: tuple[Region, ...]
    ) -> list[Found]:
        """What is on these stored frames {number from 1: bytes}, decoded in the sandbox only. `regions`: where tissue is,
        the largest first.

        Raises Refused for a frame that cannot be decoded."""
        ...


def spread(frames: int) -> Sequence[int]:
    """A few frames (from 1), evenly through a cine."""
    count = min(FRAMES_OF_A_CINE, frames)
    return sorted({1 + round((frames - 1) * (2 * place + 1) / (2 * count)) for place in range(count)})


class Blobs:
    """Dark round areas (`core.curation.blobs`), without a class: it needs no weights and no training."""

    name: Final = "dark blobs"
    version: Final = "1"

    def looked_at(self, frames: int) -> Sequence[int]:
        return spread(frames)

    def detect(
        self, sandbox: Caller, index: Index, frames: Mapping[int, bytes], regions: tuple[Region, ...]
    ) -> list[Found]:
        params, palette = index.render_request(b"")
        params |= {
            "frames": list(frames),
            "regions": [[one.x0, one.y0, one.x1 - one.x0 + 1, one.y1 - one.y0 + 1] for one in regions],
        }
        told, _ = sandbox.call("core.curation.blobs:sandboxed_find", params, [*frames.values(), *palette[1:]])
        width, height = index.format.columns, index.format.rows
        return [
            Found(
                one["frame"],
                "rectangle",
                (
                    (max(one["x"], 0.0), max(one["y"], 0.0)),
                    (min(one["x"] + one["width"], float(width)), min(one["y"] + one["height"], float(height))),
                ),
                one["score"],
            )
            for one in told["found"]
        ]
