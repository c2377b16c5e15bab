"""The HTML door: its pages, its static files and its error pages, put on the application of a node."""

import pkgutil
from importlib import import_module

from fastapi import APIRouter, FastAPI

from core.settings import Settings
from web import errors, pages
from web.assets import Assets


def install_pages(app: FastAPI) -> None:
    """Add the pages to an application whose machine routes and error handlers are there already."""
    settings: Settings = app.state.settings
    for router in pages_of(settings.role):
        app.include_router(router)
    app.mount("/static", Assets(), name="static")
    errors.install(app)


def pages_of(role: str) -> list[APIRouter]:
    """The routers of `web/pages`: each file has `router`, and `ROLES` where not every node has the page."""
    names = sorted(module.name for module in pkgutil.iter_modules(pages.__path__))
    found = [import_module(f"web.pages.{name}") for name in names]
    return [page.router for page in found if role in getattr(page, "ROLES", (role,))]
