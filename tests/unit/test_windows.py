"""Low-load windows: over midnight, on weekends and holidays, and where the clocks change."""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.services.windows import Plan, Stretch, half_hours, night_of, stretch_of
from core.settings import Window

TOKYO = ZoneInfo("Asia/Tokyo")
NIGHT = Window(begin=time(22), end=time(6))
WEEKNIGHT = Window(days=(0, 1, 2, 3, 4), begin=time(22), end=time(6))
MONDAY = date(2026, 11, 23)


def plan(*windows: Window, zone: str = "Asia/Tokyo", holidays: Collection[date] = ()) -> Plan:
    return Plan(windows, ZoneInfo(zone), frozenset(holidays))


def at(day: date, hour: int, minute: int = 0, zone: str = "Asia/Tokyo") -> datetime:
    return datetime.combine(day, time(hour, minute), ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("hour", "minute", "night"),
    [
        (21, 59, None),
        (22, 0, MONDAY),
        (23, 59, MONDAY),
        (0, 0, MONDAY - timedelta(days=1)),
        (5, 59, MONDAY - timedelta(days=1)),
        (6, 0, None),
        (12, 0, None),
    ],
)
def test_a_window_belongs_to_the_day_on_which_it_begins(hour: int, minute: int, night: date | None) -> None:
    assert night_of(plan(NIGHT), at(MONDAY, hour, minute)) == night


def test_the_days_are_those_of_its_beginning() -> None:
    saturday, sunday = date(2026, 11, 28), date(2026, 11, 29)
    assert night_of(plan(WEEKNIGHT), at(saturday, 3)) == saturday - timedelta(days=1)
    assert night_of(plan(WEEKNIGHT), at(saturday, 23)) is None
    assert night_of(plan(WEEKNIGHT), at(sunday, 3)) is None
    assert night_of(plan(WEEKNIGHT), at(MONDAY, 3)) is None  # Sunday's night
    assert night_of(plan(WEEKNIGHT), at(MONDAY, 22)) == MONDAY


def test_a_holiday_is_open_all_day_and_ends_at_midnight() -> None:
    for hour in (0, 9, 21):
        assert night_of(plan(NIGHT, holidays={MONDAY}), at(MONDAY, hour)) == MONDAY
    tuesday = MONDAY + timedelta(days=1)
    assert night_of(plan(NIGHT, holidays={MONDAY}), at(tuesday, 9)) is None
    assert night_of(plan(NIGHT, holidays={MONDAY}), at(tuesday, 2)) == MONDAY  # the night that began on it


def test_holidays_are_days_of_the_hospital_not_of_utc() -> None:
    early = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)  # 01:00 on Monday in Tokyo
    assert night_of(plan(holidays={MONDAY}), early) == MONDAY
    assert night_of(plan(holidays={date(2026, 11, 22)}), early) is None


def test_a_window_within_a_day() -> None:
    lunch = Window(days=(0,), begin=time(12), end=time(13))
    assert night_of(plan(lunch), at(MONDAY, 12, 30)) == MONDAY
    assert night_of(plan(lunch), at(MONDAY, 13)) is None
    assert night_of(plan(lunch), at(MONDAY + timedelta(days=1), 12, 30)) is None


def test_a_window_that_ends_when_it_begins_is_a_whole_day() -> None:
    always = Window(begin=time(7), end=time(7))
    assert all(night_of(plan(always), at(MONDAY, hour)) is not None for hour in range(24))
    assert night_of(plan(always), at(MONDAY, 6, 59)) == MONDAY - timedelta(days=1)
    assert night_of(plan(always), at(MONDAY, 7)) == MONDAY


def test_several_windows_and_none() -> None:
    lunch = Window(begin=time(12), end=time(13))
    assert night_of(plan(NIGHT, lunch), at(MONDAY, 12)) == MONDAY
    assert night_of(plan(NIGHT, lunch), at(MONDAY, 23)) == MONDAY
    assert night_of(plan(), at(MONDAY, 23)) is None


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 28), 7), (date(2026, 10, 24), 9), (date(2026, 6, 6), 8)],
    ids=["clocks go forward", "clocks go back", "an ordinary night"],
)
def test_wall_times_hold_where_the_clocks_change(day: date, hours: int) -> None:
    """22:00 to 06:00 by the clock on the wall, however long that is."""
    here = plan(NIGHT, zone="Europe/Berlin")
    noon = at(day, 12, zone="Europe/Berlin")
    quarters = [noon + timedelta(minutes=15 * n) for n in range(4 * 26)]
    assert sum(night_of(here, now) == day for now in quarters) == hours * 4


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.times(), st.times(), st.sets(st.integers(0, 6)))
def test_an_open_window_began_today_or_yesterday(now: datetime, begin: time, end: time, days: set[int]) -> None:
    window = Window(days=tuple(days), begin=begin, end=end)
    moment = now.replace(tzinfo=UTC)
    night = night_of(plan(window), moment)
    local = moment.astimezone(TOKYO)
    if night is not None:
        assert night.weekday() in days
        assert night in {local.date(), local.date() - timedelta(days=1)}
        assert datetime.combine(night, begin, TOKYO) <= local


def test_the_open_stretch_and_the_next_one() -> None:
    tonight = Stretch(at(MONDAY, 22), at(MONDAY + timedelta(days=1), 6))
    for hour in (9, 22, 23):
        assert stretch_of(plan(NIGHT), at(MONDAY, hour)) == tonight
    assert stretch_of(plan(NIGHT), at(MONDAY + timedelta(days=1), 5)) == tonight
    assert stretch_of(plan(), at(MONDAY, 9)) is None


def test_windows_that_touch_are_one_stretch() -> None:
    evening = Window(days=(0,), begin=time(19), end=time(22))
    found = stretch_of(plan(NIGHT, evening), at(MONDAY, 20))
    assert found == Stretch(at(MONDAY, 19), at(MONDAY + timedelta(days=1), 6))
    quiet = stretch_of(plan(NIGHT, holidays={MONDAY}), at(MONDAY, 12))
    assert quiet == Stretch(at(MONDAY - timedelta(days=1), 22), at(MONDAY + timedelta(days=1), 6))


def test_the_next_opening_may_be_days_away_or_a_holiday() -> None:
    saturday, far = Window(days=(5,), begin=time(1), end=time(2)), MONDAY + timedelta(days=40)
    assert stretch_of(plan(saturday), at(MONDAY, 9)) == Stretch(
        at(MONDAY + timedelta(days=5), 1), at(MONDAY + timedelta(days=5), 2)
    )
    assert stretch_of(plan(holidays={far}), at(MONDAY, 9)) == Stretch(at(far, 0), at(far + timedelta(days=1), 0))
    assert stretch_of(plan(holidays={MONDAY - timedelta(days=1)}), at(MONDAY, 9)) is None


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.times(), st.times(), st.sets(st.integers(0, 6)))
def test_a_stretch_is_open_exactly_when_a_window_is(now: datetime, begin: time, end: time, days: set[int]) -> None:
    week, moment = plan(Window(days=tuple(days), begin=begin, end=end)), now.replace(tzinfo=UTC)
    stretch = stretch_of(week, moment)
    is_open = stretch is not None and stretch.begin <= moment
    assert is_open == (night_of(week, moment) is not None)
    assert (stretch is None) == (not days)


def test_half_hours_of_a_day() -> None:
    week = plan(WEEKNIGHT, Window(days=(0,), begin=time(12, 15), end=time(13)))
    monday = half_hours(week, MONDAY)
    assert monday[24:27] == [15, 30, 0]
    assert (monday[:12], monday[43:]) == ([0] * 12, [0, 30, 30, 30, 30])
    saturday = half_hours(week, date(2026, 11, 28))
    assert (sum(saturday[:12]), sum(saturday[12:])) == (360, 0)
    assert half_hours(plan(holidays={MONDAY}), MONDAY) == [30] * 48
