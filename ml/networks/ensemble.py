"""Several networks as one: the mean of their logits, moved to how common each class is in the training images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ml.networks.cnn10 import Cnn10
from ml.networks.efficientnet_lite import EfficientNetLite0, pretrained


class Smaller(nn.Module):
    """A network that sees its input at half the size."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inside(nn.functional.avg_pool2d(x, 2))
        return found


class Ensemble(nn.Module):
    """(b, 3, h, w) -> (b, classes) logits. `prior` (classes): log of a class's share over its share while training."""

    def __init__(self, members: Sequence[nn.Module], prior: Tensor) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.prior: Tensor
        self.register_buffer("prior", prior)

    def forward(self, images: Tensor) -> Tensor:
        found = [member(images) for member in self.members]
        return torch.stack(found).mean(dim=0) + self.prior


def member(name: str, classes: int, frozen: int = 0, weights: bool = True) -> nn.Module:
    """efflite0 or cnn10, with /2 for half the input's size; `weights` starts from ImageNet where there are such."""
    kind, _, half = name.partition("/")
    if kind == "efflite0":
        net: nn.Module = freeze(pretrained(classes) if weights else EfficientNetLite0(classes), frozen)
    elif kind == "cnn10":
        net = Cnn10(classes)
    else:
        raise ValueError(f"There is no network {name}.")
    return Smaller(net) if half else net


def freeze(net: EfficientNetLite0, blocks: int) -> EfficientNetLite0:
    """The stem and the first blocks learn nothing: on few images they lose nothing, and it saves half the time."""
    if blocks:
        for part in (net._conv_stem, net._bn0, *list(net._blocks)[:blocks]):
            part.requires_grad_(False)
    return net
