"""Small data folders to train and judge on in seconds: bright rings are malignant, dark discs benign."""

from pathlib import Path

import numpy as np
from PIL import Image

from ml.imports import Choices, Imported, import_folder


def small_set(
    out: Path, source: Path, images: int = 40, first: int = 0, split: str = "", boxes: bool = False, tall: bool = False
) -> Imported:
    """A data folder of `images` pictures, two a patient, numbered from `first`; `split` puts all of them into one.

    `tall`: nothing tells the classes apart but their boxes, which are taller than wide where malignant."""
    (source / "images").mkdir(parents=True)
    lines = ["image,class,patient,split,boxes_xyxy,vendor"]
    for number in range(first, first + images):
        bad, chance = number // 2 % 2, np.random.default_rng(number)
        y, x = np.mgrid[:40, :48]
        far = np.hypot(y - 20, x - 24 - chance.integers(-3, 4))
        shape = (far < 9) & (far > 4) if bad else far < 8
        pixels = chance.normal(90, 20, (40, 48)) + (0 if tall else np.where(shape, 90 if bad else -60, 0))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(source / "images" / f"{number}.png")
        box = "12 8 36 32" if boxes else ""
        if tall:
            wide, high = sorted(chance.integers(8, 18, 2), reverse=not bad)
            box = f"{24 - wide} {20 - high} {24 + wide} {20 + high}"
        label = "malignant" if bad else "benign"
        lines.append(f"images/{number}.png,{label},P{number // 2},{split},{box},{'A' if number % 4 else 'B'}")
    (source / "labels.csv").write_text("\n".join(lines) + "\n")
    return import_folder(source, out, "small", Choices())
