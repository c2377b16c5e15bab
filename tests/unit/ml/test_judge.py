"""Figures of classification equal scikit-learn's; intervals are drawn over patients; what is merged is merged right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as judge

from ml.calibration import abstain_below, softmax, temperature, threshold
from ml.judge.bootstrap import intervals
from ml.judge.classification import Scored, abstention, binary, confusion, figures, judged, many, merged
from ml.judge.report import card, page

CASES = st.integers(0, 10_000), st.integers(4, 60)


def scored(seed: int, n: int, classes: int = 2, draws: int = 1) -> Scored:
    chance = np.random.default_rng(seed)
    probabilities = chance.dirichlet(np.ones(classes), n).round(2)
    targets = np.concatenate([np.arange(classes), chance.integers(0, classes, n - classes)])
    units = tuple(f"P{one}" for one in chance.integers(0, max(n // 2, 1), n))
    images = tuple(f"{number // 2}.png" for number in range(n))
    return Scored(probabilities, targets, (classes - 1,), np.full(n, 0.4), units, images, np.arange(n) % draws)


@settings(deadline=None)
@given(*CASES)
def test_binary_figures_are_those_of_scikit_learn(seed: int, n: int) -> None:
    of = scored(seed, n)
    called = of.scores >= of.thresholds
    ours = binary(of.is_positive, of.scores, called)
    theirs = {
        "accuracy": judge.accuracy_score(of.is_positive, called),
        "sensitivity": judge.recall_score(of.is_positive, called),
        "specificity": judge.recall_score(~of.is_positive, ~called),
        "balanced_accuracy": judge.balanced_accuracy_score(of.is_positive, called),
        "auc": judge.roc_auc_score(of.is_positive, of.scores),
        "f1": judge.f1_score(of.is_positive, called),
        "brier": judge.brier_score_loss(of.is_positive, of.scores),
    }
    if called.any():
        theirs["ppv"] = judge.precision_score(of.is_positive, called)
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-9)
    assert 0 <= ours["ece"] <= 1


@settings(deadline=None)
@given(*CASES)
def test_figures_of_many_classes_are_those_of_scikit_learn(seed: int, n: int) -> None:
    of = scored(seed, n, classes=4)
    said = of.probabilities.argmax(axis=1)
    ours = many(of)
    assert ours["class_accuracy"] == pytest.approx(judge.accuracy_score(of.targets, said), abs=1e-9)
    assert ours["class_recall"] == pytest.approx(judge.balanced_accuracy_score(of.targets, said), abs=1e-9)
    assert ours["class_f1"] == pytest.approx(judge.f1_score(of.targets, said, average="macro"), abs=1e-9)
    assert confusion(of.targets, said, 4) == judge.confusion_matrix(of.targets, said, labels=range(4)).tolist()


def test_calibration_error_by_hand() -> None:
    is_positive, scores = np.array([True, True, False, False]), np.array([0.9, 0.6, 0.4, 0.75])
    found = binary(is_positive, scores, scores >= 0.5)
    # certainties .9 | .6 .6 | .75: right 1 | 1 1 | 0
    assert found["ece"] == pytest.approx((0.1 + 0.8 + 0.75) / 4)
    assert np.isnan(binary(np.array([True]), np.array([0.3]), np.array([False]))["auc"])


def test_a_patient_is_the_mean_of_its_images_and_positive_when_one_is() -> None:
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    of = Scored(p, np.array([0, 1, 0]), (1,), np.full(3, 0.3), ("a", "a", "b"), ("1", "1", "2"), np.zeros(3, np.int64))
    by = merged(of, "patient")
    assert by.scores.tolist() == pytest.approx([0.3, 0.8]) and by.targets.tolist() == [1, 0] and by.units == ("a", "b")
    assert figures(by)["sensitivity"] == 1.0 and merged(of, "lesion") is of


def test_intervals_are_drawn_over_units() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=20), 50)

    def mean(indices: np.ndarray) -> dict[str, float]:
        return {"mean": float(values[indices].mean())}

    together = intervals([f"{n // 50}" for n in range(1000)], mean)["mean"]
    apart = intervals([str(n) for n in range(1000)], mean)["mean"]
    assert together.low is not None and together.high is not None and apart.low is not None and apart.high is not None
    assert together.high - together.low > 4 * (apart.high - apart.low)
    assert together == intervals([f"{n // 50}" for n in range(1000)], mean)["mean"]
    assert intervals(["a", "a"], lambda i: {"x": float("nan")})["x"].value is None


def test_several_trainings_are_averaged() -> None:
    of = scored(1, 40, draws=2)
    each = [figures(of.at(np.flatnonzero(of.draws == draw)))["auc"] for draw in (0, 1)]
    assert figures(of)["auc"] == pytest.approx(np.mean(each))
    assert judged(of, rounds=50)["auc"].low is not None


def test_temperature_cools_what_is_too_sure() -> None:
    chance = np.random.default_rng(0)
    truth = chance.normal(size=(1, 400, 2))
    targets = np.array([chance.choice(2, p=p) for p in softmax(truth, 1.0)])
    assert temperature(truth * 3, targets) == pytest.approx(3, rel=0.35)
    assert 0.25 <= temperature(truth[:, :3] * 100, targets[:3]) <= 4


def test_threshold_separates_and_copes_with_one_class() -> None:
    scores, positive = np.array([0.1, 0.2, 0.3, 0.7, 0.9]), np.array([False, False, False, True, True])
    assert 0.3 < threshold(scores, positive) < 0.7 and threshold(scores, positive & False) == 0.5


def test_abstention_answers_what_is_certain() -> None:
    sure = np.linspace(0.5, 1, 100)
    p = np.stack([1 - sure, sure], axis=1)
    targets = (np.arange(100) >= 20).astype(np.int64)
    below = abstain_below(p, targets)
    assert below is not None and 0.5 < below < 0.7 and abstain_below(p, np.ones(100, np.int64)) is None
    curve = abstention(Scored(p, targets, (1,), np.full(100, 0.4), ("a",) * 100, ("i",) * 100, np.zeros(100, np.int64)))
    assert curve[0]["answered"] == 1 and curve[-1]["accuracy"] > curve[0]["accuracy"]


def test_a_report_escapes_what_comes_from_outside() -> None:
    figure = {"value": 0.5, "low": 0.4, "high": 0.6}
    result = {
        "task": "classify",
        "data": {"name": "<script>x</script>", "hash": "f"},
        "per": {"image": {"n": 3, "units": 2, "metrics": {"auc": figure}}},
        "breakdown": {"vendor": {"<b>": {"n": 3, "metrics": {"auc": figure}}}},
    }
    text = page(result, [])
    assert "<script" not in text and "<b>" not in text and "0.400-0.600" in text and "no targets" in text
    assert "| auc | 0.500 | 0.400-0.600 |" in card(result)
