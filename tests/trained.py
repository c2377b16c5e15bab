"""A frozen dataset version of generated pictures at central, and a real worker that trains from it."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from core.db import transaction
from core.models.datasets import Dataset, DatasetFile, DatasetVersion, Split, VersionState
from ml import manifest
from ml.phantom_folder import make
from tests.served import Served

ROOT = Path(__file__).resolve().parents[1]
CODES = {"cyst": "LIV-CYST", "non-cyst": "LIV-HCC"}


def freeze_phantoms(served: Served, folder: Path, by: str, name: str = "pilot", count: int = 48) -> UUID:
    """A FROZEN version of liver phantoms with diagnosis codes, as the job `freeze` leaves it; its id."""
    phantoms = make(folder, "liver", count, 0)
    categories = [{"id": number, "name": code} for number, code in enumerate(CODES.values(), 1)]
    files: list[manifest.File] = []

    def keep(path: str, kind: str, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        served.node.store.put(io.BytesIO(content), sha256)
        files.append(manifest.File(path.format(sha256), sha256, len(content), kind))
        return files[-1].path

    for split in Split:
        images: list[dict[str, Any]] = []
        drawn: list[dict[str, Any]] = []
        for item in phantoms.of(split.value):
            path = keep("images/{}.png", "image", item.path.read_bytes())
            images.append(
                {"id": len(images) + 1, "file_name": path, "width": item.width, "height": item.height,
                 "split": split.value, "patient": item.patient, "site": "KYOTO01", "frame": 0,
                 "sop_instance_uid": f"2.25.{len(images)}", "mm_per_px": 0.2}
            )  # fmt: skip
            for box in item.boxes:
                category = [*CODES].index(box.category) + 1
                bbox = [box.x, box.y, box.width, box.height]
                drawn.append({"id": len(drawn) + 1, "image_id": len(images), "category_id": category, "bbox": bbox})
        document = manifest.coco(images, drawn, categories, {"description": "Phantoms"})
        keep(f"coco/{split.value}.json", "coco", json.dumps(document).encode())
    splits = {
        split.value: {"images": len(phantoms.of(split.value)), "patients": 1, "annotations": 1} for split in Split
    }
    with transaction(served.node.engine, "test.frozen") as session:
        dataset = Dataset(name=name, domain="liver")
        session.add(dataset)
        session.flush()
        version = DatasetVersion(
            dataset_id=dataset.id, n=1, state=VersionState.FROZEN, hash=manifest.version_hash(files), cases=[],
            counts={"splits": splits}, created_by=served.people[by].id,
        )  # fmt: skip
        session.add(version)
        session.flush()
        for file in {file.path: file for file in files}.values():
            session.add(
                DatasetFile(version_id=version.id, path=file.path, kind=file.kind, sha256=file.sha256, size=file.size)
            )
    return version.id


@contextmanager
def worker(served: Served, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The worker of this node as a process of its own; killed at the end, if it is still there."""
    settings = served.settings
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SONOBANK_")}
    environment |= {
        "SONOBANK_DATA_DIR": str(settings.data_dir), "SONOBANK_KEYS_DIR": str(settings.keys_dir),
        "SONOBANK_DATABASE_URL": str(settings.database_url), "SONOBANK_STALLED_SECONDS": "3",
    }  # fmt: skip
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "commands.main", "worker", "--role", "central"],
            stdout=out, stderr=out, cwd=ROOT, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(30)
