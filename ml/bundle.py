"""The engine bundle for device makers: one detector as ONNX with what reads it, test vectors, digests and a signature.

Only a model that may be passed on is bundled. The same model and key give the same bytes."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ml.images import Rgb
from ml.model_file import BadModel, weights
from ml.runtime import Detection, Model

DOMAIN: Final = b"sonobank-engine-v1\0"
VECTORS: Final = 6
PIXELS: Final = 0.5  # how far a box of another machine may be off
SCORES: Final = 1e-3
_WHEN: Final = (2026, 1, 1, 0, 0, 0)
_RUNNERS: Final = Path(__file__).parent / "engine"
_README: Final = """Sonobank engine bundle. RESEARCH USE ONLY: not a medical device, not for diagnosis.

engine.json   input, classes, decoding, threshold of the network
model.onnx    the network (opset 17): "images" (1, 3, height, width) float32 = (RGB / scale - mean) / std
vectors.json  frames (vectors/*.rgb, rows x columns x RGB, 8 bits) and the boxes that must come of them
runner.py     the reference runner: python runner.py (numpy, onnxruntime)
runner.cpp    the same in C++17 on ONNX Runtime's C API; its first lines say how it is built
*.txt         engine.json and vectors.json as words and numbers between spaces, for runner.cpp: see there
SHA256SUMS    of every file; SHA256SUMS.sig is Ed25519 (64 bytes) over "sonobank-engine-v1" + NUL + SHA256SUMS,
              public.key is the signer's public key (64 hex digits): compare it with the one that you were given
card.md       what the model was trained on and how well it does

A device scales its frame into the input, keeping its form, in the middle, and fills the rest with `fill`.
"""


def make(run: Path, out: Path, key: Ed25519PrivateKey) -> list[str]:
    """Write the bundle of a RUN's detector; returns the names in it. Raises BadModel for one that may not leave."""
    model = Model.open(run)
    spec = model.spec
    if spec.task != "detect" or not spec.shippable:
        raise BadModel("Only a detector that may be passed on goes into an engine bundle: this one is not shippable.")
    if spec.tta != ("identity",):
        raise BadModel("A detector that looks at mirrored frames too has no engine bundle.")
    frames = [_frame(number, spec.input.height, spec.input.width) for number in range(VECTORS)]
    card = (run / "card.md").read_bytes() if (run / "card.md").is_file() else b""
    vectors = [_vector(number, frame, model.detect(frame)) for number, frame in enumerate(frames)]
    files: dict[str, bytes] = {
        "README.txt": _README.encode(), "card.md": card, "engine.json": _text(_engine(model)),
        "model.onnx": weights(run, spec), "public.key": key.public_key().public_bytes_raw().hex().encode() + b"\n",
        **{name: (_RUNNERS / name).read_bytes() for name in ("runner.py", "runner.cpp")},
        "vectors.json": _text({"pixel_tolerance": PIXELS, "score_tolerance": SCORES, "vectors": vectors}),
        "engine.txt": _lines(_engine_words(model)), "vectors.txt": _lines(_vector_words(vectors)),
        **{f"vectors/{number}.rgb": frame.tobytes() for number, frame in enumerate(frames)},
    }  # fmt: skip
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()
    files |= {"SHA256SUMS": sums, "SHA256SUMS.sig": key.sign(DOMAIN + sums)}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _WHEN), files[name], zipfile.ZIP_DEFLATED)
    return sorted(files)


def _engine(model: Model) -> dict[str, Any]:
    spec, given = model.spec, model.spec.input
    return {
        "format": 1, "notice": "research use only", "name": spec.name, "version": spec.version, "classes": spec.classes,
        "decode": spec.decode, "threshold": spec.threshold, "nms_iou": spec.nms_iou,
        "input": {"height": given.height, "width": given.width, "fill": given.fill, "mean": given.mean, "std": given.std,
                  "scale": given.scale},
        "licence": spec.licence, "intended_use": spec.intended_use, "dataset": dict(spec.dataset),
    }  # fmt: skip


def _engine_words(model: Model) -> Iterator[Sequence[object]]:
    spec, given = model.spec, model.spec.input
    yield from (("name", spec.name), ("version", spec.version), ("decode", spec.decode))
    numbers = {"threshold": (spec.threshold,), "nms_iou": (spec.nms_iou,), "size": (given.height, given.width),
               "scale": (given.scale,), "mean": given.mean, "std": given.std}  # fmt: skip
    yield from ((name, len(values), *values) for name, values in numbers.items())
    yield from (("output", name) for name in (("boxes", "scores") if spec.decode == "fcos" else model.outputs[:1]))
    yield from (("class", label) for label in spec.classes)


def _vector_words(vectors: Iterable[dict[str, Any]]) -> Iterator[Sequence[object]]:
    yield PIXELS, SCORES
    for one in vectors:
        yield one["frame"], len(one["boxes"])
        yield from ((*found["box"], found["score"], found["label"]) for found in one["boxes"])


def _vector(number: int, frame: Rgb, found: Iterable[Detection]) -> dict[str, Any]:
    boxes = [
        {"box": [one.x, one.y, one.x + one.width, one.y + one.height], "label": one.label, "score": one.score}
        for one in found
    ]
    return {"frame": f"vectors/{number}.rgb", "rows": frame.shape[0], "columns": frame.shape[1], "boxes": boxes}


def _frame(number: int, rows: int, columns: int) -> Rgb:
    """Speckle with a dark lesion or two, and one frame with nothing: generated, the same on every machine."""
    draw = np.random.default_rng(1000 + number)
    speckle = cv2.GaussianBlur(draw.rayleigh(60, (rows, columns)).astype(np.float32), (0, 0), 1.2)
    for _ in range(0 if number == 0 else 1 + number % 2):
        centre = (int(draw.integers(columns // 4, 3 * columns // 4)), int(draw.integers(rows // 4, 3 * rows // 4)))
        axes = (int(draw.integers(columns // 16, columns // 6)), int(draw.integers(rows // 16, rows // 6)))
        inside = cv2.ellipse(
            np.zeros((rows, columns), np.uint8), centre, axes, float(draw.uniform(0, 180)), 0, 360, 1, -1
        )
        speckle = np.where(inside > 0, speckle * np.float32(draw.uniform(0.1, 0.4)), speckle)
    return np.repeat(speckle.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _lines(told: Iterable[Sequence[object]]) -> bytes:
    return "".join(" ".join(map(str, line)) + "\n" for line in told).encode()


def _text(told: object) -> bytes:
    return json.dumps(told, indent=1, sort_keys=True).encode() + b"\n"
