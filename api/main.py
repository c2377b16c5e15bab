"""The one composition root: which routes a role has, the middleware, and the pages."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from api import errors
from api.dicomweb import router as dicomweb
from api.routes import (
    audit,
    bank,
    cases,
    datasets,
    device_rules,
    health,
    heart,
    images,
    infer,
    infer_stream,
    models,
    parcels,
    people,
    reads,
    site,
    training,
)
from api.security import SecurityHeaders
from core.node import Node
from core.security import LoginThrottle
from core.settings import Settings

_AI: tuple[APIRouter, ...] = (infer.router, infer_stream.router, models.router)
_COMMON: tuple[APIRouter, ...] = (health.router, health.metrics_router, people.router, audit.router)
ROUTERS: dict[str, tuple[APIRouter, ...]] = {
    # A case's readings come before its steps, whose address would take theirs.
    "site": (
        *_COMMON,
        reads.router,
        cases.router,
        images.router,
        heart.router,
        site.router,
        device_rules.router,
        *_AI,
        infer.site_router,
    ),
    "relay": (health.router, parcels.router),  # six routes and nothing else
    "central": (
        *_COMMON,
        *_AI,
        parcels.router,
        bank.router,
        datasets.router,
        datasets.client_router,
        training.router,
        dicomweb.reading,
    ),
    "pacs": (*_COMMON, dicomweb.reading, dicomweb.storing),
}

LARGEST_BODY = 1 << 20  # of a request; routes that take more say so themselves
ANY_SIZE = 1 << 50  # STOW-RS streams, and refuses each object that is too large


class Application(FastAPI):
    """FastAPI whose headers are put on outermost: on the answer to an unexpected error and on a refused body, too."""

    def build_middleware_stack(self) -> ASGIApp:
        return SecurityHeaders(super().build_middleware_stack())


def create_app(settings: Settings, opening: Callable[[], AbstractContextManager[Node]]) -> FastAPI:
    """The application of one node. `opening` gives the node for as long as the application lives."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        context = opening()
        app.state.node = await asyncio.to_thread(context.__enter__)
        try:
            yield
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)

    has_docs = settings.role != "relay"
    app = Application(
        title=f"Sonobank {settings.role}",
        version="1",
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json" if has_docs else None,
        docs_url=None,
        redoc_url=None,
        max_body_size=LARGEST_BODY,
    )
    app.state.settings = settings
    app.state.throttle = LoginThrottle()
    app.state.streams = set()  # of live frames that are open: api.routes.infer_stream
    errors.install(app)
    for router in ROUTERS[settings.role]:
        app.include_router(router, max_body_size=ANY_SIZE if router is dicomweb.storing else None)
    if has_docs:
        from web.app import install_pages

        install_pages(app)
    return app
