"""A data folder of generated pictures: frames of sweeps over livers or breasts with cysts, tumours or nothing, and true boxes.

For trying things out, tests and the demo: quick, the same bytes from the same seed, and no patient behind it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.annotations import ANNOTATIONS, BadFolder
from ml.data import Folder, content_hash, load
from ml.manifest import MANIFEST, digest_of
from ml.phantom_cine import Box, View, still, sweep
from ml.phantom_lesions import codes, grow

DOMAINS = ("liver", "breast")
CLASSES = ("cyst", "non-cyst")
WIDTH, HEIGHT = 320, 256
PER_PATIENT = 4
SPAN = 24  # frames of a whole sweep, of which a patient's pictures are picked
NORMAL = 5  # one patient in so many has no lesion
PARTS = (("tune", 0.15), ("test", 0.15))


@dataclass(frozen=True)
class Cine:
    """A sweep over one patient's organ: frames (t, h, w) uint8 grey, the lesion's code ("" if none), its box a frame."""

    frames: NDArray[np.uint8]
    code: str
    boxes: tuple[Box | None, ...]

    @property
    def label(self) -> str:
        """cyst, non-cyst or "" without a lesion."""
        return class_of(self.code)


def class_of(code: str) -> str:
    """The detector's class of a diagnosis code."""
    return "" if not code else CLASSES[0] if code.endswith("-CYST") else CLASSES[1]


def cine(domain: str, seed: int, frames: int, code: str, width: int = WIDTH, height: int = HEIGHT) -> Cine:
    """A sweep of `frames` frames; `code` of `phantom_lesions.codes(domain)`, or "" for an organ without a lesion."""
    rng = np.random.default_rng([seed, 5])
    view = View(rng, domain, grow(rng, code) if code else None, width, height)
    seen = [view.picture(probe, rng) for probe in sweep(rng, view.grid, frames)]
    return Cine(np.stack([picture for picture, _ in seen]), code, tuple(box for _, box in seen))


def make(out: Path, domain: str, count: int, seed: int) -> Folder:
    """Write `count` pictures, four a patient, as the data folder `out`, split by patient. Raises BadFolder."""
    if domain not in DOMAINS:
        raise BadFolder(f"There are phantoms of {' and '.join(DOMAINS)} only.")
    if count < 12 * PER_PATIENT:
        raise BadFolder(f"At least {12 * PER_PATIENT} pictures are needed for three splits with each diagnosis.")
    if out.exists():
        raise BadFolder("The folder exists already: choose another --out.")
    (out / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (grey, box, facts) in enumerate(_pictures(domain, count, seed), start=1):
        name = f"images/{facts['patient_id']}-{facts['frame']}.png"
        cv2.imwrite(str(out / name), grey)
        rows, columns = grey.shape
        images.append({"id": number, "file_name": name, "width": columns, "height": rows, **facts})
        if box is not None:
            kind = CLASSES.index(class_of(facts["label"])) + 1
            entry = {"id": len(annotations) + 1, "image_id": number, "category_id": kind, "bbox": list(box)}
            entry |= {"area": box[2] * box[3], "iscrowd": 0, "lesion_id": f"{facts['patient_id']}-1"}
            annotations.append(entry)
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    info = {"description": f"Generated {domain} pictures, seed {seed}. No patient behind them."}
    document = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    (out / ANNOTATIONS).write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    files = {path.relative_to(out).as_posix(): digest_of(path)[0] for path in sorted(out.rglob("*")) if path.is_file()}
    manifest = {"name": f"phantom-{domain}", "version": 1, "hash": content_hash(files.items()), "files": files}
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return load(out, ("train", "tune", "test"))


def _pictures(domain: str, count: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], Box | None, dict[str, Any]]]:
    """Grey picture (h, w), box, and what annotations.json says of it."""
    patients = -(-count // PER_PATIENT)
    known, splits = codes(domain), splits_of(patients, seed)
    none = {"liver": "LIV-NONE", "breast": "BR-NONE"}[domain]
    left = count
    for patient in range(patients):
        rng = np.random.default_rng([seed, 6, patient])
        # Cysts are as many as all else together: a detector of cyst and non-cyst should see both.
        solid = [code for code in known if class_of(code) == CLASSES[1]]
        code = next(c for c in known if c not in solid) if patient % 2 else solid[(patient // 2) % len(solid)]
        code = "" if patient % NORMAL == NORMAL - 1 else code
        view = View(rng, domain, grow(rng, code) if code else None, WIDTH, HEIGHT)
        places = dict(enumerate(sweep(rng, view.grid, SPAN)))
        chosen = sorted(int(f) for f in rng.choice(SPAN, size=min(PER_PATIENT, left), replace=False))
        for turn, frame in enumerate(chosen):
            probe = still(rng, view.grid) if turn == 0 else places[frame]
            picture, box = view.picture(probe, rng)
            facts = {"patient_id": f"p{patient:04d}", "split": splits[patient], "label": code or none}
            facts |= {"frame": str(frame), "video": f"p{patient:04d}-1", "site": "phantom", "vendor": "phantom"}
            yield picture, box, facts | {"mm_per_px": f"{view.converter.mm_per_px:.4f}"}
        left -= len(chosen)


def splits_of(patients: int, seed: int) -> list[str]:
    """train, tune or test of each patient, drawn."""
    order = np.random.default_rng([seed, 7]).permutation(patients)
    splits, start = ["train"] * patients, 0
    for name, part in PARTS:
        size = max(1, round(part * patients))
        for patient in order[start : start + size]:
            splits[int(patient)] = name
        start += size
    return splits
