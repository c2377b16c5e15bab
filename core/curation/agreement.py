"""Agreement of two readers: Cohen's kappa, percent agreement and means of IoU, Dice or millimetres, with intervals.

Kappa: J. Cohen, Educ Psychol Meas 20:37 (1960); with weights: J. Cohen, Psychol Bull 70:213 (1968).
Intervals are percentile bootstraps over patients: the pictures of one patient are drawn together, since they are alike.
The same seed gives the same interval."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import Malformed

Floats = NDArray[np.float64]
Weights = Literal["none", "linear", "quadratic"]
RESAMPLES: Final = 2000
LEVEL: Final = 0.95


@dataclass(frozen=True)
class Figure:
    """A figure and its interval; None where the readings cannot say it (no items, one patient, one category only).

    `resamples` is how many of the bootstrap's draws had a figure: an interval over few of them is worth little."""

    value: float | None
    low: float | None
    high: float | None
    items: int
    patients: int
    resamples: int


def table_of(one: Sequence[Hashable], other: Sequence[Hashable], categories: Sequence[Hashable]) -> Floats:
    """(k, k) counts: rows are what the first reader said, columns the second, in the order of the categories.

    Raises Malformed for readings in unequal number or outside the categories."""
    count = len(categories)
    cells = _cells(one, other, categories)
    return np.bincount(cells, minlength=count * count).reshape(count, count).astype(np.float64)


def kappa(table: Floats, weights: Weights = "none") -> float | None:
    """Cohen's kappa of a (k, k) table of counts; None where chance alone would agree always or nothing was read.

    Weights count a disagreement by the distance of the categories, or its square: their order must mean something."""
    return _one(_kappas(weights, len(table))(table.reshape(1, -1)))


def percent_agreement(table: Floats) -> float | None:
    """How many of 100 readings are the same; None where nothing was read."""
    return _one(_percents(len(table))(table.reshape(1, -1)))


def kappa_figure(
    patients: Sequence[Hashable],
    one: Sequence[Hashable],
    other: Sequence[Hashable],
    categories: Sequence[Hashable],
    *,
    weights: Weights = "none",
    seed: int = 0,
) -> Figure:
    """Kappa with its interval; `patients` names whose each reading is."""
    tables = _by_patient(patients, _one_hot(_cells(one, other, categories), len(categories) ** 2))
    return _figure(tables, len(one), _kappas(weights, len(categories)), seed)


def percent_figure(
    patients: Sequence[Hashable],
    one: Sequence[Hashable],
    other: Sequence[Hashable],
    categories: Sequence[Hashable],
    *,
    seed: int = 0,
) -> Figure:
    """Percent agreement with its interval."""
    tables = _by_patient(patients, _one_hot(_cells(one, other, categories), len(categories) ** 2))
    return _figure(tables, len(one), _percents(len(categories)), seed)


def mean_figure(patients: Sequence[Hashable], values: Sequence[float | None], *, seed: int = 0) -> Figure:
    """Mean of IoU, Dice or distances in mm with its interval; a None (no area, no scale) is left out."""
    if len(patients) != len(values):
        raise Malformed("The readings of two readers do not belong to each other.")
    known = [(patient, value) for patient, value in zip(patients, values, strict=True) if value is not None]
    rows = np.asarray([(value, 1.0) for _, value in known], dtype=np.float64).reshape(-1, 2)
    return _figure(_by_patient([patient for patient, _ in known], rows), len(known), _means, seed)


Measure = Callable[[Floats], Floats]


def _figure(sums: Floats, items: int, measure: Measure, seed: int) -> Figure:
    """`sums` are (patients, m): what each patient adds to the sums that the measure is made of."""
    patients = len(sums)
    value = _one(measure(sums.sum(axis=0, keepdims=True)))
    if patients < 2 or value is None:
        return Figure(value, None, None, items, patients, 0)
    times = np.random.default_rng(seed).multinomial(patients, np.full(patients, 1 / patients), size=RESAMPLES)
    drawn = measure(times @ sums)
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) == 0:
        return Figure(value, None, None, items, patients, 0)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(value, float(low), float(high), items, patients, len(drawn))


def _kappas(weights: Weights, count: int) -> Measure:
    """(n, k * k) tables to (n,) kappas, nan where there is none."""
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count))).astype(np.float64)
    cost = {"none": (apart > 0).astype(np.float64), "linear": apart, "quadratic": apart**2}[weights]

    def measure(flat: Floats) -> Floats:
        tables = flat.reshape(-1, count, count)
        by_chance = tables.sum(axis=2)[:, :, None] * tables.sum(axis=1)[:, None, :]
        total = tables.sum(axis=(1, 2))
        seen, chance = (tables * cost).sum(axis=(1, 2)) * total, (by_chance * cost).sum(axis=(1, 2))
        return 1 - _divided(seen, chance)

    return measure


def _percents(count: int) -> Measure:
    same = np.eye(count).reshape(-1)
    return lambda flat: 100 * _divided(flat @ same, flat.sum(axis=1))


def _means(sums: Floats) -> Floats:
    return _divided(sums[:, 0], sums[:, 1])


def _divided(above: Floats, below: Floats) -> Floats:
    """nan where there is nothing to divide by."""
    parts: Floats = np.divide(above, below, out=np.full(len(above), np.nan), where=below != 0)
    return parts


def _one(values: Floats) -> float | None:
    return float(values[0]) if np.isfinite(values[0]) else None


def _cells(one: Sequence[Hashable], other: Sequence[Hashable], categories: Sequence[Hashable]) -> NDArray[np.int64]:
    """For each reading the cell of the flat table that it falls in."""
    place = {category: index for index, category in enumerate(categories)}
    if len(one) != len(other):
        raise Malformed("The readings of two readers do not belong to each other.")
    if len(place) != len(categories) or not {*one, *other} <= place.keys():
        raise Malformed("A reading is outside the categories.")
    cells = [place[a] * len(place) + place[b] for a, b in zip(one, other, strict=True)]
    return np.asarray(cells, dtype=np.int64)


def _one_hot(cells: NDArray[np.int64], count: int) -> Floats:
    rows = np.zeros((len(cells), count))
    rows[np.arange(len(cells)), cells] = 1
    return rows


def _by_patient(patients: Sequence[Hashable], rows: Floats) -> Floats:
    """(patients, m) sums of the rows of each patient, in the order in which the patients come first."""
    if len(patients) != len(rows):
        raise Malformed("The readings of two readers do not belong to each other.")
    place: dict[Hashable, int] = {}
    owner = [place.setdefault(patient, len(place)) for patient in patients]
    sums = np.zeros((len(place), rows.shape[1]))
    np.add.at(sums, owner, rows)
    return sums
