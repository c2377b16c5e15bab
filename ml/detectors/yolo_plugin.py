"""The plug-in for ultralytics' networks, the only file that imports it. AGPL-3.0: what it trains is never shipped.

Networks are built from their description and trained from nothing by our own loop: nothing is downloaded or sent."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

DESCRIBED = {"yolov8n": "yolov8n.yaml", "yolo11n": "yolo11n.yaml", "yolov5nu": "yolov5n.yaml"}
GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5}  # of the three parts of its loss, its own defaults


def switch_off(scratch: Path) -> None:
    """No look-ups, no installs, no reports, settings in `scratch`: must come before the first import."""
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(scratch)}
    os.environ |= {"YOLO_VERBOSE": "false", "WANDB_DISABLED": "true"}


@contextmanager
def others_untouched() -> Iterator[None]:
    """The import of ultralytics puts functions of its own into Pillow (one that installs packages) and torch: not in ours."""
    kept = [(place, name, getattr(place, name)) for place, name in ((Image, "open"), (torch, "save"))]
    try:
        yield
    finally:
        for place, name, function in kept:
            setattr(place, name, function)


class YoloDetector:
    """A network of ultralytics as a `Detector`."""

    decode = "yolo"
    outputs: tuple[str, ...] = ("output",)
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    licence, shippable = "AGPL-3.0", False

    def __init__(self, recipe: str, classes: int, scratch: Path) -> None:
        switch_off(scratch)
        with others_untouched():
            from ultralytics import settings
            from ultralytics.nn.tasks import DetectionModel

        if settings.get("sync"):
            settings.update({"sync": False})  # type: ignore[no-untyped-call]
        network: Any = DetectionModel(  # type: ignore[no-untyped-call]
            DESCRIBED.get(recipe, f"{recipe}.yaml"), nc=classes, verbose=False
        )
        network.args = SimpleNamespace(**GAINS, overlap_mask=True)
        self.network: nn.Module = network
        self.strides = tuple(int(stride) for stride in network.stride)

    def loss(self, images: Tensor, targets: Sequence[Tensor]) -> Tensor:
        height, width = images.shape[2:]
        boxes = torch.cat(list(targets))
        corners = boxes[:, 1:] / boxes.new_tensor([width, height, width, height])
        middle, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
        batch = {
            "img": images,
            "cls": boxes[:, :1],
            "bboxes": torch.cat([middle, sides], dim=1),
            "batch_idx": torch.cat([t.new_full((len(t),), float(n)) for n, t in enumerate(targets)]),
        }
        parts, _ = self.network.loss(batch)  # type: ignore[operator]
        total: Tensor = parts.sum() / len(images)
        return total

    def groups(self, rate: float) -> list[dict[str, object]]:
        return [{"params": [p for p in self.network.parameters() if p.requires_grad], "top": rate}]

    def trains(self) -> None:
        self.network.train()

    def exportable(self, network: nn.Module) -> nn.Module:
        return _Export(network)


class _Export(nn.Module):
    """One output (1, 4 + classes, n): centre x, centre y, width, height px, then the scores 0 to 1."""

    def __init__(self, network: Any) -> None:  # noqa: ANN401 -- ultralytics has no types
        super().__init__()
        self.network = network
        head = network.model[-1]
        head.export, head.format, head.dynamic = True, "onnx", False

    def forward(self, images: Tensor) -> Tensor:
        found = self.network(images)
        first: Tensor = found[0] if isinstance(found, tuple | list) else found
        return first
