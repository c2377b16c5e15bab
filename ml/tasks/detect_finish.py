"""The end of a detector's training: ONNX, the threshold from tune, eight bits where they cost nothing, model.json."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ml import decode
from ml.data import Folder
from ml.detectors import Detector
from ml.detectors.export import export, quantise
from ml.images import Input, normalised
from ml.judge import detection as judge
from ml.judge.detected import LEAST_SCORE, LIMIT, figures, kinds_of, picture, pictures
from ml.run_folder import Run
from ml.runtime import Model
from ml.tasks.detect_data import Pictures

NMS_IOU = 0.5
DRAWS = 200
MOST_LOST = 0.02  # of F1, for eight bits
PROBES, CALIBRATION = 4, 64
USE = "Points at places on an ultrasound picture for a person to look at. Research use only; not a medical device."


@torch.no_grad()
def look(network: nn.Module, detector: Detector, tune: Pictures) -> dict[str, float]:
    """F1 at its best threshold and AP of tune, by PyTorch in the middle of training."""
    was = network.training
    network.eval()
    found = []
    place = next(network.parameters()).device
    kinds = kinds_of(tune.items, tune.classes)
    for index, item in enumerate(tune.items):
        planes = torch.from_numpy(normalised(tune.sample(index).rgb, tune.given)).to(place)
        candidates = candidates_of(network(planes), detector.decode)
        best = decode.kept(candidates, LEAST_SCORE, NMS_IOU)
        found.append(picture(item, kinds[index], tune.placed(index).back(best.boxes), best.scores))
    network.train(was)
    pool = judge.pool(found, "iou50")
    threshold = judge.best_threshold(pool)
    told = {"f1": judge.at_threshold(pool, threshold)["f1"], "map50": judge.average_precision(pool)}
    told |= {"recall_iou30": judge.recall_at_false(judge.pool(found, "iou30"), LIMIT), "threshold": threshold}
    return {name: round(value, 4) for name, value in told.items() if value == value}


def candidates_of(output: Any, how: str) -> decode.Candidates:  # noqa: ANN401 -- each network answers in its own way
    """What a network in evaluation says of one image, as the runtime's decoding sees it."""
    if how == "fcos":
        logits, boxes = output
        return decode.Candidates(boxes[0].cpu().numpy(), logits[0].sigmoid().cpu().numpy())
    first = (output[0] if isinstance(output, tuple | list) else output).cpu().numpy()
    return decode.yolo([first], first.shape[1] - 4)


def finish(
    run: Run,
    detector: Detector,
    network: nn.Module,
    given: Input,
    classes: Sequence[str],
    folder: Folder,
    data: Pictures,
    tune: Pictures,
    wishes: tuple[bool, bool],
) -> None:
    """Write model.onnx, model.json, perhaps model.int8.onnx, and metrics.json. Raises NotTheSame.

    `wishes`: eight bits are tried; the model looks at the mirror image too."""
    probe = np.concatenate([normalised(tune.sample(i).rgb, given) for i in range(min(PROBES, len(tune)))])
    same = export(detector, network, given, run.path / "model.onnx", probe)
    told = described(run, detector, given, classes, folder)
    told["tta"] += ["hflip"] if wishes[1] else []
    run.write("model.json", told)
    found = pictures(Model.open(run.path), tune.items)
    threshold = round(judge.best_threshold(judge.pool(found, "iou50")), 4)
    metrics: dict[str, Any] = {"parity": same, "tune": figures(found, threshold, len(classes), DRAWS)}
    metrics["threshold"] = {"value": threshold, "chosen": "highest F1 at IoU 0.5 on tune", "images": len(tune)}
    told["threshold"] = threshold
    run.write("model.json", told)
    if wishes[0]:
        metrics["eight_bits"] = eight_bits(run, told, given, data, tune, threshold)
    run.write("metrics.json", metrics)
    (run.path / "card.md").write_text(card(told, metrics["tune"]), "utf-8")


def card(told: dict[str, Any], figures_of_tune: dict[str, Any]) -> str:
    """The model card of a model that finds boxes: what it is, what it is for, and what tune says, which chose by it."""
    data = told["dataset"]
    lines = [f"# {told['name']} version {told['version']}", "", "Research use only. Not a medical device.", "", USE, ""]
    lines += [f"- task: {told['task']}; classes: {', '.join(told['classes'])}"]
    lines += [f"- input: {told['input']['width']} x {told['input']['height']} px, {told['input']['resize']}"]
    lines += [f"- trained on: {data['name']}, version {data['version']}, hash {data['hash']} (train and tune)"]
    lines += [f"- threshold: {told['threshold']}, chosen on tune", f"- licence: {told['licence']}"]
    lines += [
        "- may be shipped: " + ("yes" if told["shippable"] else "no, for the licence of its training code or data"),
        "",
    ]
    lines += [
        "Figures of tune, by which the threshold was chosen: too good to be told as the model's own. The model is"
    ]
    lines += [
        "judged by `./run ml evaluate` on data that it never saw.",
        "",
        "| figure | value | 95 % interval |",
        "|---|--:|---|",
    ]
    for name, figure in figures_of_tune.items():
        if isinstance(figure, dict) and figure.get("value") is not None and figure.get("low") is not None:
            lines.append(f"| {name} | {figure['value']:.3f} | {figure['low']:.3f}-{figure['high']:.3f} |")
    return "\n".join(lines) + "\n"


def eight_bits(
    run: Run, told: dict[str, Any], given: Input, data: Pictures, tune: Pictures, threshold: float
) -> dict[str, Any]:
    """Make model.int8.onnx, judge it on tune at the same threshold, and keep it only if that costs next to nothing."""
    path = run.path / "model.int8.onnx"
    places = np.random.default_rng(0).permutation(len(data))[:CALIBRATION]
    quantise(run.path / "model.onnx", path, [normalised(data.sample(int(i)).rgb, given) for i in places])
    whole = judge.pool(pictures(Model.open(run.path), tune.items), "iou50")
    files = told["files"] | {path.name: digest(path)}
    run.write("model.json", told | {"files": files, "use": path.name})
    small = judge.pool(pictures(Model.open(run.path), tune.items), "iou50")
    before, after = (judge.at_threshold(pool, threshold)["f1"] for pool in (whole, small))
    is_kept = bool(before - after <= MOST_LOST)
    if is_kept:
        told["files"] = files
    else:
        path.unlink()
    run.write("model.json", told)
    return {"f1_before": round(before, 4), "f1_after": round(after, 4), "kept": is_kept}


def described(run: Run, detector: Detector, given: Input, classes: Sequence[str], folder: Folder) -> dict[str, Any]:
    """model.json of a detector; its threshold is set later."""
    box = {"height": given.height, "width": given.width, "channels": 3, "resize": "letterbox", "margin": given.margin}
    box |= {"fill": given.fill, "mean": list(given.mean), "std": list(given.std), "scale": given.scale}
    return {
        "format": 1,
        "name": named(f"{folder.name}-detect"),
        "version": 1,
        "task": "detect",
        "classes": list(classes),
        "derived": {},
        "input": box,
        "decode": detector.decode,
        "strides": list(detector.strides),
        "threshold": 0.5,
        "nms_iou": NMS_IOU,
        "temperature": 1.0,
        "abstain_below": None,
        "tta": ["identity"],
        "files": {"model.onnx": digest(run.path / "model.onnx")},
        "use": "model.onnx",
        "licence": detector.licence,
        "shippable": detector.shippable and not folder.models_stay,
        "intended_use": USE,
        "research use": True,
        "dataset": {"name": folder.name, "version": folder.version, "hash": folder.hash},
    }


def named(text: str) -> str:
    """A name of plain letters, as model.json wants it."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in text).strip("._-")
    return plain[:100] or "model"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
