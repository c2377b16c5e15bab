"""The reference of the REST API, drawn by Swagger UI from the node's own OpenAPI document."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from web.deps import VisitorDep
from web.render import page

router = APIRouter(include_in_schema=False)


@router.get("/api/docs")
def api_docs(request: Request, actor: VisitorDep) -> Response:
    return page(request, "docs.html", {"actor": actor})
