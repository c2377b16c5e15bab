"""A small U-Net for the border of one thing: half a million weights, and it works at half the input's size to be quick.

After Ronneberger, Fischer and Brox, U-Net, MICCAI 2015; with batch norm, bilinear growing, and grey seen only."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS: Final = (16, 32, 64, 128)
MULTIPLE: Final = 2 ** len(WIDTHS)  # sides of the input


class Unet(nn.Module):
    """(n, 3, h, w), sides multiples of 16 -> logits (n, 1, h, w). Colours are averaged."""

    def __init__(self) -> None:
        super().__init__()
        before = (1, *WIDTHS[:-1])
        pairs = list(zip(before, WIDTHS, strict=True))
        self.down = nn.ModuleList(_pair(have, want, 2 if have == 1 else 1) for have, want in pairs)
        self.up = nn.ModuleList(_pair(have + want, have, 1) for have, want in reversed(pairs[1:]))
        self.say = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean(1, keepdim=True)
        kept: list[Tensor] = []
        for number, step in enumerate(self.down):
            x = step(functional.max_pool2d(x, 2) if number else x)
            kept.append(x)
        for step, beside in zip(self.up, reversed(kept[:-1]), strict=True):
            x = step(torch.cat([beside, _larger(x)], 1))
        return _larger(self.say(x))


class Chances(nn.Module):
    """What is exported: probabilities instead of logits."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.net(x))


def _pair(have: int, want: int, stride: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for inside, step in ((have, stride), (want, 1)):
        parts += [nn.Conv2d(inside, want, 3, step, 1, bias=False), nn.BatchNorm2d(want), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


def _larger(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
