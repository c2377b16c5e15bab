"""The registry of models: what is there, register a version, let it take effect, retire it."""

import io
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from sqlmodel import SQLModel

from api.deps import NodeDep, SessionDep, may
from api.routes.infer import DOMAIN
from core.inference import folder
from core.models.registry import ModelVersion
from core.permissions import Actor, Verb, check
from core.services import registry

router = APIRouter(prefix="/api/v1", tags=["models"])
LARGEST_MODEL: Final = 512 << 20
ZIP: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class ModelOut(SQLModel):
    id: UUID
    name: str
    version: int
    domain: str = Field(description="the organ, or * for any")
    task: str
    classes: list[str]
    state: str
    sha256: str = Field(description="over the sorted lines `sha256 path` of its files")
    dataset: dict[str, Any]
    metrics: dict[str, Any]
    intended_use: str
    licence: str
    shippable: bool
    registered_at: datetime
    decided_at: datetime | None


@router.get("/models")
def list_models(session: SessionDep, actor: Annotated[Actor, may(Verb.INFER)]) -> list[ModelOut]:
    """Every version, the newest first. Research use only."""
    return [_out(model) for model in registry.readable_models(session, actor)]


@router.post("/models", status_code=201, max_body_size=LARGEST_MODEL, openapi_extra=ZIP)
async def register_model(
    request: Request,
    node: NodeDep,
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.OFFER_MODEL)],
    domain: Annotated[str, Query(pattern=DOMAIN)],
) -> ModelOut:
    """Register a RUN or pipeline folder, sent as a ZIP file. It takes effect when a person says so."""
    check(actor, Verb.OFFER_MODEL, domain)
    body = await request.body()

    def register() -> ModelOut:
        told = folder.read(folder.from_zip(io.BytesIO(body)))
        registry.keep_files(node, told)
        return _out(registry.register(session, actor, told, domain))

    return await run_in_threadpool(register)


@router.post("/models/{model_id}/promote")
def promote_model(
    model_id: UUID, node: NodeDep, session: SessionDep, actor: Annotated[Actor, may(Verb.DECIDE_MODEL)]
) -> ModelOut:
    """Let a version take effect: PROMOTED at central, ACCEPTED at a site. An older one is rolled back to in the same way."""
    return _out(registry.take_effect(node, session, actor, model_id))


@router.post("/models/{model_id}/retire")
def retire_model(
    model_id: UUID, node: NodeDep, session: SessionDep, actor: Annotated[Actor, may(Verb.DECIDE_MODEL)]
) -> ModelOut:
    return _out(registry.retire(node, session, actor, model_id))


def _out(model: ModelVersion) -> ModelOut:
    return ModelOut.model_validate(model, from_attributes=True)
