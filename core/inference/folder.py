"""What a model's folder says of itself (model.json, or pipeline.json and the models in it), its files checked by their digests.

Pure: the files come as {path: bytes}. No network is run here; `ml.runtime` does that in its own process."""

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from core.errors import Refused
from core.package.messages import MODEL_PATH

MOST_FILES: Final = 40
MOST_BYTES: Final = 512 << 20
KEPT: Final = ("model.json", "pipeline.json", "metrics.json", "card.md", "run.json")
NO_MODEL: Final = "There is no model.json or pipeline.json in it."
TOO_MUCH: Final = "A model may have at most 40 files of 512 MiB together."
ODD_PATH: Final = "A file of the model has a name that is not allowed."
NOT_JSON: Final = "A description of the model is not JSON, or lacks what it must say."
OTHER_DIGEST: Final = "A file of the model is missing, or is not the one that its description names."
_PATH: Final = re.compile(MODEL_PATH, re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_TASKS: Final = ("detect", "classify", "reject", "echo")


@dataclass(frozen=True)
class Told:
    """What is registered of a model; `files` are those that belong to it."""

    name: str
    version: int
    task: str
    classes: list[str]
    licence: str
    is_shippable: bool
    intended_use: str
    dataset: dict[str, Any]
    metrics: dict[str, Any]
    card: str
    files: dict[str, bytes] = field(repr=False)

    @property
    def sha256(self) -> str:
        """Over the sorted lines "sha256 path" of all files."""
        lines = sorted(f"{hashlib.sha256(content).hexdigest()} {path}\n" for path, content in self.files.items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def from_folder(folder: Path) -> dict[str, bytes]:
    """The descriptions and networks under a folder, one level deep. Raises Refused when there is too much."""
    found: dict[str, bytes] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if path.is_file() and (path.name in KEPT or path.suffix == ".onnx"):
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
            _check_size(len(found), sum(map(len, found.values())))
    return found


def from_zip(source: BinaryIO) -> dict[str, bytes]:
    """The same from a ZIP file from outside; nothing is unpacked to disk. Raises Refused."""
    try:
        with zipfile.ZipFile(source) as archive:
            infos = [one for one in archive.infolist() if not one.is_dir()]
            chosen = [one for one in infos if one.filename.rpartition("/")[2] in KEPT or one.filename.endswith(".onnx")]
            _check_size(len(chosen), sum(one.file_size for one in chosen))
            if len({one.filename for one in chosen}) < len(chosen) or not all(
                _PATH.fullmatch(one.filename) for one in chosen
            ):
                raise Refused(ODD_PATH)
            return {one.filename: archive.read(one) for one in chosen}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError):
        raise Refused("This is not a ZIP file that can be read.") from None


def read(files: Mapping[str, bytes]) -> Told:
    """What these files say. Raises Refused in a sentence that quotes nothing of them."""
    if not all(_PATH.fullmatch(path) for path in files):
        raise Refused(ODD_PATH)
    if "pipeline.json" not in files:
        if "model.json" not in files:
            raise Refused(NO_MODEL)
        return _told(files, [""], _json(files["model.json"]))
    whole = _json(files["pipeline.json"])
    parts = [f"{str(whole[task]).strip('/')}/" for task in ("detect", "reject", "classify") if whole.get(task)]
    return _told(files, parts, whole | {"task": "detect"})


def _told(files: Mapping[str, bytes], parts: list[str], whole: Mapping[str, Any]) -> Told:
    models = [_json(files.get(f"{part}model.json", b"")) for part in parts]
    kept = {path: files[path] for path in files if "/" not in path and path in KEPT}
    for part, model in zip(parts, models, strict=True):
        kept |= _files(files, part, model)
    name, version = whole.get("name"), whole.get("version")
    is_named = isinstance(name, str) and _NAME.fullmatch(name) and isinstance(version, int) and 0 < version < 1 << 31
    if (
        not models
        or not is_named
        or whole.get("task") not in _TASKS
        or any(one.get("task") not in _TASKS for one in models)
    ):
        raise Refused(NOT_JSON)
    last = models[-1]  # the classifier names what the detector finds
    licences = list(dict.fromkeys(str(one.get("licence") or "unknown") for one in models))
    return Told(
        name=str(name), version=int(str(version)), task=str(whole["task"]),
        classes=[str(one) for one in last.get("classes") or []][:100],
        licence=", ".join(licences)[:100], is_shippable=all(one.get("shippable") is True for one in models),
        intended_use=str(models[0].get("intended_use") or "")[:1000],
        dataset=_small(models[0].get("dataset")), metrics=_metrics(files, parts),
        card=files.get("card.md", files.get(f"{parts[0]}card.md", b""))[:100_000].decode("utf-8", "replace").replace("\0", ""),
        files=kept,
    )  # fmt: skip


def _files(files: Mapping[str, bytes], part: str, model: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of one model of the folder, each with the digest that its model.json names."""
    named = model.get("files")
    if not isinstance(named, dict) or not named:
        raise Refused(NOT_JSON)
    for name, sha256 in named.items():
        content = files.get(f"{part}{name}")
        if content is None or hashlib.sha256(content).hexdigest() != sha256:
            raise Refused(OTHER_DIGEST)
    return {f"{part}{name}": files[f"{part}{name}"] for name in (*named, *KEPT) if f"{part}{name}" in files}


def _metrics(files: Mapping[str, bytes], parts: list[str]) -> dict[str, Any]:
    """metrics.json of the whole, else of each part under its name."""
    if "metrics.json" in files:
        return _small(_json(files["metrics.json"], must=False))
    found = {
        part.strip("/"): _json(files[f"{part}metrics.json"], must=False)
        for part in parts
        if f"{part}metrics.json" in files
    }
    return _small(found)


def _json(content: bytes, *, must: bool = True) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or (must and found.get("format") != 1) or "\\u0000" in json.dumps(found):
        raise Refused(NOT_JSON)
    return found


def _small(told: object) -> dict[str, Any]:
    """A JSON object that fits into a row; {} for another thing."""
    return told if isinstance(told, dict) and len(json.dumps(told)) <= 200_000 else {}


def _check_size(count: int, total: int) -> None:
    if count > MOST_FILES or total > MOST_BYTES:
        raise Refused(TOO_MUCH)
