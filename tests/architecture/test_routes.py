"""Every route of every node has a row in the table of rights, asks for the right that stands there, and nothing is left over."""

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from api.deps import SAFE_METHODS, Need, current_actor
from api.main import ANY_SIZE, LARGEST_BODY, ROUTERS, create_app
from api.routes import cases, infer, models
from core.permissions import Verb
from core.services import steps
from core.services.parcels import LARGEST_CHUNK
from core.settings import Settings
from tests.route_table import ROUTES, STEPS, Open, Page, routes_of
from web.deps import Need as PageNeed
from web.deps import signed_in


def application(role: str) -> FastAPI:
    def closed() -> None:
        raise AssertionError("the application is looked at, never opened")

    return create_app(Settings(role=role, site_code="KYOTO01", _env_file=None), closed)  # type: ignore[arg-type]


def calls(dependant: Dependant) -> Iterator[object]:
    """Every dependency of a route, at any depth."""
    for inner in dependant.dependencies:
        yield inner.call
        yield from calls(inner)


@pytest.mark.parametrize("role", ROUTERS)
def test_every_route_has_a_row_and_every_row_a_route(role: str) -> None:
    found = list(routes_of(application(role)))
    assert len(found) == len(set(found)), "two routes answer the same address"
    assert sorted(found) == sorted(ROUTES[role])


def test_the_relay_has_six_routes() -> None:
    assert sorted(routes_of(application("relay"))) == [
        "GET /api/v1/messages",
        "GET /api/v1/parcels/{site}/{package_id}",
        "GET /healthz",
        "GET /readyz",
        "POST /api/v1/parcels",
        "PUT /api/v1/parcels/{site}/{package_id}/content",
    ]


@pytest.mark.parametrize("role", ROUTERS)
def test_every_route_asks_for_the_right_of_its_row(role: str) -> None:
    for context in iter_route_contexts(application(role).routes):
        if isinstance(context.original_route, Mount) or not hasattr(context, "dependant"):
            continue  # files and the OpenAPI document: public, without dependencies
        asked = list(calls(context.dependant))
        for method in context.methods or ():
            need = ROUTES[role][f"{method} {context.path}"]
            verbs = {call.verb for call in asked if isinstance(call, Need)}
            assert verbs == ({need} if isinstance(need, Verb) else set()), context.path
            pages = {frozenset(call.verbs) for call in asked if isinstance(call, PageNeed)}
            assert pages == ({frozenset(need.verbs)} if isinstance(need, Page) else set()), context.path
            assert (current_actor in asked) == (need is Open.SIGNED_IN or isinstance(need, Verb)), context.path
            assert (signed_in in asked) == (need is Open.PAGE or isinstance(need, Page)), context.path


def test_no_safe_route_is_named_like_a_change() -> None:
    """A browser session is enough for safe methods, so no GET may change anything."""
    for role in ROUTERS:
        for route in routes_of(application(role)):
            method, path = route.split(" ")
            if method in SAFE_METHODS:
                assert not path.endswith((*STEPS, "/retry", "/test", "/disable", "/confirm", "/login", "/sign-out"))


def test_every_step_of_a_case_has_a_row() -> None:
    assert set(STEPS) == set(steps.Step.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("role", ROUTERS)
def test_every_body_has_a_cap(role: str) -> None:
    app = application(role)
    assert app.max_body_size == LARGEST_BODY == 1 << 20
    wider = {
        "/api/v1/cases/csv": 4 * cases.MOST_CHARACTERS,
        "/api/v1/parcels/{site}/{package_id}/content": 16 << 20,
        "/api/v1/infer": infer.LARGEST_FILE,
        "/api/v1/infer/coco": infer.LARGEST_FILE,
        "/api/v1/models": models.LARGEST_MODEL,
        "/dicom-web/studies": ANY_SIZE,
        "/dicom-web/studies/{study}": ANY_SIZE,
    }
    assert LARGEST_CHUNK == 16 << 20
    for context in iter_route_contexts(app.routes):
        cap: Callable[..., object] | int | None = getattr(context, "max_body_size", None)
        if cap is not None and cap != LARGEST_BODY:
            assert cap == wider[context.path or ""]
            assert "GET" not in (context.methods or ())
