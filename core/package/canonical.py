"""The one written form of everything that is signed or hashed: canonical JSON of a strict model; no other form is read.

Canonical: ASCII, keys sorted, no spaces, numbers as Python's json writes them. A reader demands that the bytes are
exactly the canonical form of what it understood, so a repeated key, another spacing or another spelling of a number is
refused without a rule of its own for each."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic import WithJsonSchema as Schema

from core.errors import Refused

UUID4_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
MOST_PATHS: Final = 8


class Strict(BaseModel):
    """A frozen model that converts nothing, takes no unknown field, no NaN, and keeps inputs out of its errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def _random_only(value: UUID) -> UUID:
    if value.version != 4:
        raise ValueError("an identifier that leaves must be a random UUID (version 4)")
    return value


OutwardId = Annotated[UUID, AfterValidator(_random_only), Schema({"type": "string", "pattern": UUID4_PATTERN})]
SiteCode = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2,12}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
CaseVersion = Annotated[int, Field(ge=1, le=1_000_000)]

M = TypeVar("M", bound=Strict)


def canonical(model: Strict) -> bytes:
    """The only bytes that stand for this model."""
    plain = model.model_dump(mode="json")
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def read_canonical(data: bytes, adapter: TypeAdapter[M], most_bytes: int, what: str) -> M:
    """Read bytes from outside. Raises Refused naming field paths and our own rules, never a value that came in."""
    if len(data) > most_bytes:
        raise Refused(f"The {what} is larger than allowed.")
    try:
        model = adapter.validate_json(data)
    except ValidationError as error:
        raise Refused(f"The {what} breaks the contract: {'; '.join(places(error, adapter))}.") from None
    if canonical(model) != data:
        raise Refused(f"The {what} is not written in its one form: a repeated field, other spacing or number spelling.")
    return model


def places(error: ValidationError, adapter: TypeAdapter[M]) -> list[str]:
    """Where it is wrong. A key that the contract does not know came from outside and becomes `*`."""
    known = set(_names(adapter.json_schema()))
    found: dict[str, None] = {}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        parts = [str(part) if isinstance(part, int) or part in known else "*" for part in item["loc"]]
        place = ".".join(parts) or "the whole"
        # Only a rule of ours is a value_error; pydantic's own texts may quote what came in.
        rule = f" ({item['msg'].removeprefix('Value error, ')})" if item["type"] == "value_error" else ""
        found[place + rule] = None
    every = list(found)
    more = [f"and {len(every) - MOST_PATHS} more places"] if len(every) > MOST_PATHS else []
    return every[:MOST_PATHS] + more


def _names(schema: Any) -> Iterator[str]:  # noqa: ANN401 - a JSON schema is any JSON
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for part in schema.values():
            yield from _names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _names(part)
