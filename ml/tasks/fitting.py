"""Fitting a classifier: the whole training loop, to be read from top to bottom.

On one thread the same seed gives the same weights, also after a kill: every epoch seeds itself, and resume.pt holds the rest."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from ml.calibration import Floats, Ints, log_loss, softmax
from ml.images import crop
from ml.networks.ensemble import Ensemble, member
from ml.run_folder import Run
from ml.samples import Sample, pictures
from ml.tasks.recipes import Recipe

MEAN, STD = 0.5, 0.5  # of rgb / 255: -1 to 1, as the ImageNet weights expect
ROOM = 1.25  # training crops are cut wider, so that shifted and turned views show what is really there


@dataclass(frozen=True)
class Fitted:
    """A trained network and what it says of tune: logits (views, n, classes), with the mirrored view second."""

    net: Ensemble
    logits: Floats
    epochs: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _State:
    """Everything that an epoch begins with."""

    net: nn.Module
    mean: nn.Module  # exponential mean of the weights: this one is judged and kept
    optimiser: torch.optim.Optimizer
    best: dict[str, Tensor]
    best_loss: float = float("inf")
    epoch: int = 0


def cut(samples: Sequence[Sample], recipe: Recipe, room: float = 1.0) -> Tensor:
    """(n, 3, s, s) uint8: each lesion with its margin, or the whole image; `room` widens the view and s alike."""
    side, cuts = round(recipe.side * room), []
    for rgb, sample in zip(pictures(samples), samples, strict=True):
        box, margin = sample.box, recipe.margin
        if box is None:
            box, margin = (0.0, 0.0, float(rgb.shape[1]), float(rgb.shape[0])), 0.0
        wide = ((1 + 2 * margin) * room - 1) / 2
        cuts.append(crop(rgb, box, wide, side, side, 0).transpose(2, 0, 1))
    return torch.from_numpy(np.ascontiguousarray(np.stack(cuts)))


def augmented(recipe: Recipe) -> nn.Module:
    """What a training view may be: mirrored, turned, moved, closer or farther, brighter, covered in part."""
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(
                recipe.turn_degrees,
                (recipe.shift, recipe.shift),
                (1 - recipe.zoom, 1 + recipe.zoom),
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.CenterCrop(recipe.side),
            v2.ColorJitter(brightness=recipe.contrast, contrast=recipe.contrast),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomErasing(recipe.erase, scale=(0.02, 0.15), value=0.0),
            v2.Normalize([MEAN] * 3, [STD] * 3),
        ]
    )


def fit(
    train: Sequence[Sample],
    tune: Sequence[Sample],
    classes: int,
    recipe: Recipe,
    seed: int,
    run: Run | None = None,
    until: float | None = None,
) -> Fitted:
    """Train every member in turn; of each the epoch of least log loss on tune is kept. `until`: no epoch begins later.

    Raises Cancelled when the run folder is told to stop."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    wide, targets = cut(train, recipe, ROOM), torch.tensor([one.target for one in train])
    looked, wanted = cut(tune, recipe), np.array([one.target for one in tune])
    held = _held(run)
    done: list[dict[str, Tensor]] = held.get("done", [])
    lines: list[dict[str, Any]] = held.get("lines", [])
    if run is not None:
        run.rewind(len(lines))
    for number in range(len(done), len(recipe.members)):
        state = _begin(recipe, number, classes, seed, held.pop("state", None))
        while state.epoch < recipe.epochs and (until is None or time.monotonic() < until or not state.epoch):
            started = time.monotonic()
            loss = _epoch(state, wide, targets, recipe, seed * 1000 + number * 100 + state.epoch, run)
            state.epoch += 1
            told = _look(state, looked, wanted)
            line: dict[str, Any] = {"epoch": len(lines) + 1, "of": recipe.epochs * len(recipe.members)}
            line |= {"seconds": round(time.monotonic() - started, 2), "loss": loss, "tune": told}
            lines.append(line)
            if run is not None:
                run.log(line)
                _keep(run, done, lines, state)
        done.append(state.best)
    net = ensemble(recipe, classes, done, targets)
    return Fitted(net, logits_of(net, looked), lines)


def ensemble(recipe: Recipe, classes: int, done: Sequence[dict[str, Tensor]], targets: Tensor) -> Ensemble:
    """The members with their kept weights; training drew classes evenly, so their true shares are put back."""
    nets = [member(name, classes, weights=False) for name in recipe.members]
    for net, weights in zip(nets, done, strict=True):
        net.load_state_dict(weights, strict=True)
    shares = torch.bincount(targets, minlength=classes).float() / len(targets)
    return Ensemble(nets, (shares * classes).clamp(min=1e-3).log()).eval()


@torch.no_grad()
def logits_of(net: nn.Module, pixels: Tensor, batch: int = 64) -> Floats:
    """(2, n, classes): as it is, and mirrored left to right. pixels: (n, 3, s, s) uint8."""
    net.eval()
    found = []
    for start in range(0, len(pixels), batch):
        planes = _fed(pixels[start : start + batch])
        found.append(torch.stack([net(planes), net(planes.flip(-1))]))
    return np.asarray(torch.cat(found, dim=1).double().numpy(), np.float64)


def _fed(pixels: Tensor) -> Tensor:
    return ((pixels.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def _begin(recipe: Recipe, number: int, classes: int, seed: int, kept: dict[str, Any] | None) -> _State:
    torch.manual_seed(seed * 1000 + number * 100 + 99)
    net = member(recipe.members[number], classes, recipe.frozen).to(memory_format=torch.channels_last)
    learns = [weights for weights in net.parameters() if weights.requires_grad]
    optimiser = torch.optim.AdamW(learns, lr=recipe.rate, weight_decay=recipe.decay)
    state = _State(net, copy.deepcopy(net), optimiser, {})
    if kept is not None:
        net.load_state_dict(kept["net"])
        state.mean.load_state_dict(kept["mean"])
        optimiser.load_state_dict(kept["optimiser"])
        state.best, state.best_loss, state.epoch = kept["best"], kept["best_loss"], kept["epoch"]
    return state


def _epoch(state: _State, wide: Tensor, targets: Tensor, recipe: Recipe, seed: int, run: Run | None) -> float:
    """One pass; every class is drawn equally often. Returns the mean loss."""
    torch.manual_seed(seed)
    change, measure = augmented(recipe), nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    count = len(targets) * recipe.views
    weights = 1.0 / torch.bincount(targets).clamp(min=1).float()[targets]
    order = torch.multinomial(weights, count, replacement=True)
    steps, total = max(count // recipe.batch, 1), 0.0
    state.net.train()
    for step in range(steps):
        chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
        planes = torch.stack([change(wide[index]) for index in chosen])
        done = (state.epoch + (step + 1) / steps) / recipe.epochs
        for group in state.optimiser.param_groups:
            group["lr"] = recipe.rate * min(1.0, done * recipe.epochs) * 0.5 * (1 + np.cos(np.pi * min(done, 1.0)))
        loss = measure(state.net(planes.contiguous(memory_format=torch.channels_last)), targets[chosen])
        state.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(state.net.parameters(), 5.0)
        state.optimiser.step()
        _follow(
            state.mean, state.net, min(recipe.ema, (1 + step + state.epoch * steps) / (10 + step + state.epoch * steps))
        )
        total += float(loss.detach())
        if run is not None:
            run.stop_if_asked()
    return round(total / steps, 5)


@torch.no_grad()
def _follow(mean: nn.Module, net: nn.Module, keep: float) -> None:
    for slow, fast in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.mul_(keep).add_(fast, alpha=1 - keep)
        else:
            slow.copy_(fast)


def _look(state: _State, looked: Tensor, wanted: Ints) -> dict[str, float]:
    """Judge the mean weights on tune, each class weighed alike; keep them when they are the best yet."""
    probabilities = softmax(logits_of(state.mean, looked), 1.0)
    classes = [wanted == number for number in np.unique(wanted)]
    loss = float(np.mean([log_loss(probabilities[of], wanted[of]) for of in classes]))
    right = float(np.mean([(probabilities[of].argmax(axis=1) == wanted[of]).mean() for of in classes]))
    if loss < state.best_loss or not state.best:
        state.best_loss = loss
        state.best = {name: weights.detach().clone() for name, weights in state.mean.state_dict().items()}
    return {"loss": round(loss, 5), "balanced_accuracy": round(right, 5)}


def _keep(run: Run, done: list[dict[str, Tensor]], lines: list[dict[str, Any]], state: _State) -> None:
    kept = {
        "net": state.net.state_dict(),
        "mean": state.mean.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "best": state.best,
        "best_loss": state.best_loss,
        "epoch": state.epoch,
    }
    run.keep(lambda path: torch.save({"done": done, "lines": lines, "state": kept}, path))


def _held(run: Run | None) -> dict[str, Any]:
    if run is None or not run.resume.exists():
        return {}
    found: dict[str, Any] = _loaded(run.resume)
    return found


def _loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return found
