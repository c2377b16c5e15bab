"""A data folder of generated hearts: apical clips with the ventricle's border on every frame, the beat's ends and the true EF.

For trying things out and tests: no patient behind it, and easier than any real heart. The EF is that of the whole
ellipsoid: a single view that sees b and not c can miss it by a point or so, as in life."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.annotations import ANNOTATIONS, BadFolder
from ml.clips import PHASES, VENTRICLE
from ml.data import Folder, content_hash, load
from ml.manifest import MANIFEST, digest_of
from ml.outlines import Outline, area_of, box_of
from ml.phantom_folder import splits_of
from ml.phantom_heart import VIEWS, Beats, HeartView, Ventricle, ends_of

SIDE: Final = 160
FRAMES: Final = 32
FRAME_MS: Final = 50.0
FEWEST_PATIENTS: Final = 6
CLIPS: Final = len(VIEWS)  # of a patient


@dataclass(frozen=True)
class HeartClip:
    """Grey frames (t, 160, 160), the border of each as x and y in turn, its volumes in ml, and the ends of its beats."""

    view: str
    frames: NDArray[np.uint8]
    outlines: tuple[Outline, ...]
    volumes_ml: tuple[float, ...]
    ends: tuple[tuple[int, int], ...]  # places from 0
    mm_per_px: float

    @property
    def ef_percent(self) -> float:
        """Of the first whole beat."""
        diastole, systole = (self.volumes_ml[place] for place in self.ends[0])
        return 100 * (diastole - systole) / diastole


def hearts(seed: int, patient: int, frames: int = FRAMES) -> Iterator[HeartClip]:
    """One patient's clips, a view each: one heart, seen anew each time."""
    beats = _beats(np.random.default_rng([seed, 11, patient]), frames)
    for number, view in enumerate(VIEWS):
        yield _clip(np.random.default_rng([seed, 12, patient, number]), beats, view)


def make(out: Path, clips: int, seed: int) -> Folder:
    """Write `clips` clips of 32 frames, two a patient, as the data folder `out`, split by patient. Raises BadFolder."""
    if clips < CLIPS * FEWEST_PATIENTS or clips % CLIPS:
        raise BadFolder(f"Clips of the heart come two a patient: an even number from {CLIPS * FEWEST_PATIENTS} on.")
    if out.exists():
        raise BadFolder("The folder exists already: choose another --out.")
    (out / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    splits = splits_of(clips // CLIPS, seed)
    for patient, split in enumerate(splits):
        for number, clip in enumerate(hearts(seed, patient), start=1):
            for entry, outline in _written(out, f"h{seed}-{patient:04d}", number, clip):
                images.append({"id": len(images) + 1, **entry, "split": split})
                annotations.append(_annotation(len(images), outline))
    info = {"description": f"Generated hearts, seed {seed}. No patient behind them."}
    document = {"info": info, "images": images, "annotations": annotations}
    document["categories"] = [{"id": 1, "name": VENTRICLE}]
    (out / ANNOTATIONS).write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    files = {path.relative_to(out).as_posix(): digest_of(path)[0] for path in sorted(out.rglob("*")) if path.is_file()}
    manifest = {"name": "phantom-heart", "version": 1, "hash": content_hash(files.items()), "files": files}
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return load(out, ("train", "tune", "test"))


def _beats(rng: np.random.Generator, frames: int) -> Beats:
    """A heart of any EF from 20 to 70 %: half of it drawn below 45, so that every class has some."""
    ejected = rng.uniform(0.2, 0.45) if rng.random() < 0.5 else rng.uniform(0.45, 0.7)
    a, b = rng.uniform(48, 60), rng.uniform(20, 27)
    wide = Ventricle(a, b, b * rng.uniform(0.94, 1.04))
    shorter = 1 - 0.25 * ejected * rng.uniform(0.8, 1.2)
    squeeze, uneven = np.sqrt((1 - ejected) / shorter), rng.uniform(0.98, 1.02)
    tight = Ventricle(wide.a * shorter, wide.b * squeeze / uneven, wide.c * squeeze * uneven)
    return Beats(
        wide, tight, FRAME_MS, FRAME_MS * int(rng.integers(13, 20)), FRAME_MS * int(rng.integers(2, 6)), frames
    )


def _clip(rng: np.random.Generator, beats: Beats, view: str) -> HeartClip:
    """The frames under one tilt, size, place and gain."""
    seen = HeartView(rng, view, SIDE, SIDE)
    zoom, gain = rng.uniform(0.9, 1.12), rng.uniform(0.75, 1.15)
    turn = np.asarray(cv2.getRotationMatrix2D((SIDE / 2, SIDE * 0.4), rng.uniform(-15, 15), zoom), np.float64)
    turn[:, 2] += rng.uniform(-0.06, 0.06, 2) * SIDE
    frames, outlines, volumes = [], [], []
    for number in range(beats.frames):
        heart = beats.at(number * beats.frame_ms)
        away = 0.5 - 0.5 * np.cos(2 * np.pi * number * beats.frame_ms / beats.rr_ms)
        lit = np.clip(seen.picture(heart, rng, float(away)) * gain, 0, 255).astype(np.uint8)
        frames.append(cv2.warpAffine(lit, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR))
        points = np.asarray(seen.contour(heart)) @ turn[:, :2].T + turn[:, 2] + 0.5
        outlines.append(tuple(float(value) for value in np.clip(points, 0, SIDE).ravel()))
        volumes.append(heart.volume_ml)
    ends = tuple((diastole - 1, systole - 1) for diastole, systole in ends_of(beats, volumes))
    scale = seen.converter.mm_per_px / zoom
    return HeartClip(VIEWS[view], np.stack(frames), tuple(outlines), tuple(volumes), ends, float(scale))


def _written(out: Path, patient: str, number: int, clip: HeartClip) -> Iterator[tuple[dict[str, Any], Outline]]:
    """What annotations.json says of each frame, whose picture is written, and its border."""
    phases = dict(zip(clip.ends[0], PHASES, strict=True))
    shared = {"patient_id": patient, "video": f"{patient}-{number}", "site": "phantom", "vendor": "phantom"}
    shared |= {"view": clip.view, "mm_per_px": f"{clip.mm_per_px:.5f}", "frame_ms": f"{FRAME_MS:g}"}
    shared |= {"ef_percent": f"{clip.ef_percent:.3f}"}
    for place, (grey, outline) in enumerate(zip(clip.frames, clip.outlines, strict=True)):
        name = f"images/{patient}-{number}-{place + 1:03d}.png"
        if not cv2.imwrite(str(out / name), grey):
            raise BadFolder("A picture could not be written.")
        entry = {"file_name": name, "width": SIDE, "height": SIDE, **shared, "frame": str(place + 1)}
        yield entry | ({"phase": phases[place]} if place in phases else {}), outline


def _annotation(image: int, outline: Outline) -> dict[str, Any]:
    rounded = [round(value, 3) for value in outline]
    entry = {"id": image, "image_id": image, "category_id": 1, "bbox": list(box_of(tuple(rounded))), "iscrowd": 0}
    return entry | {"area": area_of(tuple(rounded)), "segmentation": [rounded]}
