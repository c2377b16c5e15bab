"""Low-load windows: local wall times in the site's zone; a window belongs to the day on which it begins."""

from collections.abc import Container
from datetime import date, datetime, timedelta

from core.settings import Settings, Window


def night_of(settings: Settings, now: datetime, holidays: Container[date]) -> date | None:
    """The day to which the open window belongs, None when all are closed. A holiday is open all day."""
    local = now.astimezone(settings.zone)
    if local.date() in holidays:
        return local.date()
    for day in (local.date(), local.date() - timedelta(days=1)):
        if any(_open(window, day, local) for window in settings.windows):
            return day
    return None


def _open(window: Window, day: date, local: datetime) -> bool:
    if day.weekday() not in window.days:
        return False
    end_day = day if window.begin < window.end else day + timedelta(days=1)
    begin = datetime.combine(day, window.begin, local.tzinfo)
    end = datetime.combine(end_day, window.end, local.tzinfo)
    return begin <= local < end
