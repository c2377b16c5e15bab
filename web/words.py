"""Numbers, sizes, moments and ages as people of a language write them (Babel, CLDR)."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal

from core.clock import now_utc
from web.texts import Language

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def number(lang: Language, value: float, places: int = 0) -> str:
    """1234.5 -> 1,234.5, with at most so many decimal places."""
    return format_decimal(value, format="#,##0" + ("." + "#" * places if places else ""), locale=lang)


def size(lang: Language, count: int) -> str:
    """Bytes in the unit that keeps the number short (powers of 1000)."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{number(lang, value, 1 if unit and value < 100 else 0)} {_UNITS[unit]}"


def moment(lang: Language, at: datetime | None, zone: tzinfo = UTC) -> str:
    """A point in time at the node's clock, to the minute; an empty string for none."""
    pattern = "y/MM/dd HH:mm" if lang == "ja" else "y-MM-dd HH:mm"
    return format_datetime(at.astimezone(zone), pattern, locale=lang) if at else ""


def day(lang: Language, at: date) -> str:
    """A day with its weekday."""
    return format_date(at, "y年M月d日 (E)" if lang == "ja" else "EEE, d MMM y", locale=lang)


def ago(lang: Language, at: datetime | None, now: datetime | None = None) -> str:
    """How long ago, or in how long: 3 hours ago."""
    if at is None:
        return ""
    return format_timedelta(at - (now or now_utc()), add_direction=True, locale=lang, threshold=1.0)


def age(lang: Language, since: datetime, now: datetime | None = None) -> str:
    """How old: 3 days."""
    return format_timedelta(max((now or now_utc()) - since, timedelta()), locale=lang, threshold=1.0, format="short")
