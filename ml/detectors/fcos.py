"""The detector that may be shipped: EfficientNet-Lite0, a light feature pyramid and an anchor-free head (FCOS).

FCOS: arXiv:1904.01355; FPN: arXiv:1612.03144; one tower for all levels with norms of their own: arXiv:2212.07784."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.detectors.assign import detection_loss
from ml.detectors.lite import FROZEN, LiteEye
from ml.networks.efficientnet_lite import CHANNELS as CHANNELS_IN
from ml.networks.efficientnet_lite import MEAN, STD

STRIDES = (8, 16, 32)
CHANNELS = 64
EYE_RATE = 0.5  # of the rate of what begins from nothing
START_SIDE = 3.0  # boxes begin as twice this many strides wide


def _norm() -> nn.BatchNorm2d:
    return nn.BatchNorm2d(CHANNELS, eps=1e-3, momentum=0.03)


class Pyramid(nn.Module):
    """Three maps of one width: what the deep levels know is added to the fine ones."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.sides = nn.ModuleList(nn.Conv2d(width, CHANNELS, 1, bias=False) for width in widths)
        self.side_norms = nn.ModuleList(_norm() for _ in widths)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """maps (b, width, h, w), fine first -> (b, 64, h, w) each."""
        sides = [norm(side(x)) for side, norm, x in zip(self.sides, self.side_norms, maps, strict=True)]
        for level in reversed(range(len(sides) - 1)):
            sides[level] = sides[level] + functional.interpolate(sides[level + 1], scale_factor=2.0, mode="nearest")
        return [functional.relu(side) for side in sides]


class Tower(nn.Module):
    """Convolutions shared by the levels, each level with its own norms; they fold away at export."""

    def __init__(self, levels: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.convs = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(_norm() for _ in range(levels * depth))

    def forward(self, x: Tensor, level: int) -> Tensor:
        for place, conv in enumerate(self.convs):
            x = functional.relu(self.norms[level * self.depth + place](conv(x)), inplace=True)
        return x


class LiteFcos(nn.Module):
    """(b, 3, h, w) -> logits (b, points, classes) and boxes (b, points, 4) x0 y0 x1 y1 px; h and w multiples of 32."""

    def __init__(self, backbone: nn.Module, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = Pyramid(widths)
        self.trunk = Tower(len(STRIDES), 1)
        self.score_tower, self.box_tower = Tower(len(STRIDES), 1), Tower(len(STRIDES), 1)
        self.score = nn.Conv2d(CHANNELS, classes, 3, padding=1)
        self.box = nn.Conv2d(CHANNELS, 4, 3, padding=1)
        for part in (self.pyramid, self.trunk, self.score_tower, self.box_tower, self.score, self.box):
            for conv in part.modules():
                if isinstance(conv, nn.Conv2d):
                    nn.init.normal_(conv.weight, std=math.sqrt(2 / (conv.kernel_size[0] ** 2 * conv.in_channels)))
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.normal_(self.box.weight, std=0.01)
        if self.score.bias is not None and self.box.bias is not None:
            nn.init.constant_(self.score.bias, -math.log(99))  # a point in a hundred holds something
            nn.init.constant_(self.box.bias, math.log(START_SIDE))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = [], []
        for level, maps in enumerate(self.pyramid(self.backbone(images))):
            x = self.trunk(maps, level)
            score = self.score(self.score_tower(x, level))
            sides = self.box(self.box_tower(x, level)).clamp(max=6.0).exp() * STRIDES[level]
            logits.append(score.flatten(2).transpose(1, 2))
            boxes.append(sides.flatten(2).transpose(1, 2))
        centres = points(images.shape[2], images.shape[3]).to(images.device)
        reach = torch.cat(boxes, dim=1)
        return torch.cat(logits, dim=1), torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], dim=2)


def points(height: int, width: int) -> Tensor:
    """(points, 2) x y px of the middle of every cell, level by level, row by row."""
    found = []
    for stride in STRIDES:
        ys, xs = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        found.append((torch.stack([xs.flatten(), ys.flatten()], dim=1) + 0.5) * stride)
    return torch.cat(found)


class Export(nn.Module):
    """What runs: scores (1, n, classes) 0 to 1 and boxes (1, n, 4) px."""

    def __init__(self, network: LiteFcos) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = self.network(images)
        return logits.sigmoid(), boxes


class FcosDetector:
    """`LiteFcos` as a `Detector`; Apache-2.0 through and through, ImageNet weights included."""

    decode = "fcos"
    outputs: tuple[str, ...] = ("scores", "boxes")
    strides: tuple[int, ...] = STRIDES
    mean, std = MEAN, STD
    licence, shippable = "Apache-2.0", True

    def __init__(self, classes: int, frozen: int = FROZEN, weights: bool = True) -> None:
        self.network: nn.Module = LiteFcos(LiteEye(frozen, weights), CHANNELS_IN, classes)

    def loss(self, images: Tensor, targets: Sequence[Tensor]) -> Tensor:
        logits, boxes = self.network(images)
        middle = points(images.shape[2], images.shape[3]).to(images.device)
        return detection_loss(logits, boxes, middle, targets)

    def groups(self, rate: float) -> list[dict[str, object]]:
        parts = [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]
        eye = [p for name, p in parts if name.startswith("backbone.")]
        rest = [p for name, p in parts if not name.startswith("backbone.")]
        return [{"params": eye, "top": rate * EYE_RATE}, {"params": rest, "top": rate}]

    def trains(self) -> None:
        self.network.train()

    def exportable(self, network: nn.Module) -> nn.Module:
        if not isinstance(network, LiteFcos):
            raise TypeError("This is another detector's network.")
        return Export(network)
