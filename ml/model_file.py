"""model.json: what a trained model is, how it is fed and read, and the digests that prove its files. No network is opened."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ml.form import FEATURES, Form
from ml.images import Input

MODEL_FILE: Final = "model.json"
WEIGHTS: Final = "model.onnx"
TASKS: Final = ("detect", "classify", "reject", "echo")
DECODES: Final = ("yolo", "fcos", "softmax", "mask")
MOST_SIDE: Final = 4096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class BadModel(ValueError):
    """This folder holds no model that can be used."""


@dataclass(frozen=True)
class Spec:
    """model.json, checked. `use` is the file that runs; `derived` adds up classes, such as malignant of several.

    `strides` are of a detector's maps, in the order of its points; only a mirrored look needs them. `form`: of a classifier."""

    name: str
    version: int
    task: str
    classes: tuple[str, ...]
    derived: Mapping[str, tuple[str, ...]]
    input: Input
    decode: str
    threshold: float
    nms_iou: float
    temperature: float
    abstain_below: float | None
    tta: tuple[str, ...]
    strides: tuple[int, ...]
    form: Form | None
    files: Mapping[str, str]
    use: str
    licence: str
    shippable: bool
    intended_use: str
    dataset: Mapping[str, Any]


def load(folder: Path) -> Spec:
    """Read FOLDER/model.json. Raises BadModel with a sentence for what is missing or wrong."""
    return parse(document(folder / MODEL_FILE))


def document(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a model folder. Raises BadModel."""
    try:
        found = json.loads(path.read_bytes())
    except OSError:
        raise BadModel(f"The folder has no {path.name}.") from None
    except (ValueError, RecursionError):
        raise BadModel(f"{path.name} is not JSON.") from None
    if not isinstance(found, dict):
        raise BadModel(f"{path.name} is not a JSON object.")
    if found.get("format") != 1:
        raise BadModel(f"{path.name} has a format that this version cannot read.")
    return found


def parse(told: Mapping[str, Any]) -> Spec:
    """A Spec from the JSON of model.json. Raises BadModel; keys that are not known are left alone."""
    name, version = told.get("name"), told.get("version")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(version, int) or version < 1:
        raise BadModel("model.json needs a name of plain letters and a version from 1.")
    if told.get("task") not in TASKS or told.get("decode") not in DECODES:
        raise BadModel("model.json names a task or a way of decoding that is not known.")
    classes = _names(told.get("classes"), "classes")
    derived = {
        str(group): _names(of, "derived") for group, of in _mapping(told.get("derived") or {}, "derived").items()
    }
    if not classes or len(set(classes)) != len(classes) or any(set(of) - set(classes) for of in derived.values()):
        raise BadModel("model.json needs classes, each once, and derived groups of those alone.")
    abstain, files = told.get("abstain_below"), _files(told.get("files"))
    use = str(told.get("use") or WEIGHTS)
    if use not in files:
        raise BadModel(f"model.json does not list the digest of {use}.")
    strides = told.get("strides") or []
    if not isinstance(strides, list) or any(not isinstance(one, int) or not 0 < one <= MOST_SIDE for one in strides):
        raise BadModel("model.json may give strides as whole numbers of pixels only.")
    return Spec(
        name=name, version=version, task=str(told["task"]), classes=classes, derived=derived,
        input=_input(_mapping(told.get("input"), "input")), decode=str(told["decode"]),
        threshold=_number(told.get("threshold", 0.5), "threshold", 0, 1),
        nms_iou=_number(told.get("nms_iou", 0.5), "nms_iou", 0, 1),
        temperature=_number(told.get("temperature", 1.0), "temperature", 1e-3, 1e3),
        abstain_below=None if abstain is None else _number(abstain, "abstain_below", 0, 1),
        tta=_names(told.get("tta") or ["identity"], "tta"), strides=tuple(strides),
        form=_form(told.get("form"), len(classes)), files=files, use=use,
        licence=str(told.get("licence") or ""),
        shippable=told.get("shippable") is True, intended_use=str(told.get("intended_use") or ""),
        dataset=dict(_mapping(told.get("dataset") or {}, "dataset")),
    )  # fmt: skip


def weights(folder: Path, spec: Spec) -> bytes:
    """The bytes of the network that runs, every file of the model having been checked. Raises BadModel.

    They are run from these bytes: what was hashed is what runs, and no file that they name elsewhere is opened."""
    found = b""
    for name, sha256 in spec.files.items():
        try:
            content = (folder / name).read_bytes()
        except OSError:
            raise BadModel(f"The folder has no {name}.") from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BadModel(f"{name} is not the file that model.json describes: its digest differs.")
        if name == spec.use:
            found = content
    return found


def _input(told: Mapping[str, Any]) -> Input:
    sides = [told.get("height"), told.get("width")]
    if any(not isinstance(side, int) or not 8 <= side <= MOST_SIDE for side in sides) or told.get("channels", 3) != 3:
        raise BadModel("model.json needs an input of 8 to 4096 pixels a side and 3 channels.")
    if told.get("resize", "letterbox") not in ("letterbox", "crop", "fit"):
        raise BadModel('model.json may resize by "letterbox", "crop" or "fit".')
    mean = _numbers(told.get("mean", [0, 0, 0]), "mean", -1e4, 3)
    std = _numbers(told.get("std", [1, 1, 1]), "std", 1e-6, 3)
    return Input(
        height=int(told["height"]), width=int(told["width"]), resize=str(told.get("resize", "letterbox")),
        margin=_number(told.get("margin", 0.25), "margin", 0, 4), fill=int(_number(told.get("fill", 114), "fill", 0, 255)),
        mean=mean, std=std, scale=_number(told.get("scale", 255), "scale", 1e-6, 1e6),
    )  # fmt: skip


def _form(told: object, classes: int) -> Form | None:
    if told is None:
        return None
    given = _mapping(told, "form")
    rows, count = given.get("weights"), len(FEATURES)
    if not isinstance(rows, list) or len(rows) != classes or given.get("features") != list(FEATURES):
        raise BadModel("model.json may give a form as weights of the features that are known, a row for each class.")
    mean, std = _numbers(given.get("mean"), "mean", -1e4, count), _numbers(given.get("std"), "std", 1e-6, count)
    return Form(mean, std, tuple(_numbers(row, "weights", -1e4, count) for row in rows))


def _files(told: object) -> dict[str, str]:
    files = _mapping(told, "files")
    for name, sha256 in files.items():
        if not _FILE.fullmatch(name) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise BadModel("model.json needs the files of its folder with their SHA-256, by plain names.")
    return dict(files)


def _mapping(told: object, what: str) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise BadModel(f"model.json needs {what} as a JSON object.")
    return told


def _names(told: object, what: str) -> tuple[str, ...]:
    if not isinstance(told, list) or not all(isinstance(one, str) and one for one in told):
        raise BadModel(f"model.json needs {what} as a list of names.")
    return tuple(told)


def _number(told: object, what: str, least: float, most: float) -> float:
    if isinstance(told, bool) or not isinstance(told, int | float) or not least <= told <= most:
        raise BadModel(f"model.json has a {what} that is no number from {least:g} to {most:g}.")
    return float(told)


def _numbers(told: object, what: str, least: float, count: int) -> tuple[float, ...]:
    if not isinstance(told, list) or len(told) != count:
        raise BadModel(f"model.json needs {what} as {count} numbers.")
    return tuple(_number(one, what, least, 1e4) for one in told)
