"""Annex E as data: its counts, its options, and that the allow-list is never laxer than the table."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from core.deid import profile
from core.errors import BadConfiguration

DATA = Path(profile.__file__).parent / "data"
VOCABULARY = Path(__file__).resolve().parents[3].parent / "shared" / "vocab"


def test_the_table_is_whole() -> None:
    rows = profile.annex_e()
    basic = Counter(row.basic for row in rows[:621])
    assert len(rows) == 621 + 35
    assert basic == {"X": 384, "D": 92, "U": 54, "Z": 42, "X/D": 22, "X/Z": 11, "X/Z/D": 8, "Z/D": 6, "X/Z/U*": 2}
    options = Counter(code for row in rows for code in row.options)
    assert options == {
        "113106": 165, "113107": 165, "113105": 125, "113110": 59, "113109": 57, "113108": 13, "113112": 10,
        "113103": 4, "113104": 3, "113111": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (0x50100010, "C"), (0x60023000, "C"), (0x60FE4000, "C"), (0x00091001, "X"), (0x00100010, "Z"),
        (0x00080018, "U"), (0x00080020, "C"), (0x00101010, "K"), (0x00081070, "X/Z/D"), (0x00100011, "X"),
        (0x00080070, None), (0x60020010, None),
    ],
)  # fmt: skip
def test_actions(tag: int, expected: str | None) -> None:
    assert profile.action(tag) == expected


def test_options_change_the_action() -> None:
    basic = frozenset({profile.BASIC})
    assert profile.action(0x00080020, basic) == "Z"
    assert profile.action(0x00101010, basic) == "X"


@pytest.mark.parametrize(
    ("choice", "type_", "letter"),
    [("X/Z/D", "1", "D"), ("X/Z/D", "2", "Z"), ("X/Z/D", "3", "X"), ("X/Z/U*", "3", "X"), ("Z/D", "3", "Z"),
     ("Z/D", "1", "D"), ("X/D", "2", "D"), ("U", "1", "U"), ("X", "1", "X")],
)  # fmt: skip
def test_choices_follow_the_type(choice: str, type_: str, letter: str) -> None:
    assert profile.resolve(choice, type_) == letter


def test_the_allow_list_is_never_laxer_than_the_table() -> None:
    fitting = {
        "K": {"sex", "age", "number"}, "C": {"shift", "words"}, "U": {"uid"}, "Z": {"empty", "research_id"},
        "Z/D": {"empty", "research_id"},
    }  # fmt: skip
    for row in profile.allow_list():
        asked = profile.action(row.tag)
        if asked is None:
            continue
        if row.keyword == "ContrastBolusAgent":  # Z/D, and C by the clean descriptors option: an empty value is both
            assert row.rule == "empty"
            continue
        assert row.rule in fitting[asked], row.keyword


def test_what_is_not_listed_goes() -> None:
    assert profile.allowed(0x00104000) is None
    assert profile.allowed(0x00081030, "SequenceOfUltrasoundRegions") is None
    assert profile.allowed(0x00080017) is None  # Acquisition UID: no ultrasound object needs it
    assert profile.allowed(0x00091001) is None
    assert profile.allowed(0x00100010, "SequenceOfUltrasoundRegions") is None
    assert profile.allowed(0x00200052) is not None  # Frame of Reference UID: replaced
    assert profile.allowed(0x00200052, "SequenceOfUltrasoundRegions") is None


def test_method_codes() -> None:
    assert profile.method_codes()["113101"] == "Clean Pixel Data Option"
    assert {"113100", "113101", "113103", "113105", "113107", "113108"} == profile.DEFAULT_OPTIONS


@pytest.mark.parametrize("options", [frozenset(), frozenset({"113100", "113110"}), frozenset({"113107"})])
def test_options_that_keep_more_are_refused(options: frozenset[str]) -> None:
    with pytest.raises(BadConfiguration):
        profile.check_options(options)


def test_the_two_editions_agree() -> None:
    """Where the 2026c list names what the 2024b table has, in its own way of writing groups, it asks for the same."""
    added = json.loads((DATA / "ps3_15_annex_e_2026c_additions.json").read_text(encoding="utf-8"))
    table = {row.pattern: row for row in profile.annex_e()[:621]}
    shared = {tag: basic for tag, basic in added.items() if profile.pattern_of(tag) in table}
    assert set(shared) == {"(5000,0000)", "(6000,3000)", "(6000,4000)"} and len(added) == 38
    assert all(table[profile.pattern_of(tag)].basic == basic for tag, basic in shared.items())
    assert [row.options for row in profile.annex_e()[621:]] == [{}] * 35


def test_the_table_is_the_vocabularys() -> None:
    """The shipped JSON and the vocabulary's list, made apart from each other, agree on every action and option."""
    path = VOCABULARY / "deid_actions_ps3_15.tsv"
    if not path.exists():
        pytest.skip("../shared/vocab is absent: the list of actions")
    with path.open(encoding="utf-8", newline="") as lines:
        listed = {row.pop("tag").upper(): row for row in csv.DictReader(lines, delimiter="\t")}
    rows = json.loads(profile.annex_e_file().read_text(encoding="utf-8"))
    assert len(listed) == len(rows) == 621
    for row in rows:
        other = listed[row["tag"]]
        assert {name: row.get(name, "") for name in other if name != "attribute"} == {
            name: value or "" for name, value in other.items() if name != "attribute"
        }


def test_edition_and_file_belong_together() -> None:
    assert profile.TABLE == "ps3_15_annex_e_2024b.json" and profile.EDITION == "2024b+2026c"
    assert len(profile.annex_e_file().read_bytes()) == 120_686
