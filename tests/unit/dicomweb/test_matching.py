"""How values of a search meet the archive's columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dicom.query import parse
from core.permissions import Actor, Verb
from core.queries.archive import is_uid, name_key, readable, whole
from core.queries.archive_search import _matching, pattern, times


@pytest.mark.parametrize(
    ("one", "other"),
    [("Doe^Jane", "DOE^jane^^^"), ("ﾔﾏﾀﾞ^ﾀﾛｳ", "ヤマダ^タロウ"), ("Yamada=山田= ", "YAMADA=山田="), ("Ｄｏｅ", "doe")],
)
def test_names_that_are_the_same(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


def test_no_name_has_no_key() -> None:
    assert name_key("") == name_key("==") == name_key("^^") == ""


@given(st.text(alphabet="ab%_\\", max_size=20))
def test_a_pattern_escapes_what_like_knows(value: str) -> None:
    escaped = pattern(value)
    plain, at = "", 0
    while at < len(escaped):
        at += escaped[at] == "\\"
        plain += escaped[at]
        at += 1
    assert plain == value


def test_wild_cards() -> None:
    assert pattern("S?m*_") == "S_m%\\_"


@pytest.mark.parametrize(
    ("value", "same"), [("12", "120000.0"), ("1200", "12"), ("120000", "1200"), ("090530.50", "090530.5")]
)
def test_times_that_are_the_same(value: str, same: str) -> None:
    assert same in times(value) and value in times(same)


@pytest.mark.parametrize(("value", "other"), [("12", "1201"), ("120000.5", "120000"), ("10", "1")])
def test_times_that_differ(value: str, other: str) -> None:
    assert other not in times(value)


def test_a_uid_is_digits_and_dots() -> None:
    assert is_uid("1.2.840.10008") and not is_uid("") and not is_uid("1.2\0") and not is_uid("1" * 65)


def actor(*domains: str) -> Actor:
    return Actor("reader", None, ((Verb.DICOM_READ, frozenset(domains)),))


def test_the_gate_restricts_by_domain() -> None:
    assert str(readable(actor("*"))) == "true"
    assert "study.domain IN" in str(readable(actor("liver")))
    assert str(readable(Actor("nobody", None))) == "study.id IS NULL"


def test_tables_are_joined_only_when_they_are_asked() -> None:
    plain = str(_matching(actor("*"), parse("instance", []), None, None))
    assert "JOIN" not in plain and "instance.hidden IS false" in plain
    assert "JOIN study" in str(_matching(actor("liver"), parse("instance", []), None, None))
    assert "JOIN study" in str(_matching(actor("*"), parse("series", [("PatientID", "1")]), None, None))


def test_metadata_get_this_servers_address() -> None:
    stored = '{"7FE00010":{"vr":"OB","BulkDataURI":"/dicom-web/x"},"1":{"vr":"LO","Value":["\\"BulkDataURI\\":\\"/y"]}}'
    assert whole(stored, "https://a.example") == stored.replace('"/dicom-web/x', '"https://a.example/dicom-web/x')
