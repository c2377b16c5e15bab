"""The detectors behind one interface: the one that may be shipped, and those of ultralytics (AGPL) as a plug-in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

CLEAN = ("fcos",)
PLUGIN = ("yolov8n", "yolo11n", "yolov5nu", "yolov3-tiny")
RECIPES = (*CLEAN, *PLUGIN)


class Detector(Protocol):
    """What a training needs of a network; two implementations: `fcos.FcosDetector` and `yolo_plugin.YoloDetector`."""

    network: nn.Module
    decode: str  # of model.json: "fcos" or "yolo"
    outputs: tuple[str, ...]
    strides: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    shippable: bool

    def loss(self, images: Tensor, targets: Sequence[Tensor]) -> Tensor:
        """One number for a batch (b, 3, h, w); targets a tensor (n, 5) an image: class, x0, y0, x1, y1 px."""
        ...

    def groups(self, rate: float) -> list[dict[str, object]]:
        """Parameter groups with their own top rates under "top" (AdamW)."""
        ...

    def trains(self) -> None:
        """Put the network into training mode, what is frozen left in peace."""
        ...

    def exportable(self, network: nn.Module) -> nn.Module:
        """`network` (this one, or its moving average) as it is exported: outputs as model.json's `decode` says."""
        ...


def build(recipe: str, classes: int, scratch: Path) -> Detector:
    """A new network of a recipe; `scratch` is a folder where a plug-in may keep its settings.

    The plug-in is imported only when asked for: what it trains is AGPL-3.0 and is never shipped. Raises ValueError."""
    if recipe in CLEAN:
        from ml.detectors.fcos import FcosDetector

        return FcosDetector(classes)
    if recipe in PLUGIN:
        from ml.detectors.yolo_plugin import YoloDetector

        return YoloDetector(recipe, classes, scratch)
    raise ValueError(f"There is no recipe {recipe}; there are {', '.join(RECIPES)}.")
