"""Several networks as one: the mean of their logits, moved to how common each class is in the training images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ml.networks.cnn10 import Cnn10
from ml.networks.efficientnet_lite import EfficientNetLite0, Tail, pretrained


class Smaller(nn.Module):
    """A network that sees its input at half the size."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inside(nn.functional.avg_pool2d(x, 2))
        return found


class Ensemble(nn.Module):
    """(b, 3, h, w) -> (b, classes) logits. `prior` (classes): log of a class's share over its share while training.

    With a body its maps are made once, and all members read those."""

    def __init__(self, members: Sequence[nn.Module], prior: Tensor, body: nn.Module | None = None) -> None:
        super().__init__()
        self.body = nn.Identity() if body is None else body
        self.members = nn.ModuleList(members)
        self.prior: Tensor
        self.register_buffer("prior", prior)

    def forward(self, images: Tensor) -> Tensor:
        return self.of_maps(self.body(images))

    def of_maps(self, maps: Tensor) -> Tensor:
        """The logits of what the body made; without a body, of images."""
        found = [member(maps) for member in self.members]
        return torch.stack(found).mean(dim=0) + self.prior


class Together(nn.Module):
    """Ensembles that see the picture each at its own side, (b, 3, s, s) -> (b, classes): the mean of their logits.

    `sides` in pixels; the first is the input's."""

    def __init__(self, nets: Sequence[nn.Module], sides: Sequence[int]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.sides = tuple(sides)

    def forward(self, images: Tensor) -> Tensor:
        found = []
        for net, side in zip(self.nets, self.sides, strict=True):
            seen = images
            if side != self.sides[0]:
                seen = nn.functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
            found.append(net(seen))
        return torch.stack(found).mean(dim=0)


def member(name: str, classes: int, frozen: int = 0, weights: bool = True) -> nn.Module:
    """efflite0, cnn10, or tail (of efflite0, behind a body that does not learn), with /2 for half the input's size.

    `weights` starts from ImageNet where there are such. Raises ValueError for another name."""
    kind, _, half = name.partition("/")
    if kind == "efflite0":
        net: nn.Module = freeze(pretrained(classes) if weights else EfficientNetLite0(classes), frozen)
    elif kind == "tail":
        net = Tail(classes, weights=weights)
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
