"""How long a person worked on each case, from the moments at which something of theirs was saved.

The time up to a moment belongs to the case of that moment. A pause longer than IDLE is no work: of it nothing counts."""

from collections.abc import Hashable, Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Final, TypeVar

IDLE: Final = timedelta(minutes=3)
Case = TypeVar("Case", bound=Hashable)


def working_time(moments: Iterable[tuple[datetime, Case]], idle: timedelta = IDLE) -> dict[Case, timedelta]:
    """{case: time} of one person's moments, in any order; a case with one moment alone took no time that can be told."""
    ordered = sorted(moments, key=lambda one: one[0])
    found = {case: timedelta() for _, case in ordered}
    for (before, _), (at, case) in pairwise(ordered):
        if at - before <= idle:
            found[case] += at - before
    return found


def middle(times: Iterable[timedelta]) -> timedelta | None:
    """The median of the times that are any; None without one."""
    seconds = [time.total_seconds() for time in times if time]
    return timedelta(seconds=median(seconds)) if seconds else None
