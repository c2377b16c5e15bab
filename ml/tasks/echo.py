"""Train the left ventricle's border: `./run ml train echo`. Clips with traced frames in, a run folder out.

Every epoch is drawn from (seed, epoch) alone, so a run that was killed goes on as if it had not been. EF is no part of
training: it comes out of the masks of a clip (ml.ejection)."""

import copy
import math
import pickle
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml import run_folder
from ml.clips import VENTRICLE
from ml.data import BadFolder, Folder, load
from ml.export import to_onnx, write_model
from ml.networks.unet import MULTIPLE, Chances, Unet
from ml.run_folder import BadRun, Run
from ml.samples import pixel_digests
from ml.tasks.classify import plain
from ml.tasks.detect import follow, prepare
from ml.tasks.echo_data import FILL, Augmentation, Frames, planes, traced
from ml.ventricle import OUTPUT, dice

MEAN: Final = 0.2
STD: Final = 0.2
THRESHOLDS: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LOOKED_AT: Final = 64


@dataclass(frozen=True)
class Recipe:
    """All that a training depends on, besides the seed and the data. `per_clip`: frames of each clip in an epoch."""

    side: int = 112
    epochs: int = 20
    batch: int = 16
    per_clip: int = 12
    rate: float = 2e-3
    decay: float = 0.01
    warm_steps: int = 20
    average: float = 0.99
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass
class State:
    """What goes on from epoch to epoch; `average` follows the weights, and is what is judged and kept."""

    net: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0


def train(data: Path, out: Path, recipe: Recipe, seed: int) -> Run:
    """Train on train, choose the threshold on tune; returns the run, done or cancelled. Raises BadFolder, BadRun."""
    if recipe.side % MULTIPLE or not MULTIPLE <= recipe.side <= 1024:
        raise BadFolder(f"The side must be a multiple of {MULTIPLE}, from {MULTIPLE} to 1024.")
    folder = load(data)
    parts = [traced(folder.of(split)) for split in ("train", "tune")]
    if not all(parts):
        raise BadFolder("Train and tune both need frames with a traced left ventricle (category LV, a polygon).")
    run = run_folder.begin(out, "echo", asdict(recipe), seed, folder, ("train", "tune"))
    with run.ending():
        looked = [item for part in parts for item in part]
        run.saw(looked, pixel_digests(looked))
        learn, tune = (Frames(part, recipe.side) for part in parts)
        prepare(seed)
        torch.use_deterministic_algorithms(True)
        state = _begin(recipe, run)
        while state.epoch < recipe.epochs:
            _epoch(state, recipe, seed, learn, tune, run)
        _finish(run, folder, recipe, state.average, (learn, tune))
    return run


def chances(net: nn.Module, frames: Frames) -> Tensor:
    """(n, s, s) probabilities of every frame as it is."""
    net.eval()
    with torch.no_grad():
        parts = [frames.greys[start : start + LOOKED_AT] for start in range(0, len(frames), LOOKED_AT)]
        return torch.cat([net(torch.from_numpy(planes(part, MEAN, STD))).sigmoid()[:, 0] for part in parts])


def loss_of(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross entropy of every pixel and one minus the soft Dice of every frame: logits and wanted (b, 1, s, s)."""
    said = logits.sigmoid()
    both, each = (said * wanted).sum((1, 2, 3)), said.sum((1, 2, 3)) + wanted.sum((1, 2, 3))
    return functional.binary_cross_entropy_with_logits(logits, wanted) + (1 - (2 * both + 1) / (each + 1)).mean()


def _begin(recipe: Recipe, run: Run) -> State:
    net = Unet()
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    state = State(net, copy.deepcopy(net), optimiser)
    if run.resume.exists():
        try:
            kept = torch.load(run.resume, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise BadRun("resume.pt cannot be read: remove it, and the training begins anew.") from error
        net.load_state_dict(kept["net"])
        state.average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
        state.epoch, state.step = kept["epoch"], kept["step"]
    run.rewind(state.epoch)
    return state


def _epoch(state: State, recipe: Recipe, seed: int, learn: Frames, tune: Frames, run: Run) -> None:
    """One pass (warm up at first, then half a cosine), a look at tune, and everything kept."""
    began, rng, losses = time.monotonic(), np.random.default_rng([seed, state.epoch]), []
    order = learn.drawn(rng, recipe.per_clip)
    steps = max(len(order) // recipe.batch, 1)
    state.net.train()
    for number, (greys, masks) in enumerate(learn.views(rng, order, recipe.batch, recipe.augmentation)):
        done = (state.epoch + number / steps) / recipe.epochs
        rate = recipe.rate * min(1.0, (state.step + 1) / recipe.warm_steps) * (0.5 + 0.5 * math.cos(math.pi * done))
        losses.append(_step(state, recipe, rate, greys, masks))
        run.stop_if_asked()
    said = chances(state.average, tune).numpy()
    state.epoch += 1
    found = {"dice": round(_mean_dice(said, tune, 0.5), 5)}
    line = {"epoch": state.epoch, "of": recipe.epochs, "seconds": round(time.monotonic() - began, 2)}
    kept = {"net": state.net.state_dict(), "average": state.average.state_dict(), "epoch": state.epoch}
    kept |= {"optimiser": state.optimiser.state_dict(), "step": state.step}
    run.log({**line, "loss": round(float(np.mean(losses)), 5), "tune": found})
    run.keep(lambda path: torch.save(kept, path))


def _step(
    state: State, recipe: Recipe, rate: float, greys: "np.ndarray[Any, Any]", masks: "np.ndarray[Any, Any]"
) -> float:
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    wanted = torch.from_numpy(masks[:, None].astype(np.float32))
    loss = loss_of(state.net(torch.from_numpy(planes(greys, MEAN, STD))), wanted)
    if not torch.isfinite(loss):
        raise FloatingPointError("The loss is not a number any more.")
    state.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.net.parameters(), 5.0)
    state.optimiser.step()
    state.step += 1
    follow(state.average, state.net, min(recipe.average, (1 + state.step) / (10 + state.step)))
    return float(loss.detach())


def _mean_dice(said: "np.ndarray[Any, Any]", frames: Frames, threshold: float) -> float:
    masks = (said >= threshold).astype(np.uint8)
    return float(np.mean([dice(one, other) for one, other in zip(masks, frames.masks, strict=True)]))


def _finish(run: Run, folder: Folder, recipe: Recipe, net: nn.Module, parts: tuple[Frames, Frames]) -> None:
    said = chances(net, parts[1]).numpy()
    tried = {str(threshold): round(_mean_dice(said, parts[1], threshold), 5) for threshold in THRESHOLDS}
    threshold = max(THRESHOLDS, key=lambda one: (tried[str(one)], -abs(one - 0.5)))
    apart = to_onnx(Chances(net), run.path / "model.onnx", recipe.side, OUTPUT)
    metrics = {
        "tune": {"frames": len(parts[1]), "dice": tried[str(threshold)], "epochs": recipe.epochs},
        "train": {"frames": len(parts[0])},
        "chosen": {"threshold": threshold, "how": "highest mean Dice of tune frames", "tried": tried},
        "onnx_apart": apart,
    }
    run.write("metrics.json", metrics)
    given: dict[str, Any] = {"height": recipe.side, "width": recipe.side, "channels": 3, "resize": "letterbox"}
    given |= {"margin": 0.0, "fill": FILL, "mean": [MEAN] * 3, "std": [STD] * 3, "scale": 255}
    model = {"name": plain(f"{folder.name}-echo"), "version": 1, "task": "echo", "classes": [VENTRICLE], "input": given}
    model |= {"decode": "mask", "threshold": threshold, "licence": "Apache-2.0", "shippable": not folder.models_stay}
    write_model(run, model | {"dataset": {"name": folder.name, "version": folder.version, "hash": folder.hash}})
    (run.path / "card.md").write_text(_card(folder, metrics), "utf-8")


def _card(folder: Folder, metrics: dict[str, Any]) -> str:
    return f"""# {folder.name}: border of the left ventricle

Research use only. Not a medical device.

- A mask of the cavity on each frame of an apical clip; ED, ES, volumes and EF come out of the masks by rules
- Network: a U-Net of half a million weights, from nothing; no foreign weights
- Data: {folder.name}, version {folder.version}, hash {folder.hash}
- May be passed on: {"no, for the licence of its data" if folder.models_stay else "yes"}
- Trained on {metrics["train"]["frames"]} traced frames; threshold {metrics["chosen"]["threshold"]} was chosen on
  {metrics["tune"]["frames"]} frames of tune
- The figures of tune chose the model and say nothing about new patients: `./run ml evaluate` does.
"""
