"""The HTML door: its pages, its static files and its error pages, put on the application of a node."""

from typing import Final

from fastapi import APIRouter, FastAPI

from web import errors
from web.assets import Assets
from web.pages import docs, home, sign_in

PAGES: Final[tuple[APIRouter, ...]] = (sign_in.router, home.router, docs.router)


def install_pages(app: FastAPI) -> None:
    """Add the pages to an application whose machine routes and error handlers are there already."""
    for router in PAGES:
        app.include_router(router)
    app.mount("/static", Assets(), name="static")
    errors.install(app)
