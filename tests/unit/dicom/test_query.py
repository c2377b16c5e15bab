"""QIDO-RS terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dicom.query import MATCHABLE, Kind, attribute, parse
from core.errors import Malformed


@pytest.mark.parametrize(
    ("key", "value", "kind", "expected"),
    [
        ("PatientID", "X*", "wildcard", "X*"),
        ("00100020", "A?1", "wildcard", "A?1"),
        ("PatientName", "山田*", "wildcard", "山田*"),
        ("PatientName", "Yamada^Tarou", "exact", "Yamada^Tarou"),
        ("PatientName", "*", "empty", ""),
        ("AccessionNumber", "", "empty", ""),
        ("StudyDate", "20200131", "exact", "20200131"),
        ("StudyDate", "20200131-20200201", "range", ("20200131", "20200201")),
        ("StudyDate", "20200131-", "range", ("20200131", "")),
        ("StudyDate", "-20200131", "range", ("", "20200131")),
        ("StudyTime", "0700-1230", "range", ("0700", "1230")),
        ("StudyTime", "070003.25", "exact", "070003.25"),
        ("StudyInstanceUID", "1.2,1.3", "uid-list", ("1.2", "1.3")),
        ("StudyInstanceUID", "1.2\\1.3", "uid-list", ("1.2", "1.3")),
        ("StudyInstanceUID", "1.2", "exact", "1.2"),
        ("ModalitiesInStudy", "US", "exact", "US"),
    ],
)
def test_matches(key: str, value: str, kind: Kind, expected: object) -> None:
    (match,) = parse("study", [(key, value)]).matches
    assert (match.keyword, match.kind, match.value) == (attribute(key)[0], kind, expected)


@pytest.mark.parametrize(
    "items",
    [
        [("limit", "abc")], [("limit", "-1")], [("offset", "1.5")], [("limit", "1"), ("limit", "2")],
        [("fuzzymatching", "yes")], [("NoSuchThing", "x")], [("00980098", "x")], [("includefield", "NoSuchThing")],
        [("StudyDate", "2020")], [("StudyDate", "20201301")], [("StudyDate", "2020*")], [("StudyDate", "-")],
        [("StudyTime", "2500")], [("StudyInstanceUID", "1.2.x")], [("PatientID.PatientName", "x")],
        [("PatientID", "x" * 2000)], [("PatientID", "x")] * 65, [("StudyDate", "２０２００１３１")],
    ],
)  # fmt: skip
def test_malformed(items: list[tuple[str, str]]) -> None:
    with pytest.raises(Malformed) as caught:
        parse("study", items)
    assert "x" * 20 not in caught.value.message


def test_paging_and_fields() -> None:
    query = parse("instance", [
        ("limit", "25"), ("offset", "50"), ("fuzzymatching", "true"), ("includefield", "StudyDescription,00081030"),
        ("includefield", "RequestAttributesSequence.00400009"), ("accept", "application/dicom+json"),
    ])  # fmt: skip
    assert (query.limit, query.offset, query.fuzzymatching) == (25, 50, True)
    assert query.includefield == ("StudyDescription", "RequestAttributesSequence.ScheduledProcedureStepID")
    assert parse("study", [("includefield", "all")]).includefield is None
    assert parse("study", []).includefield == ()
    assert parse("study", []).limit is None


def test_what_cannot_be_matched_is_named() -> None:
    query = parse("study", [("SOPInstanceUID", "1.2"), ("00091001", "x"), ("Manufacturer", "GE"), ("PatientID", "1")])
    assert query.unsupported == ("SOPInstanceUID", "00091001", "Manufacturer")
    assert [match.keyword for match in query.matches] == ["PatientID"]
    assert not parse("instance", [("SOPInstanceUID", "1.2")]).unsupported
    assert parse("study", [("Manufacturer", "GE")], {"Manufacturer"}).matches[0].vr == "LO"


def test_sequences() -> None:
    (match,) = parse("series", [("00400275.00400009", "S1")]).matches
    assert match.keyword == "RequestAttributesSequence.ScheduledProcedureStepID"


def test_numbers_must_be_numbers() -> None:
    assert parse("series", [("SeriesNumber", "3")]).matches[0].kind == "exact"
    with pytest.raises(Malformed, match="number"):
        parse("series", [("SeriesNumber", "three")])


@given(
    st.lists(st.tuples(st.sampled_from([*MATCHABLE["instance"], "limit", "includefield", "x"]), st.text(max_size=20)))
)
def test_any_text_is_a_query_or_malformed(items: list[tuple[str, str]]) -> None:
    try:
        query = parse("instance", items)
    except Malformed:
        return
    assert all(match.keyword in MATCHABLE["instance"] for match in query.matches)
