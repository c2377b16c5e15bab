"""Train the second stage: `./run ml train reject`. A small CNN says of each box whether it holds a tumour.

False boxes are mined from the detector at a low threshold on TRAIN images only; hard negatives may be given as a folder."""

import copy
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ml import model_file, run_folder
from ml.data import Folder, Item
from ml.export import to_onnx
from ml.images import Input
from ml.judge import detection as judge
from ml.judge.detect_run import ALONE
from ml.judge.detected import figures
from ml.judge.second_stage import choose, doubted, gain
from ml.judge.unseen import refuse_seen
from ml.networks.cnn10 import Cnn10
from ml.run_folder import Run
from ml.runtime import Model
from ml.samples import pixel_digests
from ml.tasks.detect import follow, prepare
from ml.tasks.detect_finish import USE, card, digest, named
from ml.tasks.reject_data import CLASSES, Patches, gather


@dataclass(frozen=True)
class Recipe:
    """All that the second stage depends on, besides the seed, the data and the detector (by its digest)."""

    detector: str
    side: int = 64
    epochs: int = 10
    batch: int = 32
    rate: float = 1e-3
    decay: float = 0.02
    copies: int = 3
    margin: float = 0.25
    hard: str = ""


def train(folder: Folder, out: Path, detect: Path, recipe: Recipe, seed: int, items: tuple[Sequence[Item], ...]) -> Run:
    """Train on items[0], choose thresholds on items[1], tell the gain on items[2] too where something was held out.

    The detector must not have seen those. The run folder also gets pipeline/. Raises BadRun, SawIt, ValueError."""
    if len(items) > 2:
        refuse_seen(detect, items[2])
    run = run_folder.begin(out, "reject", asdict(recipe), seed, folder, ("train", "tune"))
    run.saw([*items[0], *items[1]], pixel_digests([*items[0], *items[1]]))
    prepare(seed)
    with run.ending():
        detector = Model.open(detect)
        given = Input(recipe.side, recipe.side, "crop", recipe.margin, 0, (0.5,) * 3, (0.5,) * 3)
        hard = Path(recipe.hard) if recipe.hard else None
        patches, counts = gather(detector, items[0], given, np.random.default_rng([seed, 1]), recipe.copies, hard)
        network = fit(run, recipe, seed, patches, given)
        finish(run, detector, detect, network, given, folder, items[1:], counts)
    return run


def fit(run: Run, recipe: Recipe, seed: int, patches: Patches, given: Input) -> nn.Module:
    """The moving average of the network after all epochs; goes on from resume.pt."""
    network = Cnn10(len(CLASSES))
    average = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.epochs)
    parts = {"network": network, "average": average, "optimiser": optimiser, "rates": rates}
    epoch = 0
    if run.resume.exists():
        kept = torch.load(run.resume, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(kept[name])  # type: ignore[attr-defined]
        epoch = int(kept["epoch"])
    run.rewind(epoch)
    while epoch < recipe.epochs:
        began, losses = time.monotonic(), []
        torch.manual_seed(seed * 1000 + epoch)
        network.train()
        for planes, wanted in patches.batches(np.random.default_rng([seed, 2, epoch]), recipe.batch, given):
            loss = nn.functional.cross_entropy(
                network(torch.from_numpy(planes)), torch.from_numpy(wanted), label_smoothing=0.05
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            follow(average, network, 0.98)
            losses.append(float(loss.detach()))
            run.stop_if_asked()
        rates.step()
        epoch += 1
        states = {name: part.state_dict() for name, part in parts.items()} | {"epoch": epoch}  # type: ignore[attr-defined]
        run.keep(lambda path, states=states: torch.save(states, path))  # type: ignore[misc]
        seconds = round(time.monotonic() - began, 2)
        run.log({"epoch": epoch, "of": recipe.epochs, "seconds": seconds, "loss": round(float(np.mean(losses)), 4)})
    return average


def finish(
    run: Run,
    detector: Model,
    detect: Path,
    network: nn.Module,
    given: Input,
    folder: Folder,
    parts: Sequence[Sequence[Item]],
    counts: dict[str, int],
) -> None:
    """model.onnx, thresholds by tune, the gain at the same recall in metrics.json, and the pipeline of both."""
    same = to_onnx(network, run.path / "model.onnx", given.height)
    told = _described(run, given, folder)
    run.write("model.json", told)
    found = doubted(detector, Model.open(run.path), parts[0])
    threshold = detector.spec.threshold
    chosen = choose(found, threshold)
    told["threshold"] = round(chosen[1], 4)
    run.write("model.json", told)
    helped = gain(found, threshold, (round(chosen[0], 4), told["threshold"]))
    metrics: dict[str, Any] = {"parity": {"score": same}, "patches": counts, "gain_on_tune": helped}
    if len(parts) > 1:
        held = doubted(detector, Model.open(run.path), parts[1])
        metrics["gain_on_held"] = gain(held, threshold, (round(chosen[0], 4), told["threshold"]))
    metrics["helps"] = told["threshold"] > 0
    after = [one.kept(told["threshold"]) for one in found]
    metrics["tune"] = figures(after, round(chosen[0], 4), len(detector.spec.classes))
    metrics["map50_before"] = round(judge.average_precision(judge.pool([one.picture for one in found], "iou50")), 4)
    run.write("metrics.json", metrics)
    (run.path / "card.md").write_text(card(told, metrics["tune"]), "utf-8")
    assemble(run.path / "pipeline", named(f"{folder.name}-pipeline"), detect, run.path, round(chosen[0], 4))


def assemble(out: Path, name: str, detect: Path, reject: Path | None, threshold: float | None = None) -> None:
    """A pipeline folder of copies; `threshold` replaces the detector's, for the second stage sees more boxes then."""
    if out.exists():
        shutil.rmtree(out)
    told: dict[str, Any] = {
        "format": 1,
        "name": name,
        "version": 1,
        "detect": "detect/",
        "reject": None,
        "classify": None,
    }
    told[ALONE] = model_file.load(detect).threshold
    for part, source in (("detect", detect), ("reject", reject)):
        if source is None:
            continue
        (out / part).mkdir(parents=True)
        spec = model_file.document(source / model_file.MODEL_FILE)
        if part == "detect" and threshold is not None:
            spec["threshold"] = threshold
        for file in spec["files"]:
            shutil.copyfile(source / file, out / part / file)
        (out / part / model_file.MODEL_FILE).write_text(json.dumps(spec, indent=1) + "\n", "utf-8")
        told[part] = f"{part}/"
    (out / "pipeline.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _described(run: Run, given: Input, folder: Folder) -> dict[str, Any]:
    box = {"height": given.height, "width": given.width, "channels": 3, "resize": "crop", "margin": given.margin}
    box |= {"fill": given.fill, "mean": list(given.mean), "std": list(given.std), "scale": given.scale}
    told = {
        "format": 1,
        "name": named(f"{folder.name}-reject"),
        "version": 1,
        "task": "reject",
        "classes": list(CLASSES),
    }
    told |= {"derived": {}, "input": box, "decode": "softmax", "threshold": 0.5, "nms_iou": 0.5, "temperature": 1.0}
    told |= {"abstain_below": None, "tta": ["identity"], "files": {"model.onnx": digest(run.path / "model.onnx")}}
    told |= {"use": "model.onnx", "licence": "Apache-2.0", "shippable": not folder.models_stay}
    told |= {"intended_use": USE, "research use": True}
    return told | {"dataset": {"name": folder.name, "version": folder.version, "hash": folder.hash}}
