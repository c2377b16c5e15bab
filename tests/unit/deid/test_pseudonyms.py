"""New identities keep what must hold: same in, same out; distances; nothing standard touched; nothing guessable."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.deid.pseudonyms import Pseudonyms

OFFSETS = st.integers(-156, -5).map(lambda weeks: 7 * weeks)
MOMENTS = st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1)).map(lambda one: one.replace(microsecond=0))
UIDS = st.from_regex(r"[1-9]\.[0-9]{1,3}(\.[1-9][0-9]{0,8}){1,5}", fullmatch=True)


def person(offset: int = -70, start: datetime | None = None, secret: bytes = b"s" * 32) -> Pseudonyms:
    return Pseudonyms("a1", secret, offset, start)


@given(UIDS, st.integers(0, 5))
def test_uids_are_new_valid_and_stable(old: str, revision: int) -> None:
    new = person().uid(old, revision)
    number = int(new.removeprefix("2.25."))
    assert new.startswith("2.25.") and str(number) == new[5:] and number < 1 << 128 and len(new) <= 64
    assert number >> 76 & 0xF == 8 and number >> 62 & 0x3 == 2
    assert new == person().uid(old, revision) != person().uid(old, revision + 1)
    assert new != person(secret=b"t" * 32).uid(old, revision)


def test_standard_uids_stay_and_made_up_ones_do_not() -> None:
    assert person().uid("1.2.840.10008.5.1.4.1.1.6.1") == "1.2.840.10008.5.1.4.1.1.6.1"
    assert person().uid("1.2.840.10008.19500102.70012345").startswith("2.25.")


@given(OFFSETS, MOMENTS, st.integers(-200_000, 200_000))
def test_distances_to_the_start_stay_exact(offset: int, start: datetime, seconds: int) -> None:
    """Over midnight too, and whatever the hour was."""
    ours, moment = person(offset, start), start + timedelta(seconds=seconds)
    day, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    moved = datetime.strptime(f"{ours.moved_date(day, time)}{ours.moved_time(time)}", "%Y%m%d%H%M%S")
    noon = datetime.strptime(f"{ours.moved_date(start.strftime('%Y%m%d'), start.strftime('%H%M%S'))}12", "%Y%m%d%H")
    assert (moved - noon).total_seconds() == seconds
    assert (noon.date() - start.date()).days == offset
    assert ours.moved_date_time(day + time) == moved.strftime("%Y%m%d%H%M%S")


@given(OFFSETS, MOMENTS)
def test_the_start_is_noon_and_weekdays_stay(offset: int, start: datetime) -> None:
    ours = person(offset, start)
    assert ours.moved_time(start.strftime("%H%M%S")) == "120000"
    moved = datetime.strptime(str(ours.moved_date(start.strftime("%Y%m%d"))), "%Y%m%d")
    assert moved.weekday() == start.weekday() and (moved.date() - start.date()).days == offset


@given(MOMENTS, MOMENTS, st.integers(0, 86_399))
def test_a_lone_time_shows_its_distance_alone(one: datetime, other: datetime, distance: int) -> None:
    """Two studies at other hours with the same distance give the same time: the hour of the day is gone."""
    times = {
        person(start=start).moved_time((start + timedelta(seconds=distance)).strftime("%H%M%S"))
        for start in (one, other)
    }
    assert len(times) == 1


def test_partial_values_and_forms() -> None:
    ours = person(-70, datetime(2020, 3, 10, 23, 50))
    assert ours.moved_time("235000.125") == "120000.125000"
    assert ours.moved_time("2355") == "120500"
    assert ours.moved_date("2020.03.10") == "20191231"
    assert ours.moved_date_time("20200311001000.000000+0900") == "20191231122000"
    assert ours.moved_date_time("20200310") == "20191231"


@pytest.mark.parametrize("bad", ["", "yesterday", "20201301", "00010101", "2020", "20200310x", "70012345"])
def test_what_is_no_date_does_not_stay(bad: str) -> None:
    ours = person(start=datetime(2020, 3, 10, 9))
    assert ours.moved_date(bad) is None and ours.moved_date_time(bad) is None


@pytest.mark.parametrize("bad", ["", "9", "noon", "246000", "236100", "7001234"])
def test_what_is_no_time_does_not_stay(bad: str) -> None:
    assert person(start=datetime(2020, 3, 10, 9)).moved_time(bad) is None


def test_without_a_start_no_time_leaves() -> None:
    assert person().moved_time("093000") is None
    assert person().moved_date_time("20200310093000") == "20191231"


@pytest.mark.parametrize("offset", [0, 7, -7, -28, -31, -71, -1096, -1099])
def test_offsets_out_of_rule_are_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="offset"):
        person(offset)


def test_secrets_and_ids_are_judged_and_not_shown() -> None:
    with pytest.raises(ValueError, match="secret"):
        person(secret=b"short")
    with pytest.raises(ValueError, match="research ID"):
        Pseudonyms("Yamada^Hanako", b"s" * 32, -70)
    assert "ssss" not in repr(person()) and "-70" not in repr(person())
