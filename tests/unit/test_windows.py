"""Low-load windows: over midnight, on weekends and holidays, and where the clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.services.windows import night_of
from core.settings import Settings, Window

TOKYO = ZoneInfo("Asia/Tokyo")
NIGHT = Window(begin=time(22), end=time(6))
WEEKNIGHT = Window(days=(0, 1, 2, 3, 4), begin=time(22), end=time(6))
MONDAY = date(2026, 11, 23)


def settings(*windows: Window, zone: str = "Asia/Tokyo") -> Settings:
    return Settings(role="site", site_code="KYOTO01", windows=windows, time_zone=zone, _env_file=None)


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
    assert night_of(settings(NIGHT), at(MONDAY, hour, minute), ()) == night


def test_the_days_are_those_of_its_beginning() -> None:
    saturday, sunday = date(2026, 11, 28), date(2026, 11, 29)
    assert night_of(settings(WEEKNIGHT), at(saturday, 3), ()) == saturday - timedelta(days=1)
    assert night_of(settings(WEEKNIGHT), at(saturday, 23), ()) is None
    assert night_of(settings(WEEKNIGHT), at(sunday, 3), ()) is None
    assert night_of(settings(WEEKNIGHT), at(MONDAY, 3), ()) is None  # Sunday's night
    assert night_of(settings(WEEKNIGHT), at(MONDAY, 22), ()) == MONDAY


def test_a_holiday_is_open_all_day_and_ends_at_midnight() -> None:
    for hour in (0, 9, 21):
        assert night_of(settings(NIGHT), at(MONDAY, hour), {MONDAY}) == MONDAY
    tuesday = MONDAY + timedelta(days=1)
    assert night_of(settings(NIGHT), at(tuesday, 9), {MONDAY}) is None
    assert night_of(settings(NIGHT), at(tuesday, 2), {MONDAY}) == MONDAY  # the night that began on it


def test_holidays_are_days_of_the_hospital_not_of_utc() -> None:
    early = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)  # 01:00 on Monday in Tokyo
    assert night_of(settings(), early, {MONDAY}) == MONDAY
    assert night_of(settings(), early, {date(2026, 11, 22)}) is None


def test_a_window_within_a_day() -> None:
    lunch = Window(days=(0,), begin=time(12), end=time(13))
    assert night_of(settings(lunch), at(MONDAY, 12, 30), ()) == MONDAY
    assert night_of(settings(lunch), at(MONDAY, 13), ()) is None
    assert night_of(settings(lunch), at(MONDAY + timedelta(days=1), 12, 30), ()) is None


def test_a_window_that_ends_when_it_begins_is_a_whole_day() -> None:
    always = Window(begin=time(7), end=time(7))
    assert all(night_of(settings(always), at(MONDAY, hour), ()) is not None for hour in range(24))
    assert night_of(settings(always), at(MONDAY, 6, 59), ()) == MONDAY - timedelta(days=1)
    assert night_of(settings(always), at(MONDAY, 7), ()) == MONDAY


def test_several_windows_and_none() -> None:
    lunch = Window(begin=time(12), end=time(13))
    assert night_of(settings(NIGHT, lunch), at(MONDAY, 12), ()) == MONDAY
    assert night_of(settings(NIGHT, lunch), at(MONDAY, 23), ()) == MONDAY
    assert night_of(settings(), at(MONDAY, 23), ()) is None


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 28), 7), (date(2026, 10, 24), 9), (date(2026, 6, 6), 8)],
    ids=["clocks go forward", "clocks go back", "an ordinary night"],
)
def test_wall_times_hold_where_the_clocks_change(day: date, hours: int) -> None:
    """22:00 to 06:00 by the clock on the wall, however long that is."""
    here = settings(NIGHT, zone="Europe/Berlin")
    noon = at(day, 12, zone="Europe/Berlin")
    quarters = [noon + timedelta(minutes=15 * n) for n in range(4 * 26)]
    assert sum(night_of(here, now, ()) == day for now in quarters) == hours * 4


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.times(), st.times(), st.sets(st.integers(0, 6)))
def test_an_open_window_began_today_or_yesterday(now: datetime, begin: time, end: time, days: set[int]) -> None:
    window = Window(days=tuple(days), begin=begin, end=end)
    moment = now.replace(tzinfo=UTC)
    night = night_of(settings(window), moment, ())
    local = moment.astimezone(TOKYO)
    if night is not None:
        assert night.weekday() in days
        assert night in {local.date(), local.date() - timedelta(days=1)}
        assert datetime.combine(night, begin, TOKYO) <= local
