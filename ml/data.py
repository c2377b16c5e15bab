"""The data folder that training and judging read: images/, annotations.json (COCO) and manifest.json, or a pulled dataset.

Standard library only. Everything in the files comes from outside: paths that leave the folder, broken numbers, unknown
references, images without a patient or a group, and patients in two splits are refused with a sentence."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ml.annotations import BadFolder, Box, read_json, refuse_crossings
from ml.annotations import read as read_annotations
from ml.manifest import MANIFEST, SPLITS, digest_of

__all__ = ["BadFolder", "Box", "Folder", "Item", "inside", "load", "splits_of"]
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Item:
    """One image. `patient`, `group` and `label` are "" when unknown; an image without boxes is a negative one."""

    path: Path
    file_name: str
    sha256: str
    width: int
    height: int
    patient: str
    group: str
    split: str
    label: str
    boxes: tuple[Box, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """What is never split and what intervals are drawn over: the patient (at its site), otherwise the group."""
        if self.patient:
            return f"patient:{self.facts.get('site', '')}/{self.patient}"
        return f"group:{self.group}"


@dataclass(frozen=True)
class Folder:
    """A checked data folder; `hash` is the manifest's, otherwise made of the files that were read."""

    root: Path
    name: str
    version: str
    hash: str
    categories: tuple[str, ...]
    items: tuple[Item, ...]
    models_stay: bool = False  # what is trained on it may not be passed on

    @property
    def labels(self) -> tuple[str, ...]:
        """The image-level classes, sorted."""
        return tuple(sorted({item.label for item in self.items} - {""}))

    def of(self, *splits: str) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.split in splits)


def load(root: str | os.PathLike[str], splits: Sequence[str] = ("train", "tune"), *, outside: bool = False) -> Folder:
    """Read a data folder and check it; only images of `splits` are read and digested. Raises BadFolder.

    `outside` reads a set that is to be imported: what belongs together and what crosses splits is judged there."""
    place = Path(root)
    if not place.is_dir():
        raise BadFolder("There is no such folder.")
    if unknown := set(splits) - set(SPLITS):
        raise BadFolder(f"There is no split {', '.join(sorted(unknown))}; there are {', '.join(SPLITS)}.")
    manifest = _manifest(place)
    listed = _digests(manifest)
    categories, items = _read(place, tuple(splits), listed, outside)
    name, version, digest = (manifest.get(key) for key in ("name", "version", "hash"))
    if not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
        digest = content_hash((item.file_name, item.sha256) for item in items)
    name = name if isinstance(name, str) and name else place.resolve().name
    told = str(version if isinstance(version, int | str) else 1)
    return Folder(place, name, told, digest, categories, items, models_stay(place))


def models_stay(root: Path) -> bool:
    """Whether models that are trained on this folder may not be passed on, as its manifest says. Raises BadFolder."""
    return _manifest(root).get("models_stay", False) is not False


def splits_of(root: str | os.PathLike[str]) -> tuple[str, ...]:
    """The splits that the folder has images of, in the order train, tune, test. Raises BadFolder."""
    found = {image.split for image in read_annotations(Path(root), outside=True)[1]}
    return tuple(split for split in SPLITS if split in found)


def content_hash(files: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over the sorted lines `sha256 file_name`, UTF-8, each with a line feed."""
    lines = sorted(f"{sha256} {file_name}\n" for file_name, sha256 in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _read(
    root: Path, splits: tuple[str, ...], listed: Mapping[str, str], outside: bool
) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    categories, images = read_annotations(root, outside)
    if not outside:
        refuse_crossings(images)
    items = []
    for image in images:
        if image.split not in splits:
            continue
        path = inside(root, image.file_name)
        if path is None:
            raise BadFolder(f"{image.at}: its file is absent, or lies outside the folder.")
        try:
            sha256, _ = digest_of(path)
        except OSError as error:
            raise BadFolder(f"{image.at}: its file cannot be read.") from error
        named = path.relative_to(root.resolve()).as_posix()
        if listed.get(named, listed.get(image.file_name, sha256)) != sha256:
            raise BadFolder(f"{image.at}: its file is not what manifest.json says.")
        group = image.group or ("" if image.patient else f"image-{sha256}")
        values = (path, image.file_name, sha256, image.width, image.height, image.patient, group)
        items.append(Item(*values, image.split, image.label, image.boxes, image.facts))
    return categories, tuple(items)


def inside(root: Path, file_name: str) -> Path | None:
    """The real file that a relative name means, in the folder or its images/; None when absent or outside."""
    pure = PurePosixPath(file_name)
    if not file_name.isprintable() or pure.is_absolute() or ".." in pure.parts or "\\" in file_name or ":" in file_name:
        return None
    try:
        home = root.resolve()
        for place in (home / file_name, home / "images" / file_name):
            real = place.resolve()
            if real.is_file() and real.is_relative_to(home):
                return real
    except (OSError, ValueError, RuntimeError):  # too long, not encodable, a circle of links
        return None
    return None


def _manifest(root: Path) -> dict[str, Any]:
    """manifest.json as an object with "files"; a bare list, or an object of paths and digests alone, is that of files."""
    if not (root / MANIFEST).exists():
        return {}
    document = read_json(root / MANIFEST)
    if isinstance(document, list):
        return {"files": document}
    if not isinstance(document, dict):
        raise BadFolder("manifest.json is neither an object nor a list.")
    return document if "files" in document else {**document, "files": document}


def _digests(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Path to SHA-256, of a dict or of a list of entries with path or file; entries without a digest are passed over."""
    files = manifest.get("files")
    pairs: list[tuple[object, object]] = []
    if isinstance(files, dict):
        pairs = [(path, v.get("sha256") if isinstance(v, dict) else v) for path, v in files.items()]
    elif isinstance(files, list):
        entries = [entry for entry in files if isinstance(entry, dict)]
        pairs = [(e.get("path") or e.get("file") or e.get("file_name"), e.get("sha256")) for e in entries]
    known = [
        (path, v.lower().removeprefix("sha256:")) for path, v in pairs if isinstance(path, str) and isinstance(v, str)
    ]
    return {path: digest for path, digest in known if _SHA256.fullmatch(digest)}
