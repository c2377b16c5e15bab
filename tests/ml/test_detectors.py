"""The detectors: which point answers for which box, the loss, and that ONNX says what PyTorch says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ml.detectors import RECIPES, build
from ml.detectors.assign import assign, detection_loss
from ml.detectors.export import export, last_convolutions, quantise
from ml.detectors.fcos import FcosDetector, points
from ml.export import NotTheSame
from ml.images import Input

SIDE = 64
CENTRES = points(SIDE, SIDE)


def around(centres: torch.Tensor, reach: float) -> torch.Tensor:
    return torch.cat([centres - reach, centres + reach], dim=1)


def test_points_are_the_middles_of_cells() -> None:
    assert len(CENTRES) == 8 * 8 + 4 * 4 + 2 * 2
    assert CENTRES[0].tolist() == [4, 4]
    assert CENTRES[1].tolist() == [12, 4]
    assert CENTRES[64].tolist() == [8, 8]
    assert CENTRES[-1].tolist() == [48, 48]


def test_points_in_a_box_answer_for_it_and_the_best_is_as_good_as_it_fits() -> None:
    truth = torch.tensor([[8.0, 8, 40, 40], [50, 50, 62, 62]])
    scores = torch.full((len(CENTRES), 1), 0.5)
    boxes = around(CENTRES, 14.0)
    taken, quality = assign(scores, boxes, CENTRES, torch.tensor([0, 0]), truth)
    for number, (x0, y0, x1, y1) in enumerate(truth.tolist()):
        mine = CENTRES[taken == number]
        assert 1 <= len(mine) <= 10
        assert ((mine > torch.tensor([x0, y0])) & (mine < torch.tensor([x1, y1]))).all()
    assert quality[taken < 0].max() == 0
    best = CENTRES[quality.argmax()]
    assert (best - 24).abs().max() <= 8
    assert 0.7 < quality.max() <= 1


def test_a_box_between_the_points_is_still_answered_for() -> None:
    taken, quality = assign(
        torch.full((len(CENTRES), 1), 0.5),
        around(CENTRES, 8.0),
        CENTRES,
        torch.tensor([0]),
        torch.tensor([[13.0, 13, 15, 15]]),
    )
    assert (taken == 0).sum() >= 1
    assert quality.max() > 0


def test_an_image_without_boxes_only_asks_for_silence() -> None:
    taken, quality = assign(
        torch.rand(len(CENTRES), 2), around(CENTRES, 8.0), CENTRES, torch.zeros(0, dtype=torch.long), torch.zeros(0, 4)
    )
    assert (taken == -1).all()
    assert quality.sum() == 0
    loud, quiet = (torch.full((1, len(CENTRES), 2), value) for value in (2.0, -8.0))
    boxes = around(CENTRES, 8.0)[None]
    losses = [detection_loss(logits, boxes, CENTRES, [torch.zeros(0, 5)]) for logits in (loud, quiet)]
    assert losses[1] < losses[0]


def test_the_loss_falls_when_boxes_fit_better() -> None:
    target = [torch.tensor([[0.0, 8, 8, 40, 40]])]
    logits = torch.full((1, len(CENTRES), 1), -2.0)
    true = target[0][:, 1:].expand(len(CENTRES), 4)
    poor = true + torch.tensor([-6.0, 9, 7, 12])
    losses = [float(detection_loss(logits, boxes[None], CENTRES, target)) for boxes in (true, poor)]
    assert losses[0] < losses[1]


def test_what_is_frozen_does_not_move() -> None:
    torch.manual_seed(0)
    detector = FcosDetector(1, frozen=3, weights=False)
    before = {name: value.clone() for name, value in detector.network.state_dict().items()}
    detector.trains()
    optimiser = torch.optim.SGD([p for group in detector.groups(0.1) for p in group["params"]], lr=0.1)
    detector.loss(torch.rand(2, 3, SIDE, SIDE), [torch.tensor([[0.0, 8, 8, 40, 40]]), torch.zeros(0, 5)]).backward()
    optimiser.step()
    after = detector.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    still = {name for name in before if name.startswith(("backbone.stem", "backbone.blocks.0.", "backbone.blocks.2."))}
    assert still
    assert not moved & still
    assert any(name.startswith("backbone.blocks.9.") for name in moved)
    assert any(name.startswith("score.") for name in moved)


@pytest.mark.parametrize("recipe", ["fcos", "yolov8n"])
def test_onnx_says_what_pytorch_says_and_eight_bits_run(recipe: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = build(recipe, 2, tmp_path / "plugin")
    given = Input(SIDE, SIDE, mean=detector.mean, std=detector.std)
    probe = np.random.default_rng(0).random((2, 3, SIDE, SIDE), dtype=np.float32)
    same = export(detector, detector.network, given, tmp_path / "model.onnx", probe)
    assert same["score"] <= 1e-3
    assert same["box_px"] <= 1
    kept = last_convolutions(tmp_path / "model.onnx")
    assert len(kept) == {"fcos": 6, "yolov8n": 4}[recipe]  # scores and boxes of three levels; YOLO joins its boxes
    quantise(tmp_path / "model.onnx", tmp_path / "small.onnx", [one[None] for one in probe])
    assert (tmp_path / "small.onnx").stat().st_size < 0.5 * (tmp_path / "model.onnx").stat().st_size
    assert (detector.licence == "Apache-2.0") == detector.shippable


def test_a_difference_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = FcosDetector(1, weights=False)
    given = Input(SIDE, SIDE)
    whole = detector.exportable

    class Other(torch.nn.Module):
        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.inner, self.calls = whole(network), 0

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            scores, boxes = self.inner(images)
            return scores, boxes if torch.jit.is_tracing() else boxes + 2

    detector.exportable = Other  # type: ignore[method-assign, assignment]
    with pytest.raises(NotTheSame, match="px"):
        export(detector, detector.network, given, tmp_path / "m.onnx", np.zeros((1, 3, SIDE, SIDE), np.float32))


def test_an_unknown_recipe_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=RECIPES[0]):
        build("yolo99", 1, tmp_path)


def test_the_plug_in_changes_nothing_of_others(tmp_path: Path) -> None:
    build("yolov8n", 1, tmp_path)
    assert (Image.open.__module__, torch.save.__module__) == ("PIL.Image", "torch.serialization")
