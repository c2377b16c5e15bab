"""EfficientNet-Lite0 as a detector's eye: maps at strides 8, 16 and 32; the first blocks keep what ImageNet taught them."""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ml.networks.efficientnet_lite import EfficientNetLite0, pretrained

FROZEN = (
    3  # the stem and three of sixteen blocks: half of the cost of a step, and lines and blobs are the same everywhere
)
MOMENTUM = 0.03  # ImageNet's 0.01 lags behind in a training of a few hundred steps
PAIRS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


class LiteEye(nn.Module):
    """(b, 3, h, w) of -1 to 1 -> (b, 40, h/8, w/8), (b, 112, h/16, w/16), (b, 320, h/32, w/32)."""

    def __init__(self, frozen: int = FROZEN, weights: bool = True) -> None:
        super().__init__()
        whole = pretrained(1) if weights else EfficientNetLite0(1)
        whole.eval()
        self.frozen, self.blocks = frozen, whole._blocks
        self.stem: nn.Module = even(whole._conv_stem)
        self.stem_norm: nn.Module = whole._bn0
        if frozen:
            self.stem, self.stem_norm = fused(self.stem, self.stem_norm), nn.Identity()
        for block in self.blocks:
            block._depthwise_conv = even(block._depthwise_conv)
        for block in self.blocks[:frozen]:
            for conv, norm in PAIRS:
                if hasattr(block, conv):
                    setattr(block, conv, fused(getattr(block, conv), getattr(block, norm)))
                    setattr(block, norm, nn.Identity())
        for part in self.blocks[frozen:].modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = MOMENTUM
        for part in (self.stem, *self.blocks[:frozen]) if frozen else ():
            part.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            # What is frozen sees one picture at a time: its large maps then stay in the processor's cache.
            x = (
                torch.cat([self._first(one) for one in x.chunk(len(x))])
                if self.frozen and len(x) > 1
                else self._first(x)
            )
        found = []
        for number, block in enumerate(self.blocks):
            if number >= self.frozen:
                x = block(x)
            if number in (4, 10, 15):
                found.append(x)
        return found

    def _first(self, x: Tensor) -> Tensor:
        """The stem and the frozen blocks."""
        x = nn.functional.relu6(self.stem_norm(self.stem(x)), inplace=True)
        for block in self.blocks[: self.frozen]:
            x = block(x)
        return x


def even(conv: object) -> nn.Conv2d:
    """The same convolution with the same padding on all sides, which the runtime's fast layout can do without copies.

    Where the stride is 2 the weights were learned with a column more on the right: this sees the picture one pixel to
    the side, which a network that looks for things at any place does not mind."""
    if not isinstance(conv, nn.Conv2d):
        raise TypeError("Only a convolution can be padded.")
    side = conv.kernel_size[0]
    made = nn.Conv2d(
        conv.in_channels, conv.out_channels, side, conv.stride[0], side // 2, groups=conv.groups, bias=False
    )
    made.weight = conv.weight
    return made.eval()


def fused(conv: nn.Module, norm: nn.Module) -> nn.Module:
    """The convolution with its norm folded in, for what is never trained again."""
    if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        raise TypeError("Only a convolution and its norm can be folded.")
    return fuse_conv_bn_eval(conv, norm)
