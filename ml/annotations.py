"""The COCO document of a data folder: parsed from whatever came, every reference and number checked. Standard library only."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.manifest import SPLITS
from ml.outlines import Outline, outline_of

ANNOTATIONS = "annotations.json"
ALONE = "each_image_alone"  # in "info": every image is a unit of its own
OF_HEARTS = ("view", "phase", "ef_percent", "frame_ms")  # of clips; phase is ED or ES
FACTS = ("site", "vendor", "basis", "calipers", "frame", "sop_instance_uid", "mm_per_px", "video", *OF_HEARTS)
_BIGGEST_JSON = 1 << 30
_LARGEST = 1e9
_OVER_EDGE_PX = 1.0  # boxes rounded outward by the tool that drew them


class BadFolder(ValueError):
    """The data folder is not one, or does not hold together."""


@dataclass(frozen=True)
class Box:
    """One object: left, top, width and height in pixels of the stored image, its category and its lesion (or "").

    `outline` is its polygon as x and y in turn, () where none is told."""

    x: float
    y: float
    width: float
    height: float
    category: str
    lesion: str = ""
    outline: Outline = ()


def read_json(path: Path) -> Any:  # noqa: ANN401
    """A JSON file of any shape; raises BadFolder when it is absent, too big or not JSON."""
    try:
        if path.stat().st_size > _BIGGEST_JSON:
            raise BadFolder(f"{path.name} is too big.")
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadFolder(f"{path.name} is absent or cannot be read.") from error
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, BadFolder) else BadFolder(f"{path.name} is not JSON.") from error


@dataclass(frozen=True)
class Entry:
    """An image entry before its file is looked at; `at` is how messages name it."""

    at: str
    file_name: str
    width: int
    height: int
    patient: str
    group: str
    split: str
    label: str
    boxes: tuple[Box, ...]
    facts: dict[str, str]


def read(root: Path, outside: bool = False) -> tuple[tuple[str, ...], list[Entry]]:
    """Categories and image entries of annotations.json, or of the coco/ files of a pulled dataset. Raises BadFolder.

    `outside`: images without patient and group are let through, for an import that asks what they are."""
    if (root / ANNOTATIONS).is_file():
        return _document(read_json(root / ANNOTATIONS), None, outside)
    parts = [(split, root / "coco" / f"{split}.json") for split in SPLITS]
    found = [_document(read_json(path), split, outside) for split, path in parts if path.is_file()]
    if not found:
        raise BadFolder("The folder has neither annotations.json nor coco/train.json.")
    names = tuple(dict.fromkeys(name for categories, _ in found for name in categories))
    return names, _distinct([image for _, images in found for image in images])


def _document(document: object, split: str | None, outside: bool) -> tuple[tuple[str, ...], list[Entry]]:
    if not isinstance(document, dict):
        raise BadFolder("The annotations are not a COCO document.")
    categories = _categories(_list(document, "categories"))
    entries = _list(document, "images", needed=True)
    info = document.get("info")
    alone = isinstance(info, dict) and info.get(ALONE) is True
    ids = [_key(entry, "id", f"image {n}") for n, entry in enumerate(entries, 1)]
    if len(set(ids)) != len(ids):
        raise BadFolder("Two images have the same id.")
    sizes = {key: _size(entry, f"image {n}") for n, (key, entry) in enumerate(zip(ids, entries, strict=True), 1)}
    boxes = _boxes(_list(document, "annotations"), sizes, categories)
    images = [
        _image(e, f"image {n}", sizes[k], boxes[k], split) for n, (k, e) in enumerate(zip(ids, entries, strict=True), 1)
    ]
    if not alone and not outside and (lost := sum(not (image.patient or image.group) for image in images)):
        raise BadFolder(f"{lost} images have neither a patient nor a group: what belongs together is not known.")
    return tuple(categories.values()), _distinct(images)


def _distinct(images: list[Entry]) -> list[Entry]:
    if len({image.file_name for image in images}) != len(images):
        raise BadFolder("Two images have the same file name.")
    return images


def _list(document: Mapping[str, Any], key: str, needed: bool = False) -> list[Any]:
    value = document.get(key)
    if value is None and not needed:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise BadFolder(f"{key} is not a list of entries.")
    return value


def _key(entry: Mapping[str, Any], key: str, at: str) -> int | str:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadFolder(f"{at}: {key} is not a number or a word.")
    return value


def _categories(entries: list[Any]) -> dict[int | str, str]:
    found: dict[int | str, str] = {}
    for n, entry in enumerate(entries, 1):
        key, name = _key(entry, "id", f"category {n}"), _word(entry, ("name",), f"category {n}")
        if not name or key in found or name in found.values():
            raise BadFolder(f"category {n}: it has no name, or its id or name stands twice.")
        found[key] = name
    return found


def _size(entry: Mapping[str, Any], at: str) -> tuple[int, int]:
    width, height = entry.get("width"), entry.get("height")
    for value in (width, height):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 1 << 16:
            raise BadFolder(f"{at}: width and height must be whole pixels.")
    return int(width or 0), int(height or 0)


def _boxes(
    entries: list[Any], sizes: Mapping[int | str, tuple[int, int]], categories: Mapping[int | str, str]
) -> dict[int | str, tuple[Box, ...]]:
    found: dict[int | str, list[Box]] = {key: [] for key in sizes}
    for n, entry in enumerate(entries, 1):
        at = f"annotation {n}"
        image, category = _key(entry, "image_id", at), _key(entry, "category_id", at)
        if image not in sizes or category not in categories:
            raise BadFolder(f"{at}: there is no such image or category.")
        found[image].append(_box(entry, at, sizes[image], categories[category]))
    return {key: tuple(boxes) for key, boxes in found.items()}


def _box(entry: Mapping[str, Any], at: str, size: tuple[int, int], category: str) -> Box:
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(_is_number(value) for value in bbox):
        raise BadFolder(f"{at}: bbox is not x, y, width, height.")
    x, y, width, height = (float(value) for value in bbox)
    over = min(x, y, size[0] - x - width, size[1] - y - height) < -_OVER_EDGE_PX
    left, top = max(0.0, x), max(0.0, y)
    right, bottom = min(float(size[0]), x + width), min(float(size[1]), y + height)
    if width <= 0 or height <= 0 or over or right <= left or bottom <= top:
        raise BadFolder(f"{at}: its box is empty or leaves its image.")
    try:
        outline = outline_of(entry.get("segmentation"))
    except ValueError as error:
        raise BadFolder(f"{at}: its segmentation is neither polygons nor run lengths.") from error
    return Box(left, top, right - left, bottom - top, category, _word(entry, ("lesion_id",), at), outline)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST if isinstance(value, int) else math.isfinite(value) and abs(value) <= _LARGEST


def _image(
    entry: Mapping[str, Any], at: str, size: tuple[int, int], boxes: tuple[Box, ...], split: str | None
) -> Entry:
    file_name = entry.get("file_name")
    if not isinstance(file_name, str) or not file_name:
        raise BadFolder(f"{at}: it has no file name.")
    patient, group = _word(entry, ("patient_id", "patient"), at), _word(entry, ("group",), at)
    told = _word(entry, ("split",), at) or split or ""
    if told not in SPLITS or (split is not None and told != split):
        raise BadFolder(f"{at}: its split is not train, tune or test.")
    facts = {key: word for key in FACTS if (word := _word(entry, (key,), at))}
    label = _word(entry, ("label",), at)
    return Entry(at, file_name, *size, patient, group, told, label, boxes, facts)


def _word(entry: Mapping[str, Any], keys: tuple[str, ...], at: str) -> str:
    """The first of the keys that is given, as text; "" when none is. Raises BadFolder for a list or an object."""
    for key in keys:
        value = entry.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, bool):
            return "yes" if value else "no"
        if not isinstance(value, str) and not _is_number(value):
            raise BadFolder(f"{at}: {key} is not a word.")
        word = str(value).strip()
        if len(word) > 300 or not word.isprintable():
            raise BadFolder(f"{at}: {key} is not a short line of text.")
        return word
    return ""


def refuse_crossings(images: list[Entry]) -> None:
    """A patient or a group in two splits would let a model be judged on what it saw."""
    seen: dict[tuple[str, ...], str] = {}
    crossing = set()
    for image in images:
        keys = [("patient", image.facts.get("site", ""), image.patient)] if image.patient else []
        for key in [*keys, *([("group", image.group)] if image.group else [])]:
            if seen.setdefault(key, image.split) != image.split:
                crossing.add(key)
    if crossing:
        raise BadFolder(f"{len(crossing)} patients or groups stand in more than one split.")
