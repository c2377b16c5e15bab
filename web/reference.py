"""The node's own OpenAPI document as people read it: groups of operations, schemas resolved, a line for curl."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from core.permissions import Verb

Schema = Mapping[str, Any]
_DEEPEST: Final = 4
_LONGEST_LINE: Final = 72
_NO_ERRORS_OF_OURS: Final = "422"


@dataclass(frozen=True)
class Shape:
    """A value: its name, its type in words, whether it must be there, its limits, and what is inside it."""

    name: str
    type: str
    is_required: bool = False
    note: str = ""
    text: str = ""
    fields: tuple["Shape", ...] = ()


@dataclass(frozen=True)
class Parameter:
    shape: Shape
    place: str


@dataclass(frozen=True)
class Content:
    """A body of one media type."""

    media_type: str
    shape: Shape


@dataclass(frozen=True)
class Operation:
    """One method of one address. `scope` is the right it asks for; without one, `is_open` says whether anybody may."""

    id: str
    method: str
    path: str
    title: str
    text: str
    scope: Verb | None
    is_open: bool
    parameters: tuple[Parameter, ...]
    body: tuple[Content, ...]
    answers: tuple[tuple[str, tuple[Content, ...]], ...]
    errors: tuple[str, ...]
    curl: str

    @property
    def summary(self) -> str:
        """The first sentence of what is written about it, for its line in the list."""
        first = re.split(r"[.;:]\s|\n", self.text)[0].rstrip(".") or self.title
        return first if len(first) <= _LONGEST_LINE else first[:_LONGEST_LINE].rsplit(" ", 1)[0] + " …"

    @property
    def search(self) -> str:
        return f"{self.method} {self.path} {self.title} {self.text} {self.scope or ''}".lower()


@dataclass(frozen=True)
class Group:
    name: str
    operations: tuple[Operation, ...]


def groups_of(app: FastAPI, base_url: str) -> tuple[Group, ...]:
    """All operations of the document, in its order, by their first tag."""
    document = app.openapi()
    rights = dict(_rights(app))
    schemas: Schema = document.get("components", {}).get("schemas", {})
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            scope, is_open = rights.get(f"{method.upper()} {path}", (None, True))
            made = _operation(path, method.upper(), described, schemas, scope, is_open, base_url)
            found.setdefault(next(iter(described.get("tags", ())), "other"), []).append(made)
    return tuple(Group(name, tuple(operations)) for name, operations in found.items())


def _rights(app: FastAPI) -> Iterator[tuple[str, tuple[Verb | None, bool]]]:
    """`METHOD /path` with the right that its route asks for, and whether it asks for nobody at all."""
    for context in iter_route_contexts(app.routes):
        if not hasattr(context, "dependant"):
            continue
        calls = list(_calls(context.dependant))
        verbs = [verb for call in calls if isinstance(verb := getattr(call, "verb", None), Verb)]
        is_open = not any(getattr(call, "__name__", "") == "current_actor" for call in calls)
        path = re.sub(r":\w+}", "}", context.path or "")
        yield from ((f"{method} {path}", (next(iter(verbs), None), is_open)) for method in context.methods or ())


def _calls(dependant: Any) -> Iterator[object]:  # noqa: ANN401 - FastAPI's own tree
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


def _operation(
    path: str, method: str, described: Schema, schemas: Schema, scope: Verb | None, is_open: bool, base_url: str
) -> Operation:
    parameters = tuple(_parameters(described, schemas))
    body = _contents(described.get("requestBody", {}), schemas)
    answers = tuple(
        (status, _contents(answer, schemas))
        for status, answer in described["responses"].items()
        if status != _NO_ERRORS_OF_OURS
    )
    return Operation(
        id=described["operationId"],
        method=method,
        path=path,
        title=described.get("summary", ""),
        text=described.get("description", ""),
        scope=scope,
        is_open=is_open,
        parameters=parameters,
        body=body,
        answers=answers,
        errors=_errors(method, scope, is_open, bool(parameters or body), "{" in path),
        curl=_curl(base_url, method, path, described, schemas, is_open),
    )


def _parameters(described: Schema, schemas: Schema) -> Iterator[Parameter]:
    for parameter in described.get("parameters", ()):
        shape = shape_of(parameter["name"], parameter.get("schema", {}), schemas, bool(parameter.get("required")))
        yield Parameter(shape, parameter["in"])


def _contents(holder: Schema, schemas: Schema) -> tuple[Content, ...]:
    return tuple(
        Content(media_type, shape_of("", content.get("schema", {}), schemas, True))
        for media_type, content in holder.get("content", {}).items()
    )


def _errors(method: str, scope: Verb | None, is_open: bool, has_input: bool, names_a_thing: bool) -> tuple[str, ...]:
    """The statuses that may come instead, each as problem+json."""
    checks = {
        "401": not is_open,
        "403": scope is not None,
        "404": names_a_thing,
        "409": method != "GET" and not is_open,
        "422": has_input,
    }
    return tuple(status for status, applies in checks.items() if applies)


def shape_of(name: str, schema: Schema, schemas: Schema, is_required: bool, seen: tuple[str, ...] = ()) -> Shape:
    """A schema without references; one that holds itself is shown once."""
    known, seen = _resolve(schema, schemas, seen)
    inner, kept = known, seen
    while inner.get("type") == "array":
        inner, kept = _resolve(inner.get("items", {}), schemas, kept)
    inner, kept = _resolve(_some(inner), schemas, kept)
    properties = inner.get("properties", {}) if len(kept) <= _DEEPEST else {}
    fields = tuple(
        shape_of(key, value, schemas, key in inner.get("required", ()), kept) for key, value in properties.items()
    )
    return Shape(name, type_of(known, schemas), is_required, note_of(known), known.get("description", ""), fields)


def _resolve(schema: Schema, schemas: Schema, seen: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
    reference = schema.get("$ref")
    if reference is None:
        return schema, seen
    key = reference.rpartition("/")[2]
    return ({"type": key}, seen) if key in seen else (schemas.get(key, {}), (*seen, key))


def _some(schema: Schema) -> Schema:
    """What a value is when it is there: the one alternative that is not null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    return choices[0] if len(choices) == 1 else schema


def type_of(schema: Schema, schemas: Schema) -> str:
    """A type in a few words: `array of string (uuid)`, `integer or null`."""
    if "$ref" in schema:
        return type_of(schemas.get(schema["$ref"].rpartition("/")[2], {}), schemas)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(choice, schemas) for choice in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if schema.get("type") == "array":
        return f"array of {type_of(schema.get('items', {}), schemas)}"
    kind = str(schema.get("type", "any"))
    return f"{kind} ({schema['format']})" if "format" in schema else kind


_LIMITS: Final = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "length ≥ {}",
    "maxLength": "length ≤ {}",
    "minItems": "items ≥ {}",
    "maxItems": "items ≤ {}",
    "pattern": "{}",
    "default": "default {}",
}


def note_of(schema: Schema) -> str:
    """The limits of a value; those of the one alternative that is not null, too."""
    limits = {**_some(schema), **schema}
    return ", ".join(
        words.format(limits[key]) for key, words in _LIMITS.items() if key in limits and limits[key] is not None
    )


def example_of(schema: Schema, schemas: Schema, seen: tuple[str, ...] = ()) -> object:
    """A value that has this shape, to begin from."""
    known, seen = _resolve(schema, schemas, seen)
    known, seen = _resolve(_some(known), schemas, seen)
    if "default" in schema and schema["default"] is not None:
        return schema["default"]
    if "enum" in known:
        return known["enum"][0]
    if known.get("type") == "array":
        return [example_of(known.get("items", {}), schemas, seen)]
    if "properties" in known:
        required = known.get("required", ())
        return {key: example_of(value, schemas, seen) for key, value in known["properties"].items() if key in required}
    return _EXAMPLES.get(known.get("format", ""), _EXAMPLES.get(known.get("type", ""), "…"))


_EXAMPLES: Final[dict[str, object]] = {
    "uuid": "00000000-0000-4000-8000-000000000000",
    "date-time": "2026-01-31T09:00:00Z",
    "date": "2026-01-31",
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "object": {},
}


def _curl(base_url: str, method: str, path: str, described: Schema, schemas: Schema, is_open: bool) -> str:
    """A line to begin from; {names} are to be filled in."""
    parts = ["curl" + ("" if method == "GET" else f" -X {method}")]
    parts += [] if is_open else ['-H "Authorization: Bearer $SONOBANK_TOKEN"']
    for media_type, content in described.get("requestBody", {}).get("content", {}).items():
        parts.append(f"-H 'Content-Type: {media_type}'")
        if media_type == "application/json":
            body = json.dumps(example_of(content.get("schema", {}), schemas), ensure_ascii=False)
            parts.append(f"-d '{body}'")
        else:
            parts.append("--data-binary @FILE")
        break
    asked = [p["name"] for p in described.get("parameters", ()) if p["in"] == "query" and p.get("required")]
    query = "&".join(f"{name}={{{name}}}" for name in asked)
    parts.append(f"'{base_url}{path}{'?' + query if query else ''}'")
    return " \\\n  ".join(parts)
