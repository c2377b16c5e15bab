"""Build a frozen dataset: one PNG per annotated frame and per still, the DICOM files, COCO per split, one hash over all."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from core.curation.shapes import area_of, box_of, clipped, outline
from core.curation.tracks import Track, interpolate
from core.db import reading, transaction
from core.dicom.display import palette_of
from core.dicom.part10 import Part10, frame_bytes, open_part10
from core.errors import Refused, WrongState
from core.models.bank import BankImage, BankRoi
from core.models.datasets import Dataset, DatasetVersion, Split, VersionState
from core.node import CentralNode
from core.services import datasets
from core.services.blobs import copy_verified
from core.services.datasets import ChosenCase, StoredFile
from core.services.decoding import png_of
from core.services.drawing import track_of
from core.vocabulary import domain as vocabulary
from ml import manifest


def freeze(node: CentralNode, version_id: UUID) -> None:
    """The job `freeze`: BUILDING -> FROZEN. Every file is in central's store and in the bucket before the rows. May run twice."""
    with reading(node.engine) as session:
        version = session.get_one(DatasetVersion, version_id)
        dataset = session.get_one(Dataset, version.dataset_id)
    if version.state != VersionState.BUILDING:
        return
    try:
        with reading(node.engine) as session:
            chosen = datasets.chosen_cases(session, version)
        files, counts = _build(node, dataset, version, chosen)
    except (Refused, WrongState) as trouble:
        with transaction(node.engine, "freeze.failed") as session:
            datasets.fail(session, version_id, trouble.message)
        return
    digest = manifest.version_hash(manifest.File(f.path, f.sha256, f.size, f.kind) for f in files)
    with transaction(node.engine, "freeze.done") as session:
        datasets.freeze(session, version_id, files, digest, counts)


def _build(
    node: CentralNode, dataset: Dataset, version: DatasetVersion, chosen: list[ChosenCase]
) -> tuple[list[StoredFile], dict[str, object]]:
    writer = _Writer(node)
    organ = vocabulary.load(dataset.domain)
    categories = [{"id": n, "name": option.code} for n, option in enumerate(organ.options["diagnosis"], 1)]
    number = {str(category["name"]): int(str(category["id"])) for category in categories}
    images: dict[Split, list[dict[str, object]]] = {split: [] for split in Split}
    annotations: dict[Split, list[dict[str, object]]] = {split: [] for split in Split}
    for case in chosen:
        for image in case.images:
            for entry, drawn in _frames(node, writer, case, image, first=1 + sum(map(len, images.values()))):
                images[case.split].append(entry)
                for annotation in drawn:
                    label = str(annotation.pop("label"))
                    own = {"id": 1 + sum(map(len, annotations.values())), "image_id": entry["id"]}
                    annotations[case.split].append(own | {"category_id": number[label]} | annotation)
    info = {"description": f"Sonobank {dataset.name} v{version.n}", "version": str(version.n), "domain": dataset.domain}
    for split in Split:
        document = manifest.coco(images[split], annotations[split], categories, info | {"split": split.value})
        writer.json(f"coco/{split.value}.json", "coco", document)
    counts = _counts(chosen, images, annotations)
    writer.text("CARD.md", "card", _card(dataset, version, counts))
    return writer.files(), counts


def _frames(
    node: CentralNode, writer: "_Writer", case: ChosenCase, image: BankImage, first: int
) -> Iterator[tuple[dict[str, object], list[dict[str, object]]]]:
    """Each frame of an image that the dataset shows, with what is on it: every keyframe, and the first where none is."""
    rois = [(roi, track_of(roi)) for roi in case.rois if roi.image_id == image.id]
    source = io.BytesIO(node.store.read(image.sha256))
    part10 = open_part10(source, len(source.getvalue()))
    for offset, frame in enumerate(sorted({number for _, track in rois for number in track.frames}) or [1]):
        png = _png(node, source, part10, frame)
        sha256 = writer.put("image", png, suffix=".png", folder="images")
        entry: dict[str, object] = {
            "id": first + offset,
            "file_name": f"images/{sha256}.png",
            "width": image.columns,
            "height": image.rows,
            "split": case.split.value,
            "patient": str(case.case.research_id),
            "site": case.case.site,
            "sop_instance_uid": image.sop_instance_uid,
            "frame": frame - 1,  # COCO's readers count from 0
            "mm_per_px": image.mm_per_px,
        }
        yield entry, [found for roi, track in rois if (found := annotation_of(roi, track, frame, image))]


def annotation_of(roi: BankRoi, track: Track, frame: int, image: BankImage) -> dict[str, object] | None:
    """One lesion on one frame; None where it is not shown. A frame is there because some lesion has a keyframe on it;
    the others are on it as they are interpolated, for a lesion that nobody marks would be taught as background."""
    shape = interpolate(track, frame)
    if shape is None:
        return None
    box = clipped(box_of(shape), image.columns, image.rows)
    if box[2] <= 0 or box[3] <= 0:
        return None
    flat = [number for point in outline(shape) for number in point] if shape.kind != "rectangle" else None
    return {
        "label": roi.label,
        "bbox": list(box),
        "area": area_of(shape),
        "iscrowd": 0,
        "segmentation": [flat] if flat else [],
        "lesion_id": str(roi.lesion_id),
        "track_id": str(roi.id),
        "is_keyframe": frame in track.frames,
    }


def _png(node: CentralNode, source: io.BytesIO, part10: Part10, frame: int) -> bytes:
    if part10.pixel is None:
        raise Refused("A stored object has no picture.")
    return png_of(node.sandbox, frame_bytes(source, part10, frame - 1), part10.pixel, palette_of(part10.dataset))


class _Writer:
    """Puts each file into central's store and, verified, into the bucket; remembers it under its path."""

    def __init__(self, node: CentralNode) -> None:
        self._node = node
        self._files: dict[str, StoredFile] = {}

    def put(self, kind: str, content: bytes, *, path: str = "", suffix: str = "", folder: str = "") -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self._node.store.put(io.BytesIO(content), sha256)
        self.keep(path or f"{folder}/{sha256}{suffix}", kind, sha256, len(content))
        return sha256

    def keep(self, path: str, kind: str, sha256: str, size: int) -> None:
        copy_verified(self._node.store, self._node.replica, sha256)
        self._files[path] = StoredFile(path, kind, sha256, size)

    def json(self, path: str, kind: str, document: object) -> None:
        self.text(path, kind, json.dumps(document, sort_keys=True, ensure_ascii=False, indent=1))

    def text(self, path: str, kind: str, text: str) -> None:
        self.put(kind, text.encode(), path=path)

    def files(self) -> list[StoredFile]:
        return [self._files[path] for path in sorted(self._files)]


def _counts(
    chosen: list[ChosenCase],
    images: dict[Split, list[dict[str, object]]],
    annotations: dict[Split, list[dict[str, object]]],
) -> dict[str, object]:
    patients = Counter(split for split, _ in {(case.split, (case.case.site, case.case.research_id)) for case in chosen})
    return {
        "cases": len(chosen),
        "images": sum(map(len, images.values())),
        "annotations": sum(map(len, annotations.values())),
        "splits": {
            split.value: {
                "patients": patients[split],
                "images": len(images[split]),
                "annotations": len(annotations[split]),
            }
            for split in Split
        },
    }


def _card(dataset: Dataset, version: DatasetVersion, counts: dict[str, object]) -> str:
    return (
        f"# {dataset.name}, version {version.n}\n\nOrgan domain: {dataset.domain}. De-identified ultrasound; research use only.\n"
        "Splits are by patient (site x research id), drawn once and the same in every version of every dataset.\n\n"
        f"```json\n{json.dumps(counts, indent=1, sort_keys=True)}\n```\n"
    )
