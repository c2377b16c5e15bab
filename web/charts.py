"""Bars as the server draws them: heights and widths in the units of an SVG; the page sets the table beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Bar:
    """One upright bar in a chart of height 100, its foot at y = 100."""

    x: float
    y: float
    width: float
    height: float
    day: date
    count: int


def day_bars(days: Sequence[tuple[date, int]], width: float = 20, gap: float = 4) -> list[Bar]:
    """A bar for each day; the tallest fills the chart, and a day with nothing has none."""
    most = max((count for _, count in days), default=0) or 1
    return [
        Bar(place * (width + gap), 100 - 100 * count / most, width, 100 * count / most, day, count)
        for place, (day, count) in enumerate(days)
    ]
