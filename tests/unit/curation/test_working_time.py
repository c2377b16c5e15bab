"""Time at a case: counted from save to save, long pauses left out, whatever the order of the moments."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.curation.working_time import IDLE, middle, working_time

NINE = datetime(2026, 11, 27, 9, tzinfo=UTC)
MOMENTS = st.lists(st.tuples(st.integers(0, 40_000), st.sampled_from("abc")), max_size=40)


def at(minutes: float) -> datetime:
    return NINE + timedelta(minutes=minutes)


def test_time_belongs_to_the_case_that_is_saved_next() -> None:
    found = working_time([(at(0), "a"), (at(1), "a"), (at(2.5), "b"), (at(3), "a")])
    assert found == {"a": timedelta(minutes=1.5), "b": timedelta(minutes=1.5)}


def test_a_long_pause_is_no_work() -> None:
    assert working_time([(at(0), "a"), (at(2), "a"), (at(60), "a"), (at(61), "a")]) == {"a": timedelta(minutes=3)}
    assert working_time([(at(0), "a"), (NINE + IDLE, "a")]) == {"a": IDLE}


def test_one_moment_alone_tells_no_time() -> None:
    assert working_time([(at(0), "a")]) == {"a": timedelta()}
    assert middle(working_time([(at(0), "a")]).values()) is None
    assert middle([timedelta(), timedelta(seconds=10), timedelta(seconds=20)]) == timedelta(seconds=15)


@given(MOMENTS)
def test_never_more_than_has_passed_and_never_an_order(moments: list[tuple[int, str]]) -> None:
    given_ = [(NINE + timedelta(seconds=second), case) for second, case in moments]
    found = working_time(given_)
    assert set(found) == {case for _, case in given_}
    assert all(time >= timedelta() for time in found.values())
    if given_:
        passed = max(given_)[0] - min(given_)[0]
        assert sum(found.values(), timedelta()) <= min(passed, IDLE * (len(given_) - 1))
    distinct = {moment for moment, _ in given_}
    if len(distinct) == len(given_):
        assert working_time(reversed(given_)) == found
