"""Datasets at central: create, freeze a version, download it file by file with its hashes."""

import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlmodel import SQLModel

from api.deps import NodeDep, SessionDep, may
from api.ranges import asked_range
from core import audit
from core.errors import Malformed
from core.models.datasets import Dataset, DatasetVersion
from core.permissions import Actor, Verb
from core.services import datasets

router = APIRouter(prefix="/api/v1", tags=["datasets"])
client_router = APIRouter(tags=["datasets"])
Developer = Annotated[Actor, may(Verb.PULL)]
Lead = Annotated[Actor, may(Verb.FREEZE)]
_CLIENT = Path(__file__).resolve().parents[2] / "ml"


class DatasetIn(SQLModel):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    domain: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")


class DatasetOut(SQLModel):
    name: str
    domain: str


class VersionOut(SQLModel):
    name: str
    version: int
    state: str
    hash: str | None
    counts: dict[str, Any]
    reason: str | None
    frozen_at: datetime | None


class FileOut(SQLModel):
    path: str
    sha256: str
    size: int
    kind: str


class ManifestOut(SQLModel):
    name: str
    version: int
    hash: str
    files: list[FileOut]


def _version(dataset: Dataset, version: DatasetVersion) -> VersionOut:
    return VersionOut(
        name=dataset.name, version=version.n, state=version.state, hash=version.hash, counts=version.counts, reason=version.reason,
        frozen_at=version.frozen_at,
    )  # fmt: skip


def _number(version: str) -> int | None:
    if version == "latest":
        return None
    if not version.isascii() or not version.isdigit() or len(version) > 9:
        raise Malformed("A version is a number, or `latest`.")
    return int(version)


@router.get("/datasets")
def list_datasets(session: SessionDep, actor: Developer) -> list[DatasetOut]:
    return [
        DatasetOut(name=dataset.name, domain=dataset.domain) for dataset in datasets.readable_datasets(session, actor)
    ]


@router.post("/datasets", status_code=201)
def create_dataset(body: DatasetIn, session: SessionDep, actor: Lead) -> DatasetOut:
    dataset = datasets.create(session, actor, body.name, body.domain)
    return DatasetOut(name=dataset.name, domain=dataset.domain)


@router.post("/datasets/{name}/versions", status_code=202)
def freeze_version(name: str, session: SessionDep, actor: Lead) -> VersionOut:
    """Choose the replicated cases of now and freeze them; the build goes on in the background."""
    version = datasets.begin_version(session, actor, name)
    return _version(datasets.readable_dataset(session, actor, name), version)


@router.get("/datasets/{name}/versions/{version}")
def dataset_version(name: str, version: str, session: SessionDep, actor: Developer) -> VersionOut:
    """A version by number, or the newest frozen one as `latest`."""
    return _version(*datasets.readable_version(session, actor, name, _number(version)))


@router.get("/datasets/{name}/versions/{version}/manifest")
def manifest(name: str, version: str, session: SessionDep, actor: Developer) -> ManifestOut:
    """Every file of a frozen version with its hash."""
    dataset, found = datasets.readable_version(session, actor, name, _number(version))
    files = [FileOut.model_validate(f, from_attributes=True) for f in datasets.files_of(session, found)]
    audit.record(session, actor, "dataset.pull", found.id, n=found.n)
    return ManifestOut(name=dataset.name, version=found.n, hash=found.hash or "", files=files)


@router.get("/datasets/{name}/versions/{version}/files/{sha256}", response_class=Response)
def dataset_file(
    name: str, version: str, sha256: str, request: Request, node: NodeDep, session: SessionDep, actor: Developer
) -> Response:
    """The bytes of one file of the version; `Range` resumes."""
    _, found = datasets.readable_version(session, actor, name, _number(version))
    file = datasets.file_of(session, found, sha256)
    start, length, status = asked_range(request.headers.get("range"), file.size)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(length),
        "ETag": f'"{file.sha256}"',
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
    }
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{file.size}"
    body = node.store.pieces(file.sha256, start, length)
    return StreamingResponse(body, status, headers, media_type="application/octet-stream")


@client_router.get("/client/ml.zip", response_class=Response)
def client_zip() -> Response:
    """The client for AI developers: standard library only, no log-in needed to read it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("__init__.py", "client.py", "connection.py", "manifest.py"):
            info = zipfile.ZipInfo(f"ml/{name}", (2026, 1, 1, 0, 0, 0))
            archive.writestr(info, (_CLIENT / name).read_bytes())
    return Response(
        out.getvalue(), media_type="application/zip", headers={"Content-Disposition": 'attachment; filename="ml.zip"'}
    )
