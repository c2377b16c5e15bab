"""Outside sets as they come: COCO, a csv with or without masks, a folder a class; each becomes a list of rows."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ml.annotations import FACTS
from ml.data import BadFolder, inside, load, splits_of
from ml.digests import BROKEN
from ml.manifest import SPLITS
from ml.outlines import Outline

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")
_SPLIT_WORDS = {
    "valid": "tune",
    "val": "tune",
    "validation": "tune",
    "dev": "tune",
    "training": "train",
    "testing": "test",
}
_MOST_ROWS = 2_000_000
COLUMNS = {
    "image": ("image", "file_name", "file", "filename", "path"),
    "label": ("class", "label", "diagnosis"),
    "patient": ("patient", "patient_id"),
    "group": ("group", "group_id"),
    "split": ("split",),
    "masks": ("masks", "mask"),
    "boxes": ("boxes_xyxy", "boxes"),
}


@dataclass(frozen=True)
class Object:
    """One object on an image: its box as x, y, width, height in pixels, its category, lesion, its mask's file, or its outline."""

    box: tuple[float, float, float, float]
    category: str
    lesion: str = ""
    mask: Path | None = None
    outline: Outline = ()


@dataclass(frozen=True)
class Row:
    """One image of an outside set; "" is unknown. `name` is how the source names it."""

    path: Path
    name: str
    label: str = ""
    patient: str = ""
    group: str = ""
    split: str = ""
    objects: tuple[Object, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def rows_of(source: Path) -> list[Row]:
    """Read a set of any known layout. Raises BadFolder when it is none of them or does not hold together."""
    if not source.is_dir():
        raise BadFolder("There is no such folder to import.")
    if (source / "annotations.json").is_file() or (source / "coco").is_dir():
        return _from_coco(source)
    tables = sorted(source.glob("*.csv"))
    if len(tables) > 1:
        tables = [table for table in tables if table.name == "labels.csv"] or tables
    if len(tables) == 1:
        return list(_from_table(source, tables[0]))
    if tables:
        raise BadFolder("There are several csv files; name the one to be read labels.csv.")
    if rows := list(_from_classes(source)):
        return rows
    raise BadFolder(
        "The folder is neither COCO (annotations.json), nor a csv with an image column, nor a folder a class."
    )


def _from_coco(source: Path) -> list[Row]:
    found = load(source, splits_of(source), outside=True)
    return [
        Row(
            item.path,
            item.file_name,
            item.label,
            item.patient,
            "" if item.group.startswith("image-") else item.group,
            item.split,
            tuple(Object((b.x, b.y, b.width, b.height), b.category, b.lesion, None, b.outline) for b in item.boxes),
            item.facts,
        )
        for item in found.items
    ]


def _from_table(source: Path, path: Path) -> Iterator[Row]:
    names, lines = table(path, "the csv")
    column = {key: next((n for n in names if n.lower() in known), "") for key, known in COLUMNS.items()}
    if not column["image"]:
        raise BadFolder("The csv has no column named image.")
    for number, cells in enumerate(lines, 2):
        yield _row(source, cells, column, f"line {number} of the csv")


def table(path: Path, called: str) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and the lines of a csv with a head, its cells without blanks round them. Raises BadFolder."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            names, lines = [name or "" for name in reader.fieldnames or []], []
            for number, cells in enumerate(reader, 2):
                if number > _MOST_ROWS or None in cells or None in cells.values():
                    raise BadFolder(f"Line {number} of {called} has too many or too few cells.")
                lines.append({key: value.strip() for key, value in cells.items()})
            return names, lines
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFolder(f"{called[0].upper()}{called[1:]} cannot be read.") from error


def _row(source: Path, cells: Mapping[str, str], column: Mapping[str, str], at: str) -> Row:
    told = {key: cells[name] if name else "" for key, name in column.items()}
    masks = [_file(source, part.strip(), at) for part in told["masks"].split(";") if part.strip()]
    boxes = [_corners(part, at) for part in told["boxes"].split(";") if part.strip()]
    if boxes and masks and len(boxes) != len(masks):
        raise BadFolder(f"{at}: there are not as many boxes as masks.")
    category = told["label"] or "lesion"
    if boxes:
        paired: list[Path | None] = [*masks] if masks else [None] * len(boxes)
        objects = [Object(box, category, mask=mask) for box, mask in zip(boxes, paired, strict=True)]
    else:
        objects = [Object(box, category, mask=mask) for mask in masks if (box := tight_box(mask_of(mask)))]
    facts = {key: cells[key].strip() for key in FACTS if cells.get(key, "").strip()}
    split, path = split_of(told["split"], at), _file(source, told["image"], at)
    return Row(path, told["image"], told["label"], told["patient"], told["group"], split, tuple(objects), facts)


def _from_classes(source: Path) -> Iterator[Row]:
    """CLASS/image or SPLIT/CLASS/image."""
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() not in PICTURES or not path.is_file():
            continue
        parts = path.relative_to(source).parts
        first = _SPLIT_WORDS.get(parts[0].lower(), parts[0].lower())
        split, rest = (first, parts[1:]) if first in SPLITS else ("", parts)
        if len(rest) < 2:
            raise BadFolder("A picture lies in no folder of a class.")
        yield Row(_file(source, "/".join(parts), "a picture"), "/".join(parts), rest[0], split=split)


def split_of(word: str, at: str) -> str:
    split = _SPLIT_WORDS.get(word.lower(), word.lower())
    if split and split not in SPLITS:
        raise BadFolder(f"{at}: its split is not train, tune or test.")
    return split


def _file(source: Path, name: str, at: str) -> Path:
    found = inside(source, name) if name else None
    if found is None:
        raise BadFolder(f"{at}: a file is absent, or lies outside the folder.")
    return found


def _corners(text: str, at: str) -> tuple[float, float, float, float]:
    """`x0 y0 x1 y1`, ends exclusive, as x, y, width, height."""
    parts = re.split(r"[\s,]+", text.strip())
    try:
        x0, y0, x1, y1 = (float(part) for part in parts)
    except ValueError as error:
        raise BadFolder(f"{at}: a box is not four numbers.") from error
    if not (x0 < x1 and y0 < y1):
        raise BadFolder(f"{at}: a box is empty.")
    return x0, y0, x1 - x0, y1 - y0


def mask_of(path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """A mask's file as (rows, columns) bool, True inside. Raises BadFolder."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L")) > 127
    except BROKEN as error:
        raise BadFolder("A mask is not a whole picture.") from error


def tight_box(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> tuple[float, float, float, float] | None:
    """x, y, width, height of what is True; None when nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    x, y = float(columns[0]), float(rows[0])
    return x, y, float(columns[-1]) + 1 - x, float(rows[-1]) + 1 - y


def run_lengths(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> dict[str, list[int]]:
    """COCO's uncompressed run lengths: columns first, the first run is of False."""
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    counts = np.diff(bounds).tolist()
    return {"size": list(mask.shape), "counts": ([0, *counts] if flat[0] else counts)}
