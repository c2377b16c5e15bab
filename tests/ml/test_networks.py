"""The networks: ten weight layers, and EfficientNet-Lite0 that takes the ImageNet weights strictly."""

from collections import Counter
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from ml.export import to_onnx
from ml.networks.cnn10 import Cnn10
from ml.networks.efficientnet_lite import CHANNELS, EfficientNetLite0, pretrained
from ml.networks.ensemble import Ensemble, Together, freeze, member


def test_the_baseline_has_ten_weight_layers() -> None:
    net = Cnn10(4).eval()
    layers = [type(m) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert layers == [nn.Conv2d] * 8 + [nn.Linear] * 2 and net(torch.zeros(2, 3, 40, 48)).shape == (2, 4)


def test_the_imagenet_weights_load_strictly() -> None:
    net = pretrained(2).eval()
    assert sum(weights.numel() for weights in EfficientNetLite0(1000).parameters()) == 4_652_008
    with torch.no_grad():
        maps = net.features(torch.zeros(1, 3, 64, 96))
        assert [tuple(m.shape[1:]) for m in maps] == [
            (c, 64 // s, 96 // s) for c, s in zip(CHANNELS, (8, 16, 32), strict=True)
        ]
        assert net(torch.zeros(1, 3, 64, 96)).shape == (1, 2)


def test_padding_is_that_of_tensorflow() -> None:
    """SAME with stride 2 on even sides pads below and to the right only (kernel 3)."""
    stem = EfficientNetLite0(2)._conv_stem
    nn.init.zeros_(stem.weight)
    with torch.no_grad():
        stem.weight[0, 0, 0, 0] = 1
    x = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(1, 3, 1, 1)
    assert torch.equal(stem(x)[0, 0], x[0, 0, ::2, ::2])


def test_uneven_padding_is_a_part_of_the_convolution_that_is_written(tmp_path: Path) -> None:
    """A Pad before it copies the map: a third of the time of a small classifier."""
    apart = to_onnx(EfficientNetLite0(2), tmp_path / "model.onnx", 64)
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node)
    assert apart < 1e-4 and kinds["Conv"] == 49 and "Pad" not in kinds


def test_ensembles_together_see_the_picture_each_at_its_own_side(tmp_path: Path) -> None:
    prior, x = torch.tensor([0.5, -0.5]), torch.rand(2, 3, 48, 48)
    large, small = (Ensemble([member("cnn10", 2).eval()], prior).eval() for _ in range(2))
    both = Together([large, small], [48, 32]).eval()
    seen = nn.functional.interpolate(x, size=(32, 32), mode="bilinear", align_corners=False)
    with torch.no_grad():
        assert torch.allclose(both(x), (large(x) + small(seen)) / 2)
    assert to_onnx(both, tmp_path / "model.onnx", 48) < 1e-4


def test_members_are_averaged_and_frozen_blocks_do_not_learn() -> None:
    nets = [member("cnn10", 2).eval(), member("cnn10/2", 2).eval()]
    prior, x = torch.tensor([0.5, -0.5]), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(Ensemble(nets, prior)(x), (nets[0](x) + nets[1](x)) / 2 + prior)
    net = freeze(EfficientNetLite0(2), 4)
    assert not any(w.requires_grad for w in net._blocks[3].parameters()) and all(
        w.requires_grad for w in net._blocks[4].parameters()
    )
    with pytest.raises(ValueError, match="no network"):
        member("vgg", 2)
