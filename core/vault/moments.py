"""When a study began, read from the dates and times that its images carry."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Final

NOON: Final = time(12)
_DAY: Final = re.compile(r"(\d{4})[-.]?(\d{2})[-.]?(\d{2})")
_CLOCK: Final = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d{1,6}))?")


def first_moment(records: Iterable[Mapping[str, object]]) -> datetime | None:
    """The earliest date and time in these records; a lone date counts from noon, where a study is moved to anyhow.

    A record pairs the keys `…date` and `…time` of one name (study_date with study_time, StudyDate with StudyTime);
    values are DA and TM (PS3.5 section 6.2) or ISO. Birth dates are not looked at. The result has no zone: it is the
    scanner's wall clock."""
    whole: list[datetime] = []
    days: list[date] = []
    for record in records:
        for key, value in record.items():
            day = _day(value) if re.search(r"(?i)(?<!birth)(?<!birth_)date$", key) else None
            if day is None:
                continue
            clock = _clock(record.get(key[:-4] + ("Time" if key.endswith("Date") else "time")))
            days.append(day)
            if clock is not None:
                whole.append(datetime.combine(day, clock))
    if whole:
        return min(whole)
    return datetime.combine(min(days), NOON) if days else None


def _day(value: object) -> date | None:
    match = _DAY.fullmatch(str(value).strip())
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def _clock(value: object) -> time | None:
    match = _CLOCK.fullmatch(str(value or "").strip())
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    try:
        return time(int(hour), int(minute or 0), int(second or 0), int((fraction or "0").ljust(6, "0")))
    except ValueError:
        return None
