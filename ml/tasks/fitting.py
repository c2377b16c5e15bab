"""Fitting a classifier: the whole training loop, to be read from top to bottom.

On one thread the same seed gives the same weights, also after a kill: every epoch seeds itself, and resume.pt holds the rest."""

import copy
import math
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ml.calibration import Floats, Ints, log_loss, softmax
from ml.form import Form
from ml.networks.efficientnet_lite import Body
from ml.networks.ensemble import Ensemble, Together, member
from ml.run_folder import BadRun, Run
from ml.samples import Sample
from ml.tasks.recipes import Recipe
from ml.tasks.views import Store, Views


@dataclass(frozen=True)
class Fitted:
    """A trained network, the term of the boxes' form if there is one, and the logits of tune: (views, n, classes)."""

    net: nn.Module
    logits: Floats
    form: Form | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)

    def say(self, looked: Tensor, samples: Sequence[Sample]) -> Floats:
        """Logits (2, n, classes) of samples and what Store.looked gives of them: as they are, and mirrored left to right."""
        return logits_of(self.net, looked) + of_form(self.form, samples)


@dataclass
class _State:
    """Everything that an epoch begins with."""

    net: nn.Module
    mean: nn.Module  # exponential mean of the weights: this one is judged and kept
    optimiser: torch.optim.Optimizer
    best: dict[str, Tensor]
    best_loss: float = float("inf")
    epoch: int = 0


@dataclass(frozen=True)
class _Given:
    """Views of train with their targets (n,), tune as it is looked at with its own, and what is added to the logits of both."""

    views: Views
    targets: Tensor
    added: Tensor
    looked: Tensor
    wanted: Ints
    added_to_tune: Floats


def fit(
    train: Sequence[Sample],
    tune: Sequence[Sample],
    classes: int,
    recipe: Recipe,
    seed: int,
    run: Run | None = None,
    until: float | None = None,
    store: Store | None = None,
) -> Fitted:
    """Train every member of every part in turn; of each the epoch of least log loss on tune is kept.

    `until`: no epoch begins later.

    Raises Cancelled when the run folder is told to stop."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    store = store or Store()
    form = _form(train, classes) if recipe.by_form else None
    members = [(name, part, given) for part, given in _given(store, train, tune, recipe, form) for name in part.members]
    held = _held(run)
    done: list[dict[str, Tensor]] = held.get("done", [])
    lines: list[dict[str, Any]] = held.get("lines", [])
    if run is not None:
        run.rewind(len(lines))
    for number, (name, part, given) in list(enumerate(members))[len(done) :]:
        state = _begin(part, name, seed * 1000 + number * 100 + 99, classes, held.pop("state", None))
        while state.epoch < part.epochs and (until is None or time.monotonic() < until or not state.epoch):
            started = time.monotonic()
            loss = _epoch(state, given, part, seed * 1000 + number * 100 + state.epoch, run)
            state.epoch += 1
            line: dict[str, Any] = {"epoch": len(lines) + 1, "of": sum(one.epochs for _, one, _ in members)}
            line |= {"loss": loss, "tune": _look(state, given), "seconds": round(time.monotonic() - started, 2)}
            lines.append(line)
            if run is not None:
                run.log(line)
                _keep(run, done, lines, state)
        done.append(state.best)
    net = ensemble(recipe, classes, done, members[0][2].targets)
    return Fitted(net, logits_of(net, store.looked(tune, recipe)) + of_form(form, tune), form, lines)


def _given(
    store: Store, train: Sequence[Sample], tune: Sequence[Sample], recipe: Recipe, form: Form | None
) -> "list[tuple[Recipe, _Given]]":
    """What the members of each part of a recipe learn from and are judged by."""
    targets, wanted = torch.tensor([one.target for one in train]), np.array([one.target for one in tune])
    added, added_to_tune = torch.from_numpy(of_form(form, train)).float().expand(len(train), -1), of_form(form, tune)
    return [
        (part, _Given(store.views(train, part), targets, added, store.looked(tune, part), wanted, added_to_tune))
        for part in recipe.parts
    ]


def of_form(form: Form | None, samples: Sequence[Sample]) -> Floats:
    """(n, classes) that the form of each box adds to the logits; (1, 1) of zero without such a term."""
    if form is None:
        return np.zeros((1, 1))
    return form.logits([one.box for one in samples], [(one.item.width, one.item.height) for one in samples])


def _form(train: Sequence[Sample], classes: int) -> Form | None:
    boxed = [(one, one.box) for one in train if one.box is not None]
    if not boxed:
        return None
    frames = [(one.item.width, one.item.height) for one, _ in boxed]
    return Form.fit([box for _, box in boxed], frames, [one.target for one, _ in boxed], classes)


def ensemble(recipe: Recipe, classes: int, done: Sequence[dict[str, Tensor]], targets: Tensor) -> nn.Module:
    """The members with their kept weights; training drew classes evenly, so their true shares are put back."""
    shares = torch.bincount(targets, minlength=classes).float() / len(targets)
    prior, left, found = (shares * classes).clamp(min=1e-3).log(), iter(done), []
    for part in recipe.parts:
        nets = [member(name, classes, weights=False) for name in part.members]
        for net in nets:
            net.load_state_dict(next(left), strict=True)
        found.append(Ensemble(nets, prior, Body() if part.has_body else None))
    whole = found[0] if len(found) == 1 else Together(found, [part.side for part in recipe.parts])
    return whole.eval()


@torch.no_grad()
def logits_of(net: nn.Module, looked: Tensor, batch: int = 64) -> Floats:
    """(2, n, classes) of what Store.looked gives: as it is, and mirrored left to right."""
    net.eval()
    say = net.of_maps if isinstance(net, Ensemble) else net
    found = [torch.stack([say(view) for view in part]) for part in torch.split(looked, batch, dim=1)]
    return np.asarray(torch.cat(found, dim=1).double().numpy(), np.float64)


def _begin(recipe: Recipe, name: str, seed: int, classes: int, kept: dict[str, Any] | None) -> _State:
    torch.manual_seed(seed)
    net = member(name, classes, recipe.frozen).to(memory_format=torch.channels_last)
    learns = [weights for weights in net.parameters() if weights.requires_grad]
    optimiser = torch.optim.AdamW(learns, lr=recipe.rate, weight_decay=recipe.decay, fused=True)
    state = _State(net, copy.deepcopy(net), optimiser, {})
    if kept is not None:
        net.load_state_dict(kept["net"])
        state.mean.load_state_dict(kept["mean"])
        optimiser.load_state_dict(kept["optimiser"])
        state.best, state.best_loss, state.epoch = kept["best"], kept["best_loss"], kept["epoch"]
    return state


def _epoch(state: _State, given: _Given, recipe: Recipe, seed: int, run: Run | None) -> float:
    """One pass; every class is drawn equally often. Returns the mean loss."""
    targets = given.targets
    torch.manual_seed(seed)
    measure = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    count = len(targets) * recipe.views
    weights = 1.0 / torch.bincount(targets).clamp(min=1).float()[targets]
    order = torch.multinomial(weights, count, replacement=True)
    steps, total = max(count // recipe.batch, 1), 0.0
    state.net.train()
    for step in range(steps):
        chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
        done = (state.epoch + (step + 1) / steps) / recipe.epochs
        for group in state.optimiser.param_groups:
            group["lr"] = recipe.rate * min(1.0, done * recipe.epochs) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        loss = measure(state.net(given.views(chosen)) + given.added[chosen], targets[chosen])
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
    pairs = list(zip(mean.state_dict().values(), net.state_dict().values(), strict=True))
    floats = [(slow, fast) for slow, fast in pairs if slow.dtype.is_floating_point]
    torch._foreach_lerp_([slow for slow, _ in floats], [fast for _, fast in floats], 1 - keep)
    for slow, fast in pairs:
        if not slow.dtype.is_floating_point:
            slow.copy_(fast)


def _look(state: _State, given: _Given) -> dict[str, float]:
    """Judge the mean weights on tune, each class weighed alike; keep them when they are the best yet."""
    wanted, probabilities = given.wanted, softmax(logits_of(state.mean, given.looked) + given.added_to_tune, 1.0)
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
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise BadRun("resume.pt cannot be read: remove it, and the training begins anew.") from error
    return found
