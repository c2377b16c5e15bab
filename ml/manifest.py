"""The dataset folder: the one place that writes and reads it. Standard library only.

Layout: manifest.json, coco/{train,tune,test}.json, images/<sha256>.png, CARD.md. The locked test part may be absent."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
SPLITS = ("train", "tune", "test")
KINDS = ("coco", "image", "card")
IMAGE_FIELDS = ("split", "patient", "frame", "sop_instance_uid", "site", "mm_per_px")
_PATH = re.compile(r"(?:coco/(?:train|tune|test)\.json|images/[0-9a-f]{64}\.png|CARD\.md)", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_CHUNK = 1 << 20


class BadManifest(ValueError):
    """The dataset's manifest is not one, or does not hold together."""


@dataclass(frozen=True, order=True)
class File:
    """One file of a dataset: its place in the folder, SHA-256 in lower-case hex, size in bytes, and kind."""

    path: str
    sha256: str
    size: int
    kind: str

    @property
    def hash_line(self) -> str:
        """What the version's hash is made of; no path or digest holds a blank."""
        return f"{self.sha256} {self.size} {self.kind} {self.path}\n"


@dataclass(frozen=True)
class Manifest:
    """A frozen version of a dataset: `hash` proves the list of files, each file's digest proves its bytes."""

    name: str
    version: int
    hash: str
    files: tuple[File, ...]


def version_hash(files: Iterable[File]) -> str:
    """SHA-256 over the sorted lines `sha256 size kind path` of all files, UTF-8, each with a line feed."""
    digest = hashlib.sha256()
    for line in sorted(file.hash_line for file in files):
        digest.update(line.encode())
    return digest.hexdigest()


def parse(document: object) -> Manifest:
    """A manifest from its JSON; raises BadManifest unless every path, digest and size is right and the hash fits.

    Paths come from outside: only the names of the layout are let through, so none can leave the folder."""
    if not isinstance(document, dict) or not isinstance(document.get("files"), list):
        raise BadManifest("The manifest is not a list of files.")
    files = tuple(_file(entry) for entry in document["files"])
    name, version = document.get("name"), document.get("version")
    if not isinstance(name, str) or not isinstance(version, int) or isinstance(version, bool):
        raise BadManifest("The manifest has no name or version.")
    if len({file.path for file in files}) != len(files):
        raise BadManifest("The manifest lists a file twice.")
    if document.get("hash") != version_hash(files):
        raise BadManifest("The manifest's hash does not fit its list of files.")
    return Manifest(name, version, version_hash(files), files)


def _file(entry: object) -> File:
    if not isinstance(entry, dict):
        raise BadManifest("The manifest is not a list of files.")
    path, sha256, size, kind = (entry.get(key) for key in ("path", "sha256", "size", "kind"))
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise BadManifest("The manifest names a file outside the layout of a dataset.")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256) or kind not in KINDS:
        raise BadManifest("The manifest has a file without a proper digest or kind.")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadManifest("The manifest has a file without a proper size.")
    if kind == "image" and path != f"images/{sha256}.png":
        raise BadManifest("The manifest has an image that is not named by its digest.")
    return File(path, sha256, size, str(kind))


def to_json(manifest: Manifest) -> bytes:
    """The same manifest always gives the same bytes."""
    document = asdict(manifest) | {"files": [asdict(file) for file in sorted(manifest.files)]}
    return (json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def kind_of(path: str) -> str:
    """coco, image or card, by the place in the folder; raises BadManifest for any other place."""
    if not _PATH.fullmatch(path):
        raise BadManifest("This file has no place in the layout of a dataset.")
    return "card" if path == "CARD.md" else "image" if path.startswith("images/") else "coco"


def write_manifest(folder: Path, name: str, version: int) -> Manifest:
    """Digest every file of the folder, then write manifest.json; raises BadManifest for a file outside the layout."""
    files = []
    for path in _files_in(folder):
        sha256, size = digest_of(folder / path)
        files.append(File(path, sha256, size, kind_of(path)))
    manifest = Manifest(name, version, version_hash(files), tuple(sorted(files)))
    parse(json.loads(to_json(manifest)))
    save(folder, manifest)
    return manifest


def save(folder: Path, manifest: Manifest) -> None:
    """Put manifest.json in its place in one move."""
    part = folder / f"{MANIFEST}.part"
    part.write_bytes(to_json(manifest))
    part.replace(folder / MANIFEST)


def load(folder: Path) -> Manifest:
    """The manifest of a dataset folder; raises BadManifest when it is absent or does not hold together."""
    try:
        document = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadManifest("The folder has no readable manifest.") from error
    return parse(document)


def verify(folder: Path) -> list[str]:
    """What is wrong with a dataset folder, in words; empty when every file is there and right, and no other."""
    try:
        manifest = load(folder)
    except BadManifest as error:
        return [str(error)]
    problems = []
    for file in manifest.files:
        place = folder / file.path
        if not place.is_file():
            problems.append(f"{file.path} is missing.")
        elif digest_of(place) != (file.sha256, file.size):
            problems.append(f"{file.path} is not what the manifest says.")
    listed = {file.path for file in manifest.files}
    problems += [f"{path} is not in the manifest." for path in _files_in(folder) if path not in listed]
    return problems or _crossings(folder, manifest)


def digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 in hex and size in bytes of a file, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as handle:
        while piece := handle.read(_CHUNK):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def coco(
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    categories: Sequence[Mapping[str, Any]],
    info: Mapping[str, Any],
) -> dict[str, Any]:
    """One split in COCO 1.0; raises BadManifest when it does not hold together.

    An image has id, file_name, width, height and the fields of IMAGE_FIELDS: `patient` is the research ID, `frame`
    counts from 0, `mm_per_px` is None when unknown. An annotation has id, image_id, category_id and bbox x, y, width,
    height in pixels; area and iscrowd are filled in. An image without annotations is a negative one."""
    known_images, known_categories = {image["id"]: image for image in images}, {c["id"] for c in categories}
    if len(known_images) != len(images) or len(known_categories) != len(categories):
        raise BadManifest("Two images or two categories have the same id.")
    for image in images:
        missing = [key for key in ("file_name", "width", "height", *IMAGE_FIELDS) if key not in image]
        if missing:
            raise BadManifest(f"An image lacks {', '.join(missing)}.")
    if len({image["split"] for image in images}) > 1:
        raise BadManifest("The images are of more than one split.")
    return {
        "info": dict(info),
        "licenses": [],
        "categories": [dict(category) for category in categories],
        "images": [dict(image) for image in images],
        "annotations": [_annotation(a, known_images, known_categories) for a in annotations],
    }


def _annotation(
    annotation: Mapping[str, Any], images: Mapping[Any, Mapping[str, Any]], categories: set[Any]
) -> dict[str, Any]:
    image = images.get(annotation.get("image_id"))
    if image is None or annotation.get("category_id") not in categories or "id" not in annotation:
        raise BadManifest("An annotation belongs to no image or category, or has no id.")
    x, y, width, height = annotation["bbox"]
    if width <= 0 or height <= 0 or x < 0 or y < 0 or x + width > image["width"] or y + height > image["height"]:
        raise BadManifest("An annotation's box is empty or leaves its image.")
    return {"iscrowd": 0, "area": width * height, "segmentation": []} | dict(annotation)


def _files_in(folder: Path) -> Iterator[str]:
    """Every file but the manifest itself, as a path with forward slashes."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and relative != MANIFEST:
            yield relative


def _crossings(folder: Path, manifest: Manifest) -> list[str]:
    """Patients (site and research ID) in two splits, and images that a split names but the manifest does not."""
    seen: dict[tuple[str, str], str] = {}
    listed = {file.path for file in manifest.files}
    problems = set()
    for split in (s for s in SPLITS if f"coco/{s}.json" in listed):
        try:
            images = json.loads((folder / "coco" / f"{split}.json").read_text("utf-8"))["images"]
            rows = [(str(i["site"]), str(i["patient"]), str(i["file_name"])) for i in images]
        except (ValueError, KeyError, TypeError):
            problems.add(f"coco/{split}.json is not a COCO file of this layout.")
            continue
        for site, patient, file_name in rows:
            if seen.setdefault((site, patient), split) != split:
                problems.add("A patient stands in more than one split.")
            if f"images/{file_name.removeprefix('images/')}" not in listed:
                problems.add(f"coco/{split}.json names an image that the manifest does not list.")
    return sorted(problems)
