"""From a trained network to ONNX, with the proof that both say the same, and to eight bits."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from ml.detectors import Detector
from ml.export import OPSET, NotTheSame
from ml.images import Input, Planes

MOST_PX, MOST_SCORE = 1.0, 1e-3
NAME = "images"


def export(detector: Detector, network: nn.Module, given: Input, path: Path, probe: Planes) -> dict[str, float]:
    """Write model.onnx, batch of one; returns the largest differences on `probe` (n, 3, h, w). Raises NotTheSame."""
    whole = detector.exportable(copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format).eval()).eval()
    to_onnx(whole, given, path, detector.outputs)
    return parity(whole, path, detector.decode, probe)


def to_onnx(whole: nn.Module, given: Input, path: Path, outputs: Sequence[str]) -> None:
    """Trace a network in evaluation into a file that takes one picture."""
    blank = torch.zeros(1, 3, given.height, given.width)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of each size that is constant, as it should be here
        whole(blank)
        torch.onnx.export(
            whole,
            (blank,),
            str(path),
            input_names=[NAME],
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=False,
        )


def parity(whole: nn.Module, path: Path, decode: str, probe: Planes) -> dict[str, float]:
    """The largest differences of scores and of boxes in px between PyTorch and ONNX Runtime. Raises NotTheSame."""
    session = opened(path)
    score = box = 0.0
    for planes in probe:
        with torch.no_grad():
            ours = whole(torch.from_numpy(planes[None]))
        ours = [part.numpy() for part in (ours if isinstance(ours, tuple | list) else (ours,))]
        theirs = session.run(None, {NAME: planes[None]})
        if decode == "yolo":
            ours, theirs = ([both[0][:, 4:], both[0][:, :4]] for both in (ours, theirs))
        score = max(score, float(np.abs(ours[0] - theirs[0]).max()))
        box = max(box, float(np.abs(ours[1] - theirs[1]).max()))
    if not (score <= MOST_SCORE and box <= MOST_PX):
        raise NotTheSame(f"ONNX differs from PyTorch by {box:.2f} px and {score:.5f}.")
    return {"score": score, "box_px": box}


def opened(path: Path) -> onnxruntime.InferenceSession:
    """A session on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def last_convolutions(path: Path) -> list[str]:
    """The names of convolutions that no other follows: what they say is the answer itself, and is kept whole."""
    needed: set[str] = set()  # tensors that some convolution hangs on
    found = []
    for node in reversed(onnx.load(path).graph.node):  # ONNX keeps nodes in the order in which they are worked out
        is_needed = bool(needed & set(node.output))
        if node.op_type == "Conv" and not is_needed:
            found.append(node.name)
        if node.op_type == "Conv" or is_needed:
            needed |= set(node.input)
    return found


def quantise(path: Path, out: Path, samples: Sequence[NDArray[np.float32]]) -> None:
    """Eight bits for all but the last convolutions (static, QDQ, weights by channel), ranges from `samples` (1, 3, h, w).

    Unsigned weights: signed ones overflow the 16-bit sums of processors without VNNI, which costs a fifth of F1."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[NDArray[np.float32]] = iter(samples)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            planes = next(self.left, None)
            return None if planes is None else {NAME: planes}

    quantize_static(
        str(path),
        str(out),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QUInt8,
        nodes_to_exclude=last_convolutions(path),
    )
