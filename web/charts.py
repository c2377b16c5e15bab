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


@dataclass(frozen=True)
class Curve:
    """A line over epochs in a chart of width 300 and height 100: `points` as SVG writes them, `dots` its (x, y)."""

    name: str
    points: str
    dots: tuple[tuple[float, float], ...]
    last: float


@dataclass(frozen=True)
class Curves:
    """Lines on one scale from `low` (y = 100) to `high` (y = 0); `most` epochs fill the width."""

    lines: tuple[Curve, ...]
    low: float
    high: float
    most: int


def curves(named: Sequence[tuple[str, Sequence[tuple[int, float]]]], most: int, top: float | None = None) -> Curves:
    """Lines of (epoch from 1, value); the scale begins at 0 and ends at the greatest value, or at `top`."""
    high = top or max((value for _, line in named for _, value in line), default=1.0) or 1.0
    found = []
    for name, line in named:
        dots = tuple(
            (round(300 * epoch / max(most, 1), 1), round(100 - 100 * min(max(value / high, 0.0), 1.0), 1))
            for epoch, value in line
        )
        if dots:
            found.append(Curve(name, " ".join(f"{x},{y}" for x, y in dots), dots, line[-1][1]))
    return Curves(tuple(found), 0.0, high, most)
