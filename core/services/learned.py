"""The model in effect as the detector behind proposals: the infer process looks, a person decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from core.curation.detector import Blobs, Detector, Found
from core.deid.candidate import Index
from core.dicom.ultrasound import Region
from core.inference.client import Client
from core.models.registry import ModelVersion
from core.node import Node
from core.sandbox import Caller
from core.services import inference
from core.vocabulary import domain as vocabulary

CLASSICAL: Final[Detector] = Blobs()


@dataclass(frozen=True)
class Learned:
    """One accepted version. A label that is a diagnosis of the organ goes along; others are left for the person to give."""

    name: str
    version: str
    domain: str
    codes: frozenset[str]
    client: Client = field(repr=False)

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


def detector(node: Node, model: ModelVersion | None, domain: str) -> Detector:
    """What looks at an image of this organ: the version in effect, else the classical detector."""
    if model is None:
        return CLASSICAL
    codes = frozenset(option.code for option in vocabulary.load(domain).options["diagnosis"])
    return Learned(model.name[:64], str(model.version), domain, codes, node.inference)


def _is_in(x: float, y: float, region: Region) -> bool:
    return region.x0 <= x <= region.x1 + 1 and region.y0 <= y <= region.y1 + 1
