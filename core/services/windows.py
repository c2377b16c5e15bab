"""Low-load windows: local wall times in the site's zone; a window belongs to the day on which it begins."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from core.settings import Window

DAY: Final = timedelta(days=1)
AHEAD: Final = 8  # days in which every window of a week begins at least once
HALF_HOUR: Final = 30


@dataclass(frozen=True)
class Plan:
    """When the PACS may be asked, and how much of it: what the database says, or the settings until it says something."""

    windows: tuple[Window, ...]
    zone: ZoneInfo
    holidays: frozenset[date] = frozenset()
    at_once: int = 2
    per_second: float = 200
    nights: int = 3
    version: int = 0  # 0: nobody has saved it yet


@dataclass(frozen=True)
class Stretch:
    """A time without a gap in which retrieval may run, in UTC."""

    begin: datetime
    end: datetime


def night_of(plan: Plan, now: datetime) -> date | None:
    """The day to which the open window belongs, None when all are closed. A holiday is open all day."""
    local = now.astimezone(plan.zone)
    if local.date() in plan.holidays:
        return local.date()
    for day in (local.date(), local.date() - DAY):
        if any(_open(window, day, local) for window in plan.windows):
            return day
    return None


def _open(window: Window, day: date, local: datetime) -> bool:
    if day.weekday() not in window.days:
        return False
    begin, end = _ends(window, day)
    return begin <= local.replace(tzinfo=None) < end


def _ends(window: Window, day: date) -> tuple[datetime, datetime]:
    """Wall times of the window that begins on `day`; one that ends when it begins is a whole day."""
    end_day = day if window.begin < window.end else day + DAY
    return datetime.combine(day, window.begin), datetime.combine(end_day, window.end)


def stretch_of(plan: Plan, now: datetime) -> Stretch | None:
    """The open stretch that holds `now`, else the next one; None when nothing will open.

    What is open for longer than the days ahead ends with them."""
    return next((stretch for stretch in _stretches(plan, now) if now < stretch.end), None)


def _stretches(plan: Plan, now: datetime) -> Iterator[Stretch]:
    """Open stretches from yesterday on, in their order, those that touch made one."""
    today = now.astimezone(plan.zone).date()
    near = [today + number * DAY for number in range(-1, AHEAD)]
    walls = [_ends(window, day) for day in near for window in plan.windows if day.weekday() in window.days]
    walls += [(datetime.combine(day, time()), datetime.combine(day + DAY, time())) for day in plan.holidays]
    found = sorted((_utc(begin, plan.zone), _utc(end, plan.zone)) for begin, end in walls)
    begin, end = found[0] if found else (now, now)
    for next_begin, next_end in found[1:]:
        if next_begin > end:
            yield Stretch(begin, end)
            begin, end = next_begin, next_end
        end = max(end, next_end)
    if found:
        yield Stretch(begin, end)


def _utc(wall: datetime, zone: ZoneInfo) -> datetime:
    return wall.replace(tzinfo=zone).astimezone(UTC)


def half_hours(plan: Plan, day: date) -> list[int]:
    """For each of the 48 half hours of a day on the wall clock: how many of its minutes are open."""
    if day in plan.holidays:
        return [HALF_HOUR] * 48
    midnight = datetime.combine(day, time())
    minutes = [False] * (24 * 60)
    for begun in (day - DAY, day):
        for window in plan.windows:
            if begun.weekday() in window.days:
                begin, end = (int((wall - midnight).total_seconds() // 60) for wall in _ends(window, begun))
                for minute in range(max(0, begin), min(len(minutes), end)):
                    minutes[minute] = True
    return [sum(minutes[first : first + HALF_HOUR]) for first in range(0, len(minutes), HALF_HOUR)]
