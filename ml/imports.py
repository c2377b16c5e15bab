"""Import of an outside set: every image decoded and digested, duplicates and conflicts found, then one data folder, in one move.

Refused: images without patient or group (unless each stands alone), and the same patient, group or pixels in two splits."""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ml import import_camus, import_echonet
from ml.annotations import ALONE, ANNOTATIONS
from ml.data import BadFolder, Item, content_hash, load, models_stay
from ml.digests import Shown, shown
from ml.folds import bound, holdout, joined
from ml.import_sources import Object, Row, mask_of, rows_of, run_lengths
from ml.manifest import MANIFEST, digest_of
from ml.outlines import area_of

TUNE_PART = 0.1


@dataclass(frozen=True)
class Choices:
    """What the person who imports says about the set."""

    each_image_alone: bool = False
    drop_conflicts: bool = False
    seed: int = 0
    models_stay: bool = False  # its licence does not allow models that were trained on it to be passed on


@dataclass(frozen=True)
class Imported:
    """What came in: images by split and class, and what was found on the way, by the source's names."""

    name: str
    hash: str
    images: int
    units: int
    counts: dict[str, dict[str, int]]
    boxes: int
    conflicts: list[list[str]] = field(default_factory=list)
    dropped: int = 0
    duplicates: list[list[str]] = field(default_factory=list)
    tune_drawn: bool = False


@dataclass(frozen=True)
class _Read:
    """A row whose file was decoded."""

    row: Row
    sha256: str
    shown: Shown


def import_folder(source: Path, out: Path, name: str, choices: Choices) -> Imported:
    """Make the data folder `out` of an outside set; nothing is there unless all of it is. Raises BadFolder."""
    if out.exists():
        raise BadFolder("The folder to import into exists already: choose another --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as place:
        if import_echonet.fits(source) or import_camus.fits(source) or models_stay(source):
            choices = replace(choices, models_stay=True)
        found = [_decode(row) for row in _rows(source, Path(place))]
        if not found:
            raise BadFolder("There is no image to import.")
        return _import(found, Path(place) / "folder", out, name, choices)


def _rows(source: Path, place: Path) -> list[Row]:
    """Clips of hearts are taken apart into frames, which lie in `place` meanwhile."""
    if import_echonet.fits(source):
        return import_echonet.rows_of(source, place)
    if import_camus.fits(source):
        return import_camus.rows_of(source, place)
    return rows_of(source)


def _import(found: list[_Read], folder: Path, out: Path, name: str, choices: Choices) -> Imported:
    _refuse_unknown(found, choices)
    found, conflicts, dropped = _without_conflicts(found, choices.drop_conflicts)
    duplicates = [[one.row.name for one in same] for same in _by(found, "digest").values() if len(same) > 1]
    found = _grouped(found)
    _refuse_crossings(found)
    found, drawn = _with_tune(found, choices.seed)
    _write(folder, name, found, choices)
    made = load(folder, ("train", "tune", "test"))
    folder.rename(out)
    counts = {s: dict(sorted(Counter(i.label or "-" for i in made.of(s)).items())) for s in ("train", "tune", "test")}
    sizes = (len(made.items), len({item.unit for item in made.items}), {s: c for s, c in counts.items() if c})
    boxes = sum(len(item.boxes) for item in made.items)
    return Imported(name, made.hash, *sizes, boxes, conflicts, dropped, duplicates, drawn)


def _decode(row: Row) -> _Read:
    try:
        return _Read(row, digest_of(row.path)[0], shown(row.path))
    except ValueError as error:
        raise BadFolder(f"{row.name}: the file is not a whole picture.") from error


def _refuse_unknown(found: Sequence[_Read], choices: Choices) -> None:
    lost = sum(not (one.row.patient or one.row.group) for one in found)
    if lost and not choices.each_image_alone:
        raise BadFolder(
            f"{lost} of {len(found)} images have neither a patient nor a group. "
            "If no two of them show the same person, say --each-image-alone."
        )


def _by(found: Iterable[_Read], what: str) -> dict[str, list[_Read]]:
    """The images by the digest of their pixels, or by their group."""
    sorted_out: dict[str, list[_Read]] = {}
    for one in found:
        if key := one.shown.digest if what == "digest" else one.row.group:
            sorted_out.setdefault(key, []).append(one)
    return sorted_out


def _without_conflicts(found: list[_Read], drop: bool) -> tuple[list[_Read], list[list[str]], int]:
    """Near-duplicates (one group) and pixel duplicates that bear two classes: no label of theirs can be believed."""
    bad: set[str] = set()
    conflicts = []
    for same in [*_by(found, "group").values(), *_by(found, "digest").values()]:
        names = [one.row.name for one in same]
        if len({one.row.label for one in same}) > 1 and not set(names) <= bad:
            conflicts.append(sorted(names))
            bad.update(names)
    kept = [one for one in found if one.row.name not in bad] if drop else found
    return kept, conflicts, len(found) - len(kept)


def _grouped(found: list[_Read]) -> list[_Read]:
    """Images that show the same pixels belong to one group, whatever the source says."""
    keys = [
        [f"group:{r.row.group}" if r.row.group else f"name:{r.row.name}", f"pixels:{r.shown.digest}"] for r in found
    ]
    result = list(found)
    for together in joined(keys):
        groups = [found[i].row.group for i in together if found[i].row.group]
        group = groups[0] if groups else f"same-{found[together[0]].shown.digest[:16]}"
        if len(together) > 1:
            for index in together:
                result[index] = replace(found[index], row=replace(found[index].row, group=group))
    return result


def _refuse_crossings(found: Sequence[_Read]) -> None:
    splits: dict[str, set[str]] = {}
    for one in found:
        site = one.row.facts.get("site", "")
        keys = {f"pixels:{one.shown.digest}", f"group:{one.row.group}", f"patient:{site}/{one.row.patient}"}
        for key in keys - {"group:", f"patient:{site}/"}:
            splits.setdefault(key, set()).add(one.row.split)
    kinds = Counter(key.partition(":")[0] for key, where in splits.items() if len(where) > 1)
    if kinds:
        listed = ", ".join(f"{n} by {kind}" for kind, n in sorted(kinds.items()))
        raise BadFolder(f"What belongs together stands in more than one split: {listed}.")


def _with_tune(found: list[_Read], seed: int) -> tuple[list[_Read], bool]:
    """A source without tune gets one, about a tenth of the units that may be trained on; a pure test set stays one."""
    split = [one.row.split or "train" for one in found]
    train = [index for index, word in enumerate(split) if word == "train"]
    items = [_item(found[index]) for index in train]
    units = len(bound(items))
    drawn = units > 1 and "tune" not in split
    if drawn:
        for index in holdout(items, max(TUNE_PART, 1 / units), seed)[1]:
            split[train[index]] = "tune"
    return [replace(o, row=replace(o.row, split=s)) for o, s in zip(found, split, strict=True)], drawn


def _item(one: _Read) -> Item:
    row = one.row
    group = row.group or f"image-{one.sha256}"
    size = (one.shown.width, one.shown.height)
    return Item(row.path, row.name, one.sha256, *size, row.patient, group, "train", row.label, (), dict(row.facts))


def _write(folder: Path, name: str, found: Sequence[_Read], choices: Choices) -> None:
    (folder / "images").mkdir(parents=True)
    categories = {c: n for n, c in enumerate(sorted({o.category for one in found for o in one.row.objects}), 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    for number, one in enumerate(found, 1):
        file_name = _place(one, files)
        shutil.copyfile(one.row.path, folder / file_name)
        files[file_name] = one.sha256
        images.append(_image_entry(number, file_name, one))
        for item in one.row.objects:
            annotations.append(_annotation_entry(len(annotations) + 1, number, categories[item.category], item, one))
    document: dict[str, Any] = {
        "info": {"description": name, ALONE: choices.each_image_alone, "import": asdict(choices)},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": n, "name": c} for c, n in categories.items()],
    }
    _save(folder / ANNOTATIONS, document)
    files[ANNOTATIONS] = digest_of(folder / ANNOTATIONS)[0]
    manifest = {"name": name, "version": 1, "hash": content_hash(files.items()), "files": files}
    manifest |= {"models_stay": choices.models_stay}
    _save(folder / MANIFEST, manifest)


def _place(one: _Read, taken: dict[str, str]) -> str:
    """Files are named by their digest: names of the source may say who the patient is."""
    suffix = one.row.path.suffix.lower()
    name = f"images/{one.sha256}{suffix}"
    twin = 1
    while name in taken:
        twin += 1
        name = f"images/{one.sha256}-{twin}{suffix}"
    return name


def _image_entry(number: int, file_name: str, one: _Read) -> dict[str, Any]:
    row = one.row
    entry: dict[str, Any] = {"id": number, "file_name": file_name, "width": one.shown.width, "height": one.shown.height}
    known = {"patient_id": row.patient, "group": row.group, "split": row.split, "label": row.label, **row.facts}
    return entry | {key: value for key, value in known.items() if value}


def _annotation_entry(number: int, image: int, category: int, item: Object, one: _Read) -> dict[str, Any]:
    x, y, width, height = item.box
    entry: dict[str, Any] = {"id": number, "image_id": image, "category_id": category, "bbox": [x, y, width, height]}
    entry |= {"area": width * height, "iscrowd": 0, "segmentation": []}
    if item.mask is not None:
        mask = mask_of(item.mask)
        if mask.shape != (one.shown.height, one.shown.width):
            raise BadFolder(f"{one.row.name}: a mask has another size than its image.")
        entry |= {"area": int(mask.sum()), "segmentation": run_lengths(mask)}
    elif item.outline:
        entry |= {"area": area_of(item.outline), "segmentation": [list(item.outline)]}
    return entry | ({"lesion_id": item.lesion} if item.lesion else {})


def _save(path: Path, document: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as handle:
        json.dump(document, handle, ensure_ascii=False, allow_nan=False)
        handle.flush()
        os.fsync(handle.fileno())
