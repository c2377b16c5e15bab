"""Models of a few numbers: ONNX graphs that look for bright or constant things, so that tests know what they must say."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Box = tuple[float, float, float, float]


def graph(
    nodes: list[onnx.NodeProto], outputs: dict[str, list[int | str]], side: int, constants: dict[str, Any]
) -> bytes:
    """A model of opset 17 with the input "images" (batch, 3, side, side) float32."""
    batch: int | str = 1 if "single" in constants else "batch"
    constants = {name: value for name, value in constants.items() if name != "single"}
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def constant_yolo(rows: Sequence[Sequence[float]], side: int) -> bytes:
    """Says the same boxes of every frame: rows of centre x, centre y, width, height, then a score a class."""
    out = np.asarray(rows, np.float32).T[None]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "boxes"], ["output0"]),
    ]
    return graph(nodes, {"output0": list(out.shape)}, side, {"nothing": np.float32(0), "boxes": out, "single": 1})


def constant_fcos(boxes: Sequence[Box], scores: Sequence[Sequence[float]], side: int) -> bytes:
    """Says the same boxes x0 y0 x1 y1 with a score a class of every frame; the outputs come boxes first."""
    found, sure = np.asarray([boxes], np.float32), np.asarray([scores], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "found"], ["boxes"]),
        helper.make_node("Add", ["zero", "sure"], ["scores"]),
    ]
    shapes: dict[str, list[int | str]] = {"boxes": list(found.shape), "scores": list(sure.shape)}
    return graph(nodes, shapes, side, {"nothing": np.float32(0), "found": found, "sure": sure, "single": 1})


def bright_cells(side: int, cell: int, *, dark: bool = False, per_class: Sequence[float] = (1.0,)) -> bytes:
    """A detector that works: each cell of the input is a box, its score the mean brightness there (or the darkness),
    times a weight a class. In the form of "fcos"."""
    count = side // cell
    y, x = np.mgrid[0:count, 0:count].reshape(2, -1) * cell
    boxes = np.stack([x, y, x + cell, y + cell], axis=1)[None].astype(np.float32)
    n = count * count
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["cells"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("Reshape", ["cells", "shape"], ["bright"]),
        helper.make_node("Mul", ["bright", "sign"], ["signed"]),
        helper.make_node("Add", ["signed", "offset"], ["score"]),
        helper.make_node("Mul", ["score", "weights"], ["scores"]),
        helper.make_node("Identity", ["all"], ["boxes"]),
    ]
    constants = {
        "shape": np.asarray([1, n, 1], np.int64), "sign": np.float32(-1 if dark else 1), "offset": np.float32(dark),
        "weights": np.asarray(per_class, np.float32)[None, None], "all": boxes, "single": 1,
    }  # fmt: skip
    return graph(nodes, {"scores": [1, n, len(per_class)], "boxes": [1, n, 4]}, side, constants)


def brightness_classifier(
    side: int, weights: Sequence[float], biases: Sequence[float], *, single: bool = False, columns: int | None = None
) -> bytes:
    """Logits (b, classes) = mean brightness of the first `columns` * weight + bias."""
    nodes = [
        helper.make_node("Slice", ["images", "from", "to", "axis"], ["seen"]),
        helper.make_node("ReduceMean", ["seen"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Mul", ["column", "weights"], ["weighted"]),
        helper.make_node("Add", ["weighted", "biases"], ["logits"]),
    ]
    constants: dict[str, Any] = {
        "last": np.asarray([1], np.int64), "weights": np.asarray([weights], np.float32),
        "biases": np.asarray([biases], np.float32), "from": np.asarray([0], np.int64),
        "to": np.asarray([columns or side], np.int64), "axis": np.asarray([3], np.int64),
    }  # fmt: skip
    shape: list[int | str] = [1 if single else "batch", len(weights)]
    return graph(nodes, {"logits": shape}, side, constants | ({"single": 1} if single else {}))


def save(
    folder: Path, content: bytes, *, side: int, task: str, decode: str, classes: Sequence[str], **more: Any
) -> Path:
    """A model folder: model.onnx and the model.json that describes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    given = {"height": side, "width": side, "channels": 3, "resize": "letterbox", "margin": 0.25, "fill": 0,
             "mean": [0, 0, 0], "std": [1, 1, 1], "scale": 255}  # fmt: skip
    told: dict[str, Any] = {
        "format": 1, "name": f"tiny-{task}", "version": 1, "task": task, "classes": list(classes), "derived": {},
        "input": given | more.pop("input", {}), "decode": decode, "threshold": 0.5, "nms_iou": 0.5, "temperature": 1.0,
        "abstain_below": None, "tta": ["identity"], "files": {"model.onnx": hashlib.sha256(content).hexdigest()},
        "licence": "Apache-2.0", "shippable": True, "intended_use": "Tests.", "research use": True,
        "dataset": {"name": "generated", "version": 1, "hash": "0" * 64},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(told | more))
    return folder


def save_pipeline(folder: Path, *, dark: bool = False, side: int = 64, cell: int = 16, version: int = 1) -> Path:
    """Bright (or dark) cells are lesions; a rejector throws out dim ones; a classifier tells cyst from the rest."""
    save(folder / "detect", bright_cells(side, cell, dark=dark), side=side, task="detect", decode="fcos",
         classes=["lesion"], threshold=0.6)  # fmt: skip
    save(folder / "reject", brightness_classifier(32, [0, 0], [0, 2]), side=32, task="reject", decode="softmax",
         classes=["non-tumour", "tumour"], input={"resize": "crop", "margin": 0.0})  # fmt: skip
    save(folder / "classify", brightness_classifier(32, [-12, 12], [6, -6]), side=32, task="classify", decode="softmax",
         classes=["cyst", "non-cyst"], input={"resize": "crop", "margin": 0.0})  # fmt: skip
    told = {"format": 1, "name": "tiny-liver", "version": version, "detect": "detect/", "reject": "reject/",
            "classify": "classify/"}  # fmt: skip
    (folder / "pipeline.json").write_text(json.dumps(told))
    return folder


def dark_spots(side: int, cell: int) -> bytes:
    """A detector of what is darker than its surroundings, in the form of "fcos": each half cell on a grid is looked at."""
    step = cell // 2
    count = side // step
    y, x = np.mgrid[0:count, 0:count].reshape(2, -1) * step
    middle = step / 2
    corners = [x + middle - cell, y + middle - cell, x + middle + cell, y + middle + cell]
    boxes = np.stack(corners, axis=1)[None].clip(0, side).astype(np.float32)
    n = count * count
    pool = {"strides": [step, step], "count_include_pad": 0}
    near, far = (cell - step) // 2, (4 * cell - step) // 2
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["centre"], kernel_shape=[cell] * 2, pads=[near] * 4, **pool),
        helper.make_node("AveragePool", ["grey"], ["around"], kernel_shape=[4 * cell] * 2, pads=[far] * 4, **pool),
        helper.make_node("Sub", ["around", "centre"], ["deeper"]),
        helper.make_node("Mul", ["deeper", "gain"], ["score"]),
        helper.make_node("Clip", ["score", "none", "all"], ["clipped"]),
        helper.make_node("Reshape", ["clipped", "shape"], ["scores"]),
        helper.make_node("Identity", ["places"], ["boxes"]),
    ]
    constants = {
        "gain": np.float32(6), "none": np.float32(0), "all": np.float32(1), "shape": np.asarray([1, n, 1], np.int64),
        "places": boxes, "single": 1,
    }  # fmt: skip
    return graph(nodes, {"scores": [1, n, 1], "boxes": [1, n, 4]}, side, constants)


def save_liver(folder: Path) -> Path:
    """Dark round areas of a liver as boxes, each called cyst or non-cyst by its brightness."""
    save(folder / "detect", dark_spots(256, 24), side=256, task="detect", decode="fcos", classes=["lesion"],
         threshold=0.45, nms_iou=0.1)  # fmt: skip
    save(folder / "classify", brightness_classifier(64, [-60, 60], [10, -10]), side=64, task="classify",
         decode="softmax", classes=["cyst", "non-cyst"], input={"resize": "crop"})  # fmt: skip
    told = {"format": 1, "name": "tiny-liver", "version": 1, "detect": "detect/", "classify": "classify/"}
    (folder / "pipeline.json").write_text(json.dumps(told))
    (folder / "card.md").write_text("# tiny-liver\n\nA few numbers that find dark round areas. For tests only.\n")
    (folder / "metrics.json").write_text(json.dumps({"tune": {"f1": 0.5, "map50": 0.25}}))
    return folder


def dark_in_window(side: int, window: tuple[int, int, int, int]) -> bytes:
    """A mask that works: what is dark between x0 and x1, y0 and y1 of the input."""
    x0, y0, x1, y1 = window
    shown = np.zeros((1, 1, side, side), np.float32)
    shown[..., y0:y1, x0:x1] = 1
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["grey", "gain"], ["bright"]),
        helper.make_node("Sub", ["all", "bright"], ["dark"]),
        helper.make_node("Clip", ["dark", "none", "all"], ["clipped"]),
        helper.make_node("Mul", ["clipped", "window"], ["masks"]),
    ]
    constants = {"gain": np.float32(4), "none": np.float32(0), "all": np.float32(1), "window": shown}
    return graph(nodes, {"masks": ["batch", 1, side, side]}, side, constants)


def save_heart(folder: Path) -> Path:
    """The ventricle of the generated hearts, cut off above its valve: between bright walls it is dark."""
    save(folder, dark_in_window(224, (76, 40, 148, 130)), side=224, task="echo", decode="mask", classes=["LV"],
         input={"margin": 0.0})  # fmt: skip
    (folder / "card.md").write_text(
        "# tiny-echo\n\nA few numbers that find what is dark between walls. For tests only.\n"
    )
    return folder
