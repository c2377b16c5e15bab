"""The figures of detection, against cases worked out by hand and against pycocotools."""

import numpy as np
import pytest

from ml.judge import detection as judge
from ml.judge.detected import mean_figures
from ml.judge.detection import Picture

A, B, FAR = (10, 10, 30, 30), (50, 50, 80, 80), (200, 200, 220, 220)


def picture(truth=(), found=(), unit="u", lesions=None, kinds=None, labels=None) -> Picture:
    """`found` is (box, score) pairs; one class unless said."""
    return Picture(
        unit,
        np.asarray(truth, dtype=float).reshape(-1, 4),
        np.asarray(kinds or [0] * len(truth), dtype=np.int64),
        tuple(lesions or [""] * len(truth)),
        np.asarray([box for box, _ in found], dtype=float).reshape(-1, 4),
        np.asarray([score for _, score in found], dtype=float),
        np.asarray(labels or [0] * len(found), dtype=np.int64),
    )


def test_overlap_by_hand() -> None:
    first = np.asarray([[0, 0, 10, 10], [5, 5, 5, 5]], dtype=float)
    second = np.asarray([[5, 0, 15, 10], [20, 20, 30, 30], [5, 5, 5, 5]], dtype=float)
    assert judge.iou(first, second) == pytest.approx(np.asarray([[50 / 150, 0, 0], [0, 0, 0]]))


def test_a_box_is_taken_once_and_by_the_surest() -> None:
    order, taken = judge.match(picture([A], [((11, 10, 31, 30), 0.4), (A, 0.3), (FAR, 0.9)]), "iou50")
    assert order.tolist() == [2, 0, 1]
    assert taken.tolist() == [-1, 0, -1]


def test_the_wrong_class_takes_nothing() -> None:
    _, taken = judge.match(picture([A], [(A, 0.9)], kinds=[1], labels=[0]), "iou30")
    assert taken.tolist() == [-1]


def test_centre_counts_where_overlap_does_not() -> None:
    small = picture([(0, 0, 100, 100)], [((45, 45, 55, 55), 0.9)])
    assert judge.match(small, "centre")[1].tolist() == [0]
    assert judge.match(small, "iou30")[1].tolist() == [-1]


def test_figures_at_a_threshold_by_hand() -> None:
    pictures = [
        picture([A, B], [(A, 0.9), (FAR, 0.8), (B, 0.2)], "p1", lesions=["l1", "l2"]),
        picture([B], [(B, 0.7)], "p1", lesions=["l2"]),
        picture([], [(A, 0.6), (B, 0.1)], "p2"),
        picture([], [], "p3"),
    ]
    pool = judge.pool(pictures, "iou50")
    found = judge.at_threshold(pool, 0.5)
    assert found["precision"] == pytest.approx(2 / 4)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    assert found["lesion_recall"] == 1.0  # l2 is found on its second picture
    assert found["false_per_normal"] == pytest.approx(1 / 2)
    assert found["false_per_image"] == pytest.approx(2 / 4)
    by = judge.images_and_units(pool, 0.5)
    assert by == {"image_sensitivity": 1.0, "image_specificity": 0.5, "unit_sensitivity": 1.0, "unit_specificity": 0.5}


def test_recall_under_a_limit_of_false_boxes() -> None:
    pictures = [picture([A, B], [(A, 0.9), (B, 0.3)]), picture([], [(FAR, 0.5)], "n1"), picture([], [], "n2")]
    pool = judge.pool(pictures, "iou30")
    assert judge.recall_at_false(pool, 0.4) == pytest.approx(0.5)
    assert judge.recall_at_false(pool, 0.5) == 1.0
    assert np.isnan(judge.recall_at_false(judge.pool(pictures[:1], "iou30"), 0.5))


def test_the_threshold_lies_between_scores_and_is_the_best() -> None:
    pool = judge.pool([picture([A, B], [(A, 0.9), (B, 0.7), (FAR, 0.3)])], "iou50")
    assert judge.best_threshold(pool) == pytest.approx(0.5)
    assert judge.best_threshold(judge.pool([picture([A])], "iou50")) == 1.0


def test_a_unit_that_counts_twice_is_two_units() -> None:
    first, second = picture([A], [(A, 0.9), (B, 0.8)], "a"), picture([A, B], [(A, 0.5)], "b")
    twice = judge.pool([first, first, second], "iou50")
    weighted = judge.pool([first, second], "iou50")
    weights = np.asarray([2.0, 1.0])
    for threshold in (0.1, 0.6):
        assert judge.at_threshold(weighted, threshold, weights) == pytest.approx(
            judge.at_threshold(twice, threshold), nan_ok=True
        )
    assert judge.average_precision(weighted, weights) == pytest.approx(judge.average_precision(twice))


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pictures = []
    for number in range(40):
        corner = rng.uniform(0, 200, (rng.integers(0, 4), 2))
        truth = np.hstack([corner, corner + rng.uniform(20, 60, corner.shape)])
        near = truth + rng.normal(0, 5, truth.shape)
        stray = rng.uniform(0, 200, (2, 2))
        boxes = np.vstack([near, np.hstack([stray, stray + 30])])
        kinds = rng.integers(0, 2, len(truth))
        labels = np.concatenate([np.where(rng.random(len(truth)) < 0.9, kinds, 1 - kinds), rng.integers(0, 2, 2)])
        scores = rng.random(len(boxes))
        pictures.append(Picture(f"u{number}", truth, kinds, ("",) * len(truth), boxes, scores, labels))
    ours = judge.average_precision(judge.pool(pictures, "iou50"))
    assert ours == pytest.approx(judge.coco_figures(pictures, 2)["map50"], abs=1e-6)


def test_interval_holds_the_figure_and_draws_units() -> None:
    rng = np.random.default_rng(1)
    pictures = [picture([A], [(A, 0.9)] if rng.random() < 0.7 else [], f"u{n}") for n in range(60)]
    pool = judge.pool(pictures, "iou50")
    low, high = judge.interval(60, lambda weights: judge.at_threshold(pool, 0.5, weights)["recall"], draws=300)
    recall = judge.at_threshold(pool, 0.5)["recall"]
    assert low < recall < high
    assert high - low == pytest.approx(2 * 1.96 * (recall * (1 - recall) / 60) ** 0.5, rel=0.25)


def test_nothing_found_and_nothing_there() -> None:
    empty = judge.pool([picture([], [])], "iou50")
    assert np.isnan(judge.average_precision(empty))
    assert judge.coco_figures([picture([A], [])], 1) == {"map50": 0.0, "map": 0.0}
    with pytest.raises(ValueError, match="class and a lesion"):
        Picture("u", np.zeros((1, 4)), np.zeros(0, np.int64), (), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


def test_the_mean_over_seeds_takes_each_with_its_own_pictures() -> None:
    """A holdout of another seed is of other pictures, some of the same patients; nothing is lost by that."""
    first = [picture([A], [(A, 0.9)], "p1"), picture([B], [], "p2"), picture([], [(A, 0.8)], "p3")]
    second = [picture([A], [(A, 0.9)], "p4"), picture([B], [(B, 0.9)], "p1")]
    both = mean_figures([first, second], 0.5, 200)
    alone = [mean_figures([one], 0.5, 0) for one in (first, second)]
    for name in ("f1", "recall", "precision", "map50"):
        assert both[name]["value"] == pytest.approx(np.mean([one[name]["value"] for one in alone]), abs=1e-4)
        assert both[name]["low"] <= both[name]["value"] <= both[name]["high"]
    assert both["recall"]["value"] == 0.75 and both["recall"]["low"] < both["recall"]["high"]
