"""Versioned class maps: which labels of a folder make which class, and which classes are malignant. NumPy-free."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ml.data import BadFolder

_HERE = Path(__file__).resolve().parent / "class_maps"


@dataclass(frozen=True)
class ClassMap:
    """`of` leads from a label to its class; the first of `derived` is the positive group that a threshold is for."""

    name: str
    classes: tuple[str, ...]
    of: dict[str, str]
    derived: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()

    @property
    def positive(self) -> tuple[str, ...]:
        """The classes of the first derived group; without one the last class."""
        return next(iter(self.derived.values()), self.classes[-1:])


def maps() -> list[ClassMap]:
    """All maps of ml/class_maps, in the order of files and of maps in them."""
    found = []
    for path in sorted(_HERE.glob("*.yaml")):
        document = yaml.safe_load(path.read_text("utf-8"))
        found += [_map(document, entry) for entry in document["maps"]]
    return found


def fitting(labels: Iterable[str], name: str | None = None) -> ClassMap:
    """The map called `name`, otherwise the first that knows every label, otherwise each label as its own class.

    Raises BadFolder when there are fewer than two classes, or the map does not know a label."""
    given = set(labels) - {""}
    for known in maps():
        is_known = given <= {*known.of, *known.left_out} and len({known.of[one] for one in given & {*known.of}}) > 1
        if known.name == name and not is_known:
            raise BadFolder(f"The class map {name} does not know every label of the folder.")
        if is_known and name in (None, known.name):
            return known
    if name is not None:
        raise BadFolder(f"There is no class map {name}; there are {', '.join(known.name for known in maps())}.")
    if len(given) < 2:
        raise BadFolder("The folder has fewer than two image-level classes to tell apart.")
    classes = tuple(sorted(given))
    return ClassMap("labels", classes, {one: one for one in classes}, {})


def from_model(model: dict[str, Any]) -> ClassMap:
    """The map that a trained model was made with, out of its model.json."""
    classes, told = tuple(model["classes"]), model.get("class_map") or {}
    derived = {group: tuple(of) for group, of in (model.get("derived") or {}).items()}
    of = told.get("of") or {one: one for one in classes}
    return ClassMap(str(told.get("name", "labels")), classes, dict(of), derived, tuple(told.get("left_out", ())))


def _map(document: dict[str, Any], entry: dict[str, Any]) -> ClassMap:
    of = {label: one for one, labels in entry["classes"].items() for label in labels}
    derived = {group: tuple(members) for group, members in entry.get("derived", {}).items()}
    name = f"{document['organ']}-{entry['name']}-{document['version']}"
    return ClassMap(name, tuple(entry["classes"]), of, derived, tuple(entry.get("left_out", ())))
