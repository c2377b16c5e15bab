"""Percentile bootstrap intervals over units: patients are drawn anew, never single images (Efron and Tibshirani 1993). NumPy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
ROUNDS = 1000


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval; None where it is not defined (no positive image, for instance)."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def document(self) -> dict[str, float | None]:
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        return (
            f"{self.value:.3f}"
            if self.low is None or self.high is None
            else f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"
        )


def intervals(
    units: Sequence[str], figures: Callable[[Indices], Mapping[str, float]], rounds: int = ROUNDS, seed: int = 0
) -> dict[str, Figure]:
    """Every figure of all samples, with the 2.5 and 97.5 percentiles over `rounds` draws of as many units.

    units: the unit of each sample. `figures` takes indices of samples, some more than once; NaN is not defined."""
    names, member = np.unique(np.asarray(units, dtype=object).astype(str), return_inverse=True)
    order = np.argsort(member, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(member, minlength=len(names)))[:-1])
    whole = figures(np.arange(len(member)))
    chance = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in whole}
    for _ in range(rounds if len(names) > 1 else 0):
        chosen = np.concatenate([members[unit] for unit in chance.integers(0, len(names), len(names))])
        for name, value in figures(chosen).items():
            drawn[name].append(value)
    return {name: _figure(value, drawn[name]) for name, value in whole.items()}


def _figure(value: float, drawn: Sequence[float]) -> Figure:
    known = [one for one in drawn if np.isfinite(one)]
    if not np.isfinite(value):
        return Figure(None, None, None)
    if len(known) < 2:
        return Figure(float(value), None, None)
    low, high = np.percentile(known, [2.5, 97.5])
    return Figure(float(value), float(low), float(high))
