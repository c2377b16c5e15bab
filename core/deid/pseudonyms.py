"""New identities for one patient: UIDs, dates and times that keep their relations; undone with the secret alone."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Protocol, Self

from pydicom._uid_dict import UID_dictionary

FIRST_TIME: Final = timedelta(hours=12)
_DAY: Final = timedelta(days=1)
_DATE = re.compile(r"(\d{4})[-.]?(\d{2})[-.]?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.(\d{1,6}))?)?)?")
_DATE_TIME = re.compile(r"(\d{8})(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?(?:[+-]\d{4})?")


class Link(Protocol):
    """What the linkage row gives, see `core.vault`."""

    @property
    def research_id(self) -> object: ...
    @property
    def uid_secret(self) -> bytes: ...
    @property
    def date_offset_days(self) -> int: ...


def is_standard_uid(uid: str) -> bool:
    """Whether DICOM itself registered this UID; a made-up one under its root does not count."""
    return uid in UID_dictionary


@dataclass(frozen=True, repr=False)
class Pseudonyms:
    """`date_offset_days`: whole weeks, -1095 to -30. `study_start`: when the study began by the scanner's wall clock.

    A study's start becomes 12:00:00 of its shifted day and everything else keeps its distance to it, over midnight too.
    A time without a date wraps at midnight: it still shows its distance to the start alone, never the hour of the day.
    The secret never appears in a repr. Raises ValueError for an offset, ID or secret that is not as above."""

    research_id: str
    uid_secret: bytes
    date_offset_days: int
    study_start: datetime | None = None

    def __post_init__(self) -> None:
        if not -1095 <= self.date_offset_days <= -30 or self.date_offset_days % 7:
            raise ValueError("The date offset must be whole weeks between -1095 and -30 days.")
        if len(self.uid_secret) < 16:
            raise ValueError("The UID secret is too short.")
        if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", self.research_id):
            raise ValueError("The research ID has a form that is not allowed.")

    @classmethod
    def of(cls, link: Link, study_start: datetime | None) -> Self:
        return cls(str(link.research_id), link.uid_secret, link.date_offset_days, study_start)

    def uid(self, old: str, revision: int = 0) -> str:
        """`2.25.` + 128 bits of HMAC-SHA-256(secret, old UID and pixel revision); standard UIDs stay as they are.

        The number is a UUID of version 8 (RFC 9562), as PS3.5 B.2 wants it derived from one."""
        if is_standard_uid(old):
            return old
        message = f"sonobank-uid-1\0{old}\0{revision}".encode()
        number = int.from_bytes(hmac.new(self.uid_secret, message, hashlib.sha256).digest()[:16], "big")
        number = number & ~(0xF << 76) | 0x8 << 76
        return f"2.25.{number & ~(0x3 << 62) | 0x2 << 62}"

    @property
    def _shift(self) -> timedelta:
        """What is added to every moment of the study."""
        clock = timedelta()
        if self.study_start is not None:
            clock = FIRST_TIME - (self.study_start - datetime.combine(self.study_start.date(), datetime.min.time()))
        return timedelta(days=self.date_offset_days) + clock

    def moved_date(self, old: str, time: str | None = None) -> str | None:
        """A DA value, moved with its own time where it has one; None for a value that is no date."""
        day = _date(old)
        if day is None:
            return None
        clock = _clock(time or "")
        if clock is None or self.study_start is None:
            return _text(day + timedelta(days=self.date_offset_days))
        return _text((datetime.combine(day, datetime.min.time()) + clock + self._shift).date())

    def moved_time(self, old: str) -> str | None:
        """A TM value; fractions stay. None for a value that is no time, or when the study's start is not known.

        Without a start there is nothing to keep a distance to, and an unmoved time of day would leave."""
        clock = _clock(old)
        if clock is None or self.study_start is None:
            return None
        moved = (clock + self._shift) % _DAY
        whole, fraction = divmod(moved, timedelta(seconds=1))
        hours, seconds = divmod(whole, 3600)
        text = f"{hours:02d}{seconds // 60:02d}{seconds % 60:02d}"
        return f"{text}.{fraction.microseconds:06d}" if fraction else text

    def moved_date_time(self, old: str) -> str | None:
        """A DT value without its offset from UTC, which would name the country; None when it is not at least a day."""
        match = _DATE_TIME.fullmatch(old.strip(" \0"))
        if match is None:
            return None
        day = self.moved_date(match[1], match[2])
        time = self.moved_time(match[2]) if match[2] else None
        return None if day is None else day + (time or "")


def _date(text: str) -> date | None:
    match = _DATE.fullmatch(text.strip(" \0"))
    try:
        found = date(*map(int, match.groups())) if match else None
    except ValueError:
        return None
    # A placeholder such as 00010101 cannot be moved further back.
    return found if found is not None and found.year >= 1900 else None


def _text(day: date) -> str:
    return day.strftime("%Y%m%d")


def _clock(text: str) -> timedelta | None:
    match = _TIME.fullmatch(text.strip(" \0"))
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    return timedelta(
        hours=hours, minutes=minutes, seconds=min(seconds, 59), microseconds=int((match[4] or "0").ljust(6, "0"))
    )
