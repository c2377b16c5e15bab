"""The reference of the REST API, made from the node's own OpenAPI document and rendered here."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.settings import Settings
from web.deps import VisitorDep
from web.reference import Group, groups_of
from web.render import page

router = APIRouter(include_in_schema=False)
_GROUP_KEYS: Final = {
    "health": "docs.group.health",
    "people": "docs.group.people",
    "audit": "docs.group.audit",
    "cases": "docs.group.cases",
    "curation": "docs.group.curation",
    "site": "docs.group.site",
    "parcels": "docs.group.parcels",
    "bank": "docs.group.bank",
    "datasets": "docs.group.datasets",
    "reads": "docs.group.reads",
    "training": "docs.group.training",
    "models": "docs.group.models",
    "inference": "docs.group.inference",
    "dicomweb": "docs.group.dicomweb",
}
_ERROR_KEYS: Final = {
    "401": "docs.error.401",
    "403": "docs.error.403",
    "404": "docs.error.404",
    "409": "docs.error.409",
    "422": "docs.error.422",
}
_PLACE_KEYS: Final = {"path": "docs.in.path", "query": "docs.in.query", "header": "docs.in.header"}


@router.get("/api/docs")
def api_docs(request: Request, actor: VisitorDep) -> Response:
    values = {
        "actor": actor,
        "groups": _groups(request),
        "group_keys": _GROUP_KEYS,
        "error_keys": _ERROR_KEYS,
        "place_keys": _PLACE_KEYS,
    }
    return page(request, "docs.html", values)


def _groups(request: Request) -> tuple[Group, ...]:
    """Made once: the routes of a node never change while it runs."""
    state, settings = request.app.state, request.app.state.settings
    if not hasattr(state, "reference"):
        assert isinstance(settings, Settings)
        state.reference = groups_of(request.app, settings.base_url)
    found: tuple[Group, ...] = state.reference
    return found
