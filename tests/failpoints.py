"""The failpoints that the sources name: read from the syntax tree, so that the list cannot be forgotten."""

import ast
from collections.abc import Iterator
from pathlib import Path

from core.failpoints import POINTS, RARE

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("core", "api", "workers", "commands")


def named_in_sources() -> set[str]:
    """Every point of every `transaction(engine, "name")`, `hit("name")` and store in the sources."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            found |= set(_points(ast.parse(path.read_text())))
    return found


def _points(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        texts = [
            argument.value
            for argument in node.args
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        ]
        if function == "transaction" and texts:
            yield from (f"{texts[0]}:before-commit", f"{texts[0]}:after-commit")
        if function == "_transaction" and texts:
            yield from (f"vault.{texts[0]}:before-commit", f"vault.{texts[0]}:after-commit")
        if function == "hit" and texts:
            yield texts[0]
        if function == "open_store" and texts:
            yield from (f"{texts[-1]}.put:before", f"{texts[-1]}.put:after")


def chain_points() -> set[str]:
    """The points that a run of the whole chain comes to; the rare ones need a trouble of their own."""
    return set(POINTS) - set(RARE)


def of_routes() -> set[str]:
    """The points of requests: one pair for each route that opens a transaction."""
    from fastapi.routing import APIRoute, iter_route_contexts

    from api.main import create_app
    from core.settings import load

    found: set[str] = set()
    for role in ("site", "relay", "central", "pacs"):
        app = create_app(load(role=role, site_code="TEST01"), lambda: None)  # type: ignore[arg-type, return-value]
        for context in iter_route_contexts(app.routes):
            route = context.original_route
            if isinstance(route, APIRoute) and _opens(route.dependant):
                door = "web" if route.endpoint.__module__.startswith("web") else "api"
                found |= {f"{door}.{route.name}:before-commit", f"{door}.{route.name}:after-commit"}
    return found


def _opens(dependant: "object") -> bool:
    """Whether the request's session is among what a route depends on."""
    call = getattr(dependant, "call", None)
    return getattr(call, "__name__", "") == "open_session" or any(
        _opens(d) for d in getattr(dependant, "dependencies", ())
    )
