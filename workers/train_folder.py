"""The data folder of a training: train and tune of a frozen dataset version, out of the store. Its test part stays there."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from core.errors import Refused
from core.models.datasets import DatasetFile
from core.node import CentralNode
from core.services.training import Line
from ml.annotations import ANNOTATIONS
from ml.manifest import MANIFEST

PARTS: Final = ("train", "tune")
CYST: Final = ("cyst", "non-cyst")
_EMPTY: Final = "The dataset version has no images to train on or to choose by: both parts need some."


def materialise(node: CentralNode, line: Line, files: Sequence[DatasetFile], boxes: str, folder: Path) -> Path:
    """Write the folder as `ml.data` reads it, whole or not at all; one that is there already is left.

    `boxes`: "diagnosis", or "cyst" for the classes cyst and non-cyst. Raises Refused when a part is empty."""
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "images").mkdir(parents=True)
    held = {file.path: file.sha256 for file in files}
    parts = {name: json.loads(node.store.read(held[f"coco/{name}.json"])) for name in PARTS}
    document = merged(parts, boxes)
    named = {}
    for image in document["images"]:
        path = str(image["file_name"])
        with (part / path).open("wb") as out:
            out.writelines(node.store.pieces(held[path]))
        named[path] = held[path]
    (part / ANNOTATIONS).write_text(json.dumps(document), "utf-8")
    told = {"name": line.dataset.name, "version": line.version.n, "hash": line.version.hash, "files": named}
    (part / MANIFEST).write_text(json.dumps(told), "utf-8")
    part.rename(folder)
    return folder


def merged(parts: dict[str, dict[str, Any]], boxes: str) -> dict[str, Any]:
    """One COCO document of the parts: ids anew, categories that have a box only, and as an image's label what lies on it."""
    images: list[dict[str, Any]] = []
    drawn: list[tuple[str, dict[str, Any]]] = []
    for name in PARTS:
        document, first = parts[name], len(images)
        names = {category["id"]: _class(str(category["name"]), boxes) for category in document["categories"]}
        own = {image["id"]: first + number for number, image in enumerate(document["images"], 1)}
        found = [(names[a["category_id"]], a | {"image_id": own[a["image_id"]]}) for a in document["annotations"]]
        label = _labels(found)
        images += [
            {**image, "id": own[image["id"]], "split": name, "label": label.get(own[image["id"]])}
            for image in document["images"]
        ]
        drawn += found
    if {image["split"] for image in images} != set(PARTS) or not drawn:
        raise Refused(_EMPTY)
    categories = {name: number for number, name in enumerate(sorted({name for name, _ in drawn}), 1)}
    return {
        "info": {"description": "Train and tune of a frozen dataset version"},
        "images": images,
        "annotations": [
            annotation | {"id": number, "category_id": categories[name]}
            for number, (name, annotation) in enumerate(drawn, 1)
        ],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }


def _class(name: str, boxes: str) -> str:
    return name if boxes == "diagnosis" or name in CYST else CYST[0] if name.endswith("-CYST") else CYST[1]


def _labels(drawn: Sequence[tuple[str, dict[str, Any]]]) -> dict[int, str]:
    """{image: the class that all its boxes have}; an image with boxes of several classes has no label."""
    kinds = Counter((annotation["image_id"], name) for name, annotation in drawn)
    single = Counter(image for image, _ in kinds)
    return {image: name for image, name in kinds if single[image] == 1}
