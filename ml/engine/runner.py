"""Reference runner of a Sonobank engine bundle: NumPy and ONNX Runtime. `python runner.py` beside engine.json. Research use only.

It checks every file against SHA256SUMS, runs the test vectors and says whether the boxes are those that the bundle names.
A frame is RGB, 8 bits, of exactly the input's size; the device scales, keeping the form, and fills what is left."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Found = tuple[float, float, float, float, str, float]  # x0, y0, x1, y1, class, score
HERE = Path(__file__).resolve().parent


def check_files() -> None:
    """Every file is the one that was signed; SHA256SUMS.sig is Ed25519 over "sonobank-engine-v1\\0" + SHA256SUMS."""
    for line in (HERE / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ", 1)
        if hashlib.sha256((HERE / name).read_bytes()).hexdigest() != digest:
            sys.exit(f"{name} is not the file that was bundled.")


class Engine:
    """engine.json and model.onnx."""

    def __init__(self) -> None:
        self.spec = json.loads((HERE / "engine.json").read_text())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(HERE / "model.onnx", options, providers=["CPUExecutionProvider"])

    def boxes(self, frame: NDArray[np.uint8]) -> list[Found]:
        """What is on a frame (height, width, 3), surest first, in pixels of the frame."""
        given = self.spec["input"]
        mean, std = np.float32(given["mean"]), np.float32(given["std"])
        scaled = frame.astype(np.float32) * (1 / (np.float32(given["scale"]) * std)) - mean / std
        planes = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])
        names = [one.name for one in self.session.get_outputs()]
        found = dict(zip(names, self.session.run(names, {"images": planes}), strict=True))
        if self.spec["decode"] == "yolo":
            rows = next(iter(found.values()))[0].T
            corners = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)
            scores = rows[:, 4:]
        else:
            corners, scores = found["boxes"][0], found["scores"][0]
        return self._apart(corners, scores)

    def _apart(self, corners: NDArray[np.float32], scores: NDArray[np.float32]) -> list[Found]:
        """Above the threshold, the surest first, each apart from the surer ones (non-maximum suppression over all classes)."""
        best = scores.max(axis=1)
        order = [place for place in np.argsort(-best, kind="stable")[:1000] if best[place] >= self.spec["threshold"]]
        kept: list[int] = []
        for place in order:
            shared = [overlap(corners[place], corners[other]) for other in kept]
            if len(kept) < 100 and max(shared, default=0) <= self.spec["nms_iou"]:
                kept.append(place)
        height, width = self.spec["input"]["height"], self.spec["input"]["width"]
        boxes = np.clip(corners[kept], 0, [width, height, width, height])
        sure = [(self.spec["classes"][int(row.argmax())], float(row.max())) for row in scores[kept]]
        found = [(*map(float, box), *named) for box, named in zip(boxes, sure, strict=True)]
        return [one for one in found if one[2] > one[0] and one[3] > one[1]]


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes x0 y0 x1 y1."""
    sides = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0)
    shared = float(sides[0] * sides[1])
    areas = [float(np.prod(np.maximum(box[2:] - box[:2], 0))) for box in (one, other)]
    union = sum(areas) - shared
    return shared / union if union > 0 else 0.0


def main() -> int:
    check_files()
    engine = Engine()
    vectors = json.loads((HERE / "vectors.json").read_text())
    wrong = 0
    for vector in vectors["vectors"]:
        pixels = np.frombuffer((HERE / vector["frame"]).read_bytes(), np.uint8)
        found = engine.boxes(pixels.reshape(vector["rows"], vector["columns"], 3))
        wanted = [(*one["box"], one["label"], one["score"]) for one in vector["boxes"]]
        is_same = len(found) == len(wanted) and all(
            have[4] == want[4]
            and abs(have[5] - want[5]) <= vectors["score_tolerance"]
            and np.abs(np.subtract(have[:4], want[:4])).max() <= vectors["pixel_tolerance"]
            for have, want in zip(found, wanted, strict=True)
        )
        wrong += not is_same
        sys.stdout.write(f"{vector['frame']}: {len(found)} boxes, {'as bundled' if is_same else 'NOT as bundled'}\n")
    sys.stdout.write(f"{engine.spec['name']} v{engine.spec['version']}: research use only\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
