"""Runs trained models on frames: NumPy and ONNX Runtime, no training code. Research use only.

A detector finds boxes, a rejector throws out what is no tumour, a classifier names the rest (`Pipeline.frame`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from ml import decode, model_file
from ml.decode import Array, Candidates
from ml.images import Placed, Planes, Rgb, checked, prepared, prepared_crop
from ml.model_file import BadModel, Spec

PIPELINE_FILE: Final = "pipeline.json"
INPUT: Final = "images"
NO_RUN: Final = "The model could not be run on this frame."
NO_NETWORK: Final = "The network of this model is broken, or not one that can be run here."
# ONNX Runtime has a class for each kind of trouble, and no common one.
TROUBLE: Final = (
    ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NoModel, ort.NoSuchFile, ort.NotImplemented,
    ort.RuntimeException, ort.EPFail, ort.EngineError, RuntimeError, ValueError, MemoryError,
)  # fmt: skip
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Detection:
    """A box in pixels of the frame (x, y of its upper left corner), its class, and how sure the detector is, 0 to 1.

    `label` is "" where the classifier abstains; `probabilities` are of each class, and of each derived group."""

    x: float
    y: float
    width: float
    height: float
    label: str
    score: float
    probabilities: dict[str, float] = field(default_factory=dict)

    @property
    def box(self) -> Box:
        return self.x, self.y, self.width, self.height


class Model:
    """One network with its model.json."""

    def __init__(self, spec: Spec, session: Any) -> None:  # noqa: ANN401 -- onnxruntime has no types
        self.spec = spec
        self._session = session
        self._outputs = [one.name for one in session.get_outputs()]
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise BadModel("The network must have one input.")
        self._input = inputs[0].name
        batch, *rest = inputs[0].shape
        sides = (3, spec.input.height, spec.input.width)
        is_fit = [have if isinstance(have, int) else want for have, want in zip(rest, sides, strict=False)] == [*sides]
        if not is_fit or len(rest) != 3 or inputs[0].type != "tensor(float)":
            raise BadModel("The network takes another input than its model.json says.")
        self._is_single = isinstance(batch, int)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the network's answers, as the file has them."""
        return tuple(self._outputs)

    @classmethod
    def open(cls, folder: Path, *, threads: int = 1) -> Self:
        """The model of a folder, the digest of each of its files checked. Raises BadModel (a ValueError).

        More than one thread helps on a quiet machine only: they spin, and lose where others work beside them."""
        spec = model_file.load(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        content = model_file.weights(folder, spec)
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except TROUBLE as error:
            raise BadModel(NO_NETWORK) from error
        return cls(spec, session)

    def run(self, planes: Planes) -> dict[str, Array]:
        """Outputs by name for (b, 3, height, width) float32. Raises ValueError."""
        try:
            batches = planes[:, None] if self._is_single else [planes]
            answers = [self._session.run(self._outputs, {self._input: one}) for one in batches]
        except TROUBLE as error:
            raise ValueError(NO_RUN) from error
        return {name: np.concatenate(parts) for name, *parts in zip(self._outputs, *answers, strict=True)}

    def candidates(self, rgb: Rgb, turn: int | None = None) -> tuple[Candidates, Placed]:
        """Everything a detector says of a frame, in pixels of its input, before threshold and suppression.

        The mean of the model's views; with a `turn` one of them, as in `probabilities`."""
        planes, placed = prepared(checked(rgb), self.spec.input)
        looks = [self._decoded, self._mirrored] if "hflip" in self.spec.tta else [self._decoded]
        chosen = looks if turn is None else [looks[turn % len(looks)]]
        return decode.mean_of([look(planes) for look in chosen]), placed

    def detect(self, rgb: Rgb, threshold: float | None = None, turn: int | None = None) -> list[Detection]:
        """Boxes on a frame (rows, columns, 3) uint8 from the model's threshold, or another one, surest first.

        `turn`: see `candidates`. Raises ValueError for another kind of array, or when the model answers nonsense."""
        found, placed = self.candidates(rgb, turn)
        chosen = decode.kept(found, self.spec.threshold if threshold is None else threshold, self.spec.nms_iou)
        rows, columns = rgb.shape[:2]
        boxes = np.clip(placed.back(chosen.boxes), 0, np.asarray([columns, rows] * 2, np.float32))
        return [
            Detection(
                float(x0), float(y0), float(x1 - x0), float(y1 - y0),
                self.spec.classes[int(scores.argmax())], float(scores.max()), self._named(scores),
            )
            for (x0, y0, x1, y1), scores in zip(boxes, chosen.scores, strict=True)
            if x1 > x0 and y1 > y0
        ]  # fmt: skip

    def classify(self, rgb: Rgb, boxes: Sequence[Box | None] = (None,), turn: int | None = None) -> Array:
        """Probabilities (len(boxes), classes) of what is in each box (x, y, width, height), None for the whole frame."""
        checked(rgb)
        if not boxes:
            return np.zeros((0, len(self.spec.classes)), np.float32)
        planes = np.concatenate([prepared_crop(rgb, box, self.spec.input) for box in boxes])
        return self.probabilities(planes, turn, self.of_form(rgb, boxes))

    def of_form(self, rgb: Rgb, boxes: Sequence[Box | None]) -> NDArray[np.float64] | float:
        """What the form of each box adds to the network's logits, (len(boxes), classes); 0 for a model that has no such term."""
        form = self.spec.form
        return 0.0 if form is None else form.logits(boxes, [(rgb.shape[1], rgb.shape[0])] * len(boxes))

    def probabilities(self, planes: Planes, turn: int | None = None, added: NDArray[np.float64] | float = 0.0) -> Array:
        """Probabilities (b, classes) for (b, 3, height, width), the mean of the model's views. Raises ValueError.

        `added` is what `of_form` says of the boxes that the planes show.
        With a `turn` (0, 1, ...) one view is looked at, each in its turn: for a verdict that is the mean over frames."""
        views = [planes, planes[..., ::-1]] if "hflip" in self.spec.tta else [planes]
        chosen = views if turn is None else [views[turn % len(views)]]
        count, temperature = len(self.spec.classes), self.spec.temperature
        answers = [self.run(np.ascontiguousarray(view)) for view in chosen]
        found = [decode.softmax(list(answer.values()), count, temperature, added) for answer in answers]
        return np.asarray(np.mean(found, axis=0), np.float32)

    def named(self, probabilities: Array) -> tuple[str, dict[str, float]]:
        """The likeliest class, or "" where the model abstains; and each class and derived group by name."""
        best = int(probabilities.argmax())
        is_sure = self.spec.abstain_below is None or float(probabilities[best]) >= self.spec.abstain_below
        return self.spec.classes[best] if is_sure else "", self._named(probabilities)

    def _decoded(self, planes: Planes) -> Candidates:
        outputs = self.run(planes)
        if self.spec.decode == "yolo":
            return decode.yolo(list(outputs.values()), len(self.spec.classes))
        if self.spec.decode != "fcos" or not {"scores", "boxes"} <= outputs.keys():
            raise ValueError(decode.ODD)
        return decode.fcos([outputs["scores"], outputs["boxes"]], len(self.spec.classes))

    def _mirrored(self, planes: Planes) -> Candidates:
        given = self.spec.input
        found = self._decoded(np.ascontiguousarray(planes[..., ::-1]))
        return decode.flipped(found, (given.height, given.width), self.spec.strides)

    def _named(self, scores: Array) -> dict[str, float]:
        each = {name: round(float(score), 6) for name, score in zip(self.spec.classes, scores, strict=True)}
        derived = self.spec.derived.items()
        return each | {group: min(round(sum(each[one] for one in of), 6), 1.0) for group, of in derived}


@dataclass(frozen=True)
class Pipeline:
    """A detector and, where there are, the rejector (whose last class is the tumour) and classifier that follow it."""

    name: str
    version: int
    detector: Model
    rejector: Model | None = None
    classifier: Model | None = None

    @classmethod
    def open(cls, folder: Path, *, threads: int = 1) -> Self:
        """A folder with pipeline.json, or the folder of a lone detector. Raises BadModel (a ValueError)."""
        if not (folder / PIPELINE_FILE).is_file():
            lone = _of_task(Model.open(folder, threads=threads), "detect")
            return cls(lone.spec.name, lone.spec.version, lone)
        told = model_file.document(folder / PIPELINE_FILE)
        parts = {task: _part(folder, told.get(task), task, threads) for task in ("detect", "reject", "classify")}
        name, version = told.get("name"), told.get("version")
        if parts["detect"] is None or not isinstance(name, str) or not name or not isinstance(version, int):
            raise BadModel("pipeline.json needs a name, a version and a detector.")
        return cls(name, version, parts["detect"], parts["reject"], parts["classify"])

    @property
    def models(self) -> list[Model]:
        return [one for one in (self.detector, self.rejector, self.classifier) if one is not None]

    def frame(self, rgb: Rgb, threshold: float | None = None, turn: int | None = None) -> list[Detection]:
        """What is on a frame (rows, columns, 3) uint8, surest first, in pixels of the frame.

        `threshold` replaces the detector's own. `turn` counts the frames of a cine whose lesions are followed: detector and
        classifier then look at one of their views a frame, which halves their time. Raises ValueError for another kind of
        array or a broken model."""
        found = self.detector.detect(rgb, threshold, turn)
        if self.rejector is not None and found:
            tumour = self.rejector.classify(rgb, [one.box for one in found])[:, -1]
            found = [one for one, sure in zip(found, tumour, strict=True) if sure >= self.rejector.spec.threshold]
        if self.classifier is None or not found:
            return found
        named = map(self.classifier.named, self.classifier.classify(rgb, [one.box for one in found], turn))
        return [
            Detection(*one.box, label, one.score, probabilities)
            for one, (label, probabilities) in zip(found, named, strict=True)
        ]


def _part(folder: Path, name: object, task: str, threads: int) -> Model | None:
    if name is None:
        return None
    place = str(name).strip("/")
    if not isinstance(name, str) or place in {"", ".", ".."} or "/" in place or "\\" in place:
        raise BadModel("pipeline.json may name folders inside its own only.")
    return _of_task(Model.open(folder / place, threads=threads), task)


def _of_task(model: Model, task: str) -> Model:
    is_fit = model.spec.decode in ({"yolo", "fcos"} if task == "detect" else {"softmax"})
    if model.spec.task != task or not is_fit:
        raise BadModel(f"This model was not trained to {task}.")
    return model
