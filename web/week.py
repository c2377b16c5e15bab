"""The week of low-load windows as a page draws and says it: seven days from today, half hour by half hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from babel.dates import format_date, get_day_names

from core.services.windows import HALF_HOUR, Plan, half_hours
from core.settings import Window
from web.texts import Language, text

DAYS: Final = tuple(range(7))  # Monday is 0
_GROUPS: Final[dict[tuple[int, ...], str]] = {
    DAYS: "schedule.every_day",
    (0, 1, 2, 3, 4): "schedule.weekdays",
    (5, 6): "schedule.weekend",
}


@dataclass(frozen=True)
class Cell:
    """Half an hour. `look` is how it is drawn: open, part or nothing; an edge rounds the block there."""

    look: str
    edge: str
    is_now: bool


@dataclass(frozen=True)
class Row:
    name: str
    is_today: bool
    is_weekend: bool
    holiday: str | None
    cells: Sequence[Cell]


def rows(lang: Language, plan: Plan, now: datetime, holidays: Mapping[date, str]) -> list[Row]:
    """Today and the six days after it; a holiday among them is shown open all day, as it will be."""
    local = now.astimezone(plan.zone)
    days = [local.date() + timedelta(days=number) for number in range(7)]
    halves = [half_hours(plan, day) for day in days]
    at = local.hour * 2 + local.minute // HALF_HOUR
    return [
        Row(
            format_date(day, "M/d (E)" if lang == "ja" else "EEE d MMM", locale=lang),
            number == 0,
            day.weekday() > 4,
            holidays.get(day),
            [_cell(open_minutes, place, number == 0 and place == at) for place in range(48)],
        )
        for number, (day, open_minutes) in enumerate(zip(days, halves, strict=True))
    ]


def _cell(minutes: Sequence[int], place: int, is_now: bool) -> Cell:
    look = "open" if minutes[place] == HALF_HOUR else "part" if minutes[place] else ""
    begins = place == 0 or not minutes[place - 1]
    ends = place == len(minutes) - 1 or not minutes[place + 1]
    return Cell(look, " ".join(["first"] * begins + ["last"] * ends) if look else "", is_now)


def day_names(lang: Language) -> list[str]:
    """Monday first, short."""
    names = get_day_names("abbreviated", locale=lang)
    return [names[day] for day in DAYS]


def days_in_words(lang: Language, days: Sequence[int]) -> str:
    """Every day; on weekdays; Mon, Wed."""
    if key := _GROUPS.get(tuple(sorted(days))):
        return text(lang, key)
    names = day_names(lang)
    return text(lang, "schedule.day_comma").join(names[day] for day in sorted(days))


def hours_in_words(lang: Language, window: Window) -> str:
    """22:00-06:00 of the next day."""
    if window.begin == window.end:
        return text(lang, "schedule.whole_day", begin=clock(window.begin))
    if window.end == time():
        return f"{clock(window.begin)}{text(lang, 'schedule.range')}24:00"
    if window.begin < window.end:
        return f"{clock(window.begin)}{text(lang, 'schedule.range')}{clock(window.end)}"
    return text(lang, "schedule.hours_overnight", begin=clock(window.begin), end=clock(window.end))


def clock(at: time) -> str:
    return f"{at:%H:%M}"


def length(window: Window) -> float:
    """Hours by the clock on the wall."""
    begin, end = (moment.hour + moment.minute / 60 for moment in (window.begin, window.end))
    return end - begin if begin < end else end - begin + 24
