"""Train a detector: `./run ml train detect`. Stills and frames with boxes in, a run folder with ONNX models out.

Every epoch is drawn from (seed, epoch, process) alone, so a run that was killed goes on as if it had not been."""

import copy
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ml import run_folder
from ml.data import BadFolder, Folder, Item
from ml.detectors import Detector, build
from ml.images import Input
from ml.run_folder import Cancelled, Run
from ml.samples import pixel_digests
from ml.tasks.detect_data import Augmentation, Pictures
from ml.tasks.detect_finish import finish, look
from ml.tasks.together import Together, device, together

LAYOUT = torch.channels_last  # twice as fast as planes for depthwise convolutions on a processor


@dataclass(frozen=True)
class Recipe:
    """All that a training depends on, besides the seed and the data.

    `warm_steps` is an epoch at most. `one_class` names the class that every box is taken as ("" keeps the folder's).
    `budget_minutes` ends the schedule early on a slow machine (0: never); then the result depends on the machine's
    speed, and run.json says so. `mirrored`: the model is to look at the mirror image too, at twice the cost, and say the
    mean of both. Size, epochs, batch and rate are those measured in docs/models/breast-detect.md."""

    detector: str = "fcos"
    size: int = 256
    epochs: int = 20
    batch: int = 8
    rate: float = 1.5e-3
    decay: float = 0.02
    warm_steps: int = 60
    average: float = 0.997
    plain_from: float = 0.8  # the last fifth is trained without mosaics
    budget_minutes: float = 0.0
    one_class: str = ""
    eight_bits: bool = True
    mirrored: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass
class State:
    """What goes on from epoch to epoch."""

    detector: Detector
    average: nn.Module
    optimiser: torch.optim.Optimizer
    group: Together = field(default_factory=Together)
    epoch: int = 0
    step: int = 0
    spent: float = 0.0
    processor: float = 0.0


def train(folder: Folder, out: Path, recipe: Recipe, seed: int, items: tuple[Sequence[Item], Sequence[Item]]) -> Run:
    """Train on items[0], choose the threshold on items[1]; returns the run, done or cancelled. Raises BadRun, BadFolder."""
    classes = (recipe.one_class,) if recipe.one_class else folder.categories
    with together() as group:
        if recipe.batch % group.size or (group.size > 1 and recipe.budget_minutes):
            raise BadFolder("Several processes need a batch that they can share evenly, and no --budget-minutes.")
        run = Run(out)
        if group.leads:
            run = run_folder.begin(out, "detect", asdict(recipe), seed, folder, ("train", "tune"))
            run.saw([*items[0], *items[1]], pixel_digests([*items[0], *items[1]]))
        group.wait()
        prepare(seed)
        with run.ending() if group.leads else suppress(Cancelled):
            state = begin(recipe, len(classes), run, group)
            given = Input(recipe.size, recipe.size, mean=state.detector.mean, std=state.detector.std)
            sets = [
                Pictures(part, classes, given, one_class=bool(recipe.one_class))
                for part in (group.part(items[0]), items[1])
            ]
            while progress(state, recipe) < 1:
                epoch(state, recipe, seed, sets[0], sets[1], run)
            if group.leads:
                wishes = (recipe.eight_bits, recipe.mirrored)
                finish(run, state.detector, state.average, given, classes, folder, sets[0], sets[1], wishes)
    return run


def prepare(seed: int) -> None:
    """One thread, one seed: the same bytes again."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(seed)


def begin(recipe: Recipe, classes: int, run: Run, group: Together) -> State:
    """A new state, or the one of the last whole epoch where the run was stopped."""
    detector = build(recipe.detector, classes, run.path / "plugin")
    detector.network.to(device(), memory_format=LAYOUT)  # type: ignore[call-overload]
    average = copy.deepcopy(detector.network).eval()
    groups = [one | {"lr": 0.0} for one in detector.groups(recipe.rate)]
    state = State(detector, average, torch.optim.AdamW(groups, weight_decay=recipe.decay), group)
    if run.resume.exists():
        kept = torch.load(run.resume, map_location=device(), weights_only=True)
        detector.network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        state.optimiser.load_state_dict(kept["optimiser"])
        state.epoch, state.step = kept["epoch"], kept["step"]
        state.spent, state.processor = kept["spent"], kept["processor"]
    group.wait()
    if group.leads:
        run.rewind(state.epoch)
    return state


def progress(state: State, recipe: Recipe, since: float = 0.0, part: float = 0.0) -> float:
    """How far the schedule is, 0 to 1: by epochs, or by the budget if that ends first."""
    by_epochs = (state.epoch + part) / recipe.epochs
    budget = recipe.budget_minutes * 60
    return min(max(by_epochs, (state.spent + since) / budget if budget else 0.0), 1.0)


def epoch(state: State, recipe: Recipe, seed: int, data: Pictures, tune: Pictures, run: Run) -> None:
    """One pass over the training images (warm up at first, then half a cosine), a look at tune, and everything kept."""
    began, processor, losses = time.monotonic(), time.process_time(), []
    how, rng = recipe.augmentation, np.random.default_rng([seed, state.epoch, state.group.rank])
    size = recipe.batch // state.group.size
    mosaic = how.mosaic if progress(state, recipe) < recipe.plain_from else 0.0
    batches = max(len(data) * how.copies // size, 1)
    state.detector.trains()
    for number, (planes, boxes) in enumerate(data.batches(rng, size, how, mosaic)):
        done = progress(state, recipe, time.monotonic() - began, number / batches)
        warm = min(1.0, (state.step + 1) / min(recipe.warm_steps, batches))
        rate = warm * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * done)))
        losses.append(step(state, recipe, rate, torch.from_numpy(planes), [torch.from_numpy(b) for b in boxes]))
        if state.group.any(run.is_asked_to_stop()):
            raise Cancelled
    state.epoch += 1
    if not state.group.leads:
        return
    found = look(state.average, state.detector, tune)
    state.spent += time.monotonic() - began
    state.processor += time.process_time() - processor
    seconds = round(time.monotonic() - began, 2)
    line: dict[str, Any] = {"epoch": state.epoch, "of": planned(state, recipe), "seconds": seconds}
    line |= {"processor_seconds": round(time.process_time() - processor, 2), "loss": round(float(np.mean(losses)), 4)}
    run.keep(lambda path: torch.save(kept(state), path))
    run.log(line | {"tune": found})


def step(state: State, recipe: Recipe, rate: float, images: Tensor, targets: list[Tensor]) -> float:
    """One batch at `rate` of the top rates: gradients cut at 10, the moving average follows. Returns the loss."""
    for group in state.optimiser.param_groups:
        group["lr"] = group["top"] * rate
    place = device()
    loss = state.detector.loss(images.to(place, memory_format=LAYOUT), [target.to(place) for target in targets])
    if not torch.isfinite(loss):
        raise FloatingPointError("The loss is not a number any more.")
    state.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.group.average_gradients(state.detector.network)
    nn.utils.clip_grad_norm_(state.detector.network.parameters(), 10.0)
    state.optimiser.step()
    state.step += 1
    follow(state.average, state.detector.network, min(recipe.average, (1 + state.step) / (10 + state.step)))
    return float(loss.detach())


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """average = keep * average + (1 - keep) * network, buffers too; counters are copied."""
    for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def planned(state: State, recipe: Recipe) -> int:
    """About how many epochs there will be."""
    if not recipe.budget_minutes:
        return recipe.epochs
    left = max(recipe.budget_minutes * 60 - state.spent, 0) / (state.spent / state.epoch)
    return min(recipe.epochs, state.epoch + math.ceil(left))


def kept(state: State) -> dict[str, Any]:
    """What resume.pt holds: tensors and plain numbers only."""
    return {
        "network": state.detector.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "epoch": state.epoch,
        "step": state.step,
        "spent": state.spent,
        "processor": state.processor,
    }
