"""Is this node alive, and can it work?"""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlmodel import text

from api.deps import NodeDep, SessionDep, bearer_of
from core.errors import NotFound
from core.permissions import Verb
from core.services import accounts

router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(session: SessionDep, node: NodeDep) -> dict[str, str]:
    """The database and the store answer; 503 with the reason otherwise."""
    session.execute(text("SELECT 1"))
    node.store.size("0" * 64)
    return {"status": "ready", "role": node.settings.role}


@metrics_router.get("/metrics")
def metrics(request: Request, session: SessionDep) -> Response:
    """Prometheus metrics, by a token of the audit scope or from this machine."""
    secret = bearer_of(request)
    local = request.client is not None and request.client.host in {"127.0.0.1", "::1"}
    if not local and not (secret and accounts.actor_of_token(session, secret).may(Verb.AUDIT)):
        raise NotFound
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
