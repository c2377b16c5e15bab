"""Filling a form from DICOM tags: every value says which tag it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.vocabulary.answers import Options, Value, check_value
from core.vocabulary.schema import FieldSpec

LONGEST_TEXT = 64


@dataclass(frozen=True)
class Filled:
    """A value and the tag it was read from, as (gggg,eeee)."""

    value: Value
    source_tag: str


def fill(fields: Sequence[FieldSpec], options: Options, facts: Mapping[str, object]) -> dict[str, Filled]:
    """What the tags say, for the fields that take it; a fact that is absent or does not fit leaves its field open."""
    filled: dict[str, Filled] = {}
    for field in fields:
        if field.auto is None:
            continue
        value = _transformed(field.auto.transform, facts.get(field.auto.fact))
        fitted = _fit(field, options, value)
        if fitted is not None:
            filled[field.code] = Filled(fitted, field.auto.tag)
    return filled


def _transformed(transform: str, value: object) -> object:
    if transform == "first" and isinstance(value, list | tuple):
        return value[0] if value else None
    if transform == "top_code_90" and isinstance(value, int | float) and not isinstance(value, bool):
        return min(int(value), 90)
    return value


def _fit(field: FieldSpec, options: Options, value: object) -> Value | None:
    if field.type == "text":
        return value.strip()[:LONGEST_TEXT] or None if isinstance(value, str) else None
    if isinstance(value, float | int) and not isinstance(value, bool) and field.step is not None:
        # A tag may be finer than what a person may enter.
        value = round(round(value / field.step) * field.step, 6)
    if value is None or value == "":
        return None
    return check_value(field, options, value)[0]
