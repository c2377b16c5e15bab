"""The API reference: every operation of every node, its right, its schemas without references, and a line for curl."""

import shlex

import pytest

from api.main import create_app
from core.permissions import Verb
from core.settings import Settings
from web.reference import Group, Operation, Shape, example_of, groups_of, note_of, shape_of, type_of


def groups(role: str) -> tuple[Group, ...]:
    def closed() -> None:
        raise AssertionError("the application is looked at, never opened")

    settings = Settings(role=role, site_code="TEST01", _env_file=None)  # type: ignore[arg-type]
    return groups_of(create_app(settings, closed), settings.base_url)  # type: ignore[arg-type]


def operations(role: str) -> dict[str, Operation]:
    return {f"{each.method} {each.path}": each for group in groups(role) for each in group.operations}


@pytest.mark.parametrize("role", ["site", "central", "pacs"])
def test_every_operation_can_be_tried_with_its_line_for_curl(role: str) -> None:
    for each in operations(role).values():
        words = shlex.split(each.curl)
        assert words[0] == "curl" and each.path in words[-1]
        assert ("Authorization" in each.curl) == (not each.is_open)
        assert each.summary and each.answers


def test_rights_are_those_of_the_routes() -> None:
    found = operations("central")
    assert found["GET /api/v1/cases"].scope == Verb.SEE_BANK
    assert found["POST /api/v1/datasets/{name}/versions"].scope == Verb.FREEZE
    bulk = "GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}"
    assert found[bulk].scope == Verb.DICOM_READ
    me, login = found["GET /api/v1/me"], found["POST /api/v1/login"]
    assert (me.scope, me.is_open, login.scope, login.is_open) == (None, False, None, True)
    assert me.errors == ("401",) and login.errors == ("422",)


def test_answers_are_shown_to_their_depth() -> None:
    case = operations("central")["GET /api/v1/cases/{case_id}"]
    fields = {field.name: field for field in case.answers[0][1][0].shape.fields}
    assert fields["images"].type == "array of object"
    assert "sop_instance_uid" in {field.name for field in fields["images"].fields}
    assert fields["replicated_at"].type == "string (date-time) or null"


def test_a_schema_that_holds_itself_ends() -> None:
    tree = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/T"}}},
    }
    made = shape_of("", {"$ref": "#/components/schemas/T"}, {"T": tree}, True)
    assert made.fields[0].name == "children" and made.fields[0].fields == ()
    assert example_of({"$ref": "#/components/schemas/T"}, {"T": tree | {"required": ["children"]}}) is not None


@pytest.mark.parametrize(
    ("schema", "words", "limits"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 500, "default": 100}, "integer", "≥ 1, ≤ 500, default 100"),
        ({"anyOf": [{"type": "string", "maxLength": 4}, {"type": "null"}]}, "string or null", "length ≤ 4"),
        ({"enum": ["a", "b"], "type": "string"}, '"a" | "b"', ""),
        ({"type": "array", "items": {"type": "string", "format": "uuid"}}, "array of string (uuid)", ""),
        ({}, "any", ""),
    ],
)
def test_types_and_limits_in_words(schema: dict[str, object], words: str, limits: str) -> None:
    assert (type_of(schema, {}), note_of(schema)) == (words, limits)
    assert shape_of("x", schema, {}, False) == Shape("x", words, note=limits)
