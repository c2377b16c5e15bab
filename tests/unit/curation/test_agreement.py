"""Agreement: scikit-learn's figures, and intervals that are of patients and the same for a seed."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.curation.agreement import (
    Weights,
    kappa,
    kappa_figure,
    mean_figure,
    percent_agreement,
    percent_figure,
    table_of,
)
from core.errors import Malformed

judge: Any = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed: it judges the agreement")
GRADES = ("TH-A", "TH-B", "TH-C", "TH-D", "TH-E")
WEIGHTS: tuple[Weights, ...] = ("none", "linear", "quadratic")
readings = st.lists(st.tuples(st.sampled_from(GRADES), st.sampled_from(GRADES)), min_size=1, max_size=80)


@pytest.mark.parametrize("weights", WEIGHTS)
@settings(max_examples=25, deadline=None)
@given(pairs=readings)
def test_kappa_is_scikit_learns(weights: Weights, pairs: list[tuple[str, str]]) -> None:
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns and says nan where there is no kappa
        expected = judge.cohen_kappa_score(one, other, labels=GRADES, weights=None if weights == "none" else weights)
    found = kappa(table_of(one, other, GRADES), weights)
    assert (found is None and math.isnan(expected)) or abs(found - expected) < 1e-9  # type: ignore[operator]
    same = judge.accuracy_score(one, other)
    assert abs((percent_agreement(table_of(one, other, GRADES)) or 0) - 100 * same) < 1e-9
    assert np.array_equal(table_of(one, other, GRADES), judge.confusion_matrix(one, other, labels=GRADES))


def test_large_random_tables() -> None:
    rng = np.random.default_rng(8)
    for weights in WEIGHTS:
        one = rng.integers(0, 5, 5000)
        other = np.where(rng.random(5000) < 0.7, one, rng.integers(0, 5, 5000))
        expected = judge.cohen_kappa_score(one, other, weights=None if weights == "none" else weights)
        assert abs((kappa(table_of(list(one), list(other), range(5)), weights) or 0) - expected) < 1e-9


def test_a_kappa_from_a_book() -> None:
    """20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: 70 % agree, 50 % by chance, kappa 0.4."""
    table = np.asarray([[20.0, 5.0], [10.0, 15.0]])
    assert kappa(table) == pytest.approx(0.4) and percent_agreement(table) == pytest.approx(70)


def test_what_cannot_be_said_is_none() -> None:
    empty = table_of([], [], GRADES)
    assert kappa(empty) is None and percent_agreement(empty) is None
    assert kappa(table_of(["TH-A"] * 5, ["TH-A"] * 5, GRADES)) is None
    figure = kappa_figure([1, 1, 1], ["TH-A", "TH-B", "TH-A"], ["TH-A", "TH-B", "TH-B"], GRADES)
    assert figure.value is not None and figure.low is None and figure.patients == 1
    assert mean_figure([], []).value is None and mean_figure([1, 2], [None, None]).value is None


@pytest.mark.parametrize(
    ("one", "other"), [(["TH-A"], []), (["TH-A"], ["TH-Z"])], ids=["unequal numbers", "outside the categories"]
)
def test_wrong_readings_are_refused(one: list[str], other: list[str]) -> None:
    with pytest.raises(Malformed):
        table_of(one, other, GRADES)
    with pytest.raises(Malformed):
        kappa_figure(range(len(one)), one, other, GRADES)
    with pytest.raises(Malformed):
        mean_figure([1, 2], [0.5])


def drawn(seed: int, patients: int, each: int) -> tuple[list[int], list[str], list[str]]:
    """Readings of patients whose pictures are all read alike."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, patients)
    said = np.where(rng.random(patients) < 0.75, truth, rng.integers(0, 5, patients))
    whose = np.repeat(np.arange(patients), each)
    return list(whose), [GRADES[i] for i in truth[whose]], [GRADES[i] for i in said[whose]]


def test_an_interval_holds_its_figure_and_its_seed_decides_it() -> None:
    given = drawn(4, 60, 1)
    for weights in WEIGHTS:
        figure = kappa_figure(*given, GRADES, weights=weights, seed=7)
        assert figure == kappa_figure(*given, GRADES, weights=weights, seed=7)
        assert figure.low != kappa_figure(*given, GRADES, weights=weights, seed=8).low
        assert figure.low is not None and figure.value is not None and figure.high is not None
        assert figure.low < figure.value < figure.high and figure.resamples == 2000
        assert figure.value == kappa(table_of(*given[1:], GRADES), weights)
    percent = percent_figure(*given, GRADES)
    assert percent.low is not None and percent.high is not None and 0 <= percent.low < percent.high <= 100


def test_ten_pictures_of_a_patient_are_not_ten_patients() -> None:
    """The interval is as wide as with one picture each, where a bootstrap of pictures would make it narrower."""

    def width(each: int, by_picture: bool = False) -> float:
        whose, one, other = drawn(4, 60, each)
        figure = kappa_figure(range(len(one)) if by_picture else whose, one, other, GRADES, seed=1)
        assert figure.low is not None and figure.high is not None
        return figure.high - figure.low

    assert width(10) == pytest.approx(width(1), rel=1e-9)
    assert width(10, by_picture=True) < 0.5 * width(10)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Means of 40 patients drawn around 3: a 95 % interval misses in 1 to 11 of 100."""
    rng = np.random.default_rng(11)
    figures = [mean_figure(range(40), list(rng.normal(3, 1, 40)), seed=n) for n in range(100)]
    missed = [f for f in figures if f.low is None or f.high is None or not f.low <= 3 <= f.high]
    assert 0.01 <= len(missed) / len(figures) <= 0.11


def test_a_mean_leaves_out_what_has_no_value() -> None:
    figure = mean_figure(["a", "a", "b", "c"], [0.5, None, 0.7, 0.9])
    assert figure.value == pytest.approx(0.7) and figure.items == 3 and figure.patients == 3
