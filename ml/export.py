"""A trained network as a model folder: ONNX (opset 17) that agrees with PyTorch, and the model.json that proves it."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from ml.manifest import digest_of
from ml.run_folder import Run

OPSET = 17
CLOSE = 1e-3
INTENDED_USE = "Research use only. Not a medical device; not for diagnosis or treatment of a patient."


class NotTheSame(ValueError):
    """The exported network does not say what the trained one says."""


def to_onnx(net: nn.Module, path: Path, side: int, output: str = "logits") -> float:
    """Write the network with a free batch and its one output's name; returns how far ONNX Runtime and PyTorch differ at most.

    Raises NotTheSame beyond 1e-3."""
    net = net.eval().to(memory_format=torch.contiguous_format)
    example = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    part = path.with_name(path.name + ".part")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is called old
        torch.onnx.export(
            net, (example,), str(part), opset_version=OPSET, dynamo=False,
            input_names=["images"], output_names=[output], dynamic_axes={"images": {0: "n"}, output: {0: "n"}},
        )  # fmt: skip
        said = net(example).numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(part.read_bytes(), options, providers=["CPUExecutionProvider"])
    apart = float(np.abs(session.run(None, {"images": example.numpy()})[0] - said).max())
    if not apart <= CLOSE:
        raise NotTheSame(f"ONNX differs from PyTorch by {apart:.2g}.")
    part.replace(path)
    return apart


def write_model(run: Run, model: Mapping[str, Any]) -> None:
    """model.json, the last file of a model folder: with the digest of every file that it has."""
    files = {
        name: digest_of(run.path / name)[0] for name in ("model.onnx", "model.int8.onnx") if (run.path / name).exists()
    }
    run.write("model.json", {"format": 1, **model, "files": files, "intended_use": INTENDED_USE, "research use": True})
