"""Tracks over frames: assignment, motion, the two stages, smoothed verdicts, and the figures of a cine."""

from dataclasses import dataclass, field
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.judge.cine import TrueLesion, cine_figures
from ml.tracking import Motion, Settings, Tracked, Tracker, assignment, overlap


@dataclass(frozen=True)
class Seen:
    box: tuple[float, float, float, float]
    score: float = 0.9
    probabilities: dict[str, float] = field(default_factory=lambda: {"cyst": 0.9, "solid": 0.1})


def along(frame: int, speed: float = 3.0) -> tuple[float, float, float, float]:
    return 20 + speed * frame, 40.0, 30.0, 24.0


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 10_000))
def test_assignment_is_the_cheapest_of_all(rows: int, columns: int, seed: int) -> None:
    cost = np.random.default_rng(seed).integers(0, 6, (rows, columns)).astype(float)
    pairs = assignment(cost)
    short = cost if rows <= columns else cost.T
    best = min(sum(short[r, c] for r, c in enumerate(p)) for p in permutations(range(max(rows, columns)), len(short)))
    assert len(pairs) == min(rows, columns)
    assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
    assert sum(cost[r, c] for r, c in pairs) == pytest.approx(best)


def test_nothing_is_assigned_to_nothing() -> None:
    assert assignment(np.zeros((0, 3))) == assignment(np.zeros((3, 0))) == []


def test_the_filter_learns_the_speed() -> None:
    motion = Motion(along(0))
    for frame in range(1, 15):
        motion.predict()
        motion.correct(along(frame))
    motion.predict()
    assert motion.box == pytest.approx(along(15), abs=1.0)


def test_a_lesion_keeps_its_number_through_a_gap_and_faint_frames() -> None:
    tracker = Tracker(Settings(confirm=2))
    numbers = set()
    for frame in range(30):
        found = [] if 10 <= frame < 15 else [Seen(along(frame), 0.2 if 18 <= frame < 24 else 0.9)]
        shown = tracker.frame(found)
        numbers |= {one.number for one in shown}
        assert len(shown) == (frame >= 1)
        assert all(one.seen == bool(found) for one in shown)
    assert numbers == {1}


def test_frames_that_passed_unseen_move_a_lesion_on() -> None:
    tracker = Tracker(Settings(confirm=2))
    for frame in range(12):
        tracker.frame([Seen(along(frame))])
    (one,) = tracker.frame([], passed=6)
    assert one.age == 17 and not one.seen and one.box == pytest.approx(along(17), abs=2.5)
    (again,) = tracker.frame([Seen(along(18))])
    assert again.number == 1 and again.seen


def test_faint_boxes_begin_nothing_and_one_frame_shows_nothing() -> None:
    tracker = Tracker()
    assert not any(tracker.frame([Seen(along(0), 0.3)]) for _ in range(20))
    tracker = Tracker()
    assert not any(tracker.frame([Seen(along(0))] if frame == 3 else []) for frame in range(20))


def test_two_lesions_do_not_swap() -> None:
    tracker = Tracker(Settings(confirm=1))
    for frame in range(20):
        shown = tracker.frame([Seen((100 - frame, 10, 20, 20)), Seen((20 + frame, 60, 20, 20))][:: 1 - 2 * (frame % 2)])
    by_height = sorted(shown, key=lambda one: one.box[1])
    start = Tracker(Settings(confirm=1)).frame([Seen((100, 10, 20, 20)), Seen((20, 60, 20, 20))])
    assert [one.number for one in by_height] == [one.number for one in start]


def test_a_track_is_forgotten() -> None:
    tracker = Tracker(Settings(confirm=1, patience=4))
    tracker.frame([Seen(along(0))])
    assert [len(tracker.frame([])) for _ in range(6)] == [1, 1, 1, 1, 0, 0]


def test_the_verdict_outlives_a_wrong_frame_and_follows_a_lasting_change() -> None:
    tracker = Tracker(Settings(confirm=1, half_life=6))
    other = {"cyst": 0.2, "solid": 0.8}
    labels = []
    for frame in range(40):
        wrong = frame in {5, 9} or frame >= 20
        labels.append(tracker.frame([Seen(along(0), 0.9, other if wrong else {"cyst": 0.9, "solid": 0.1})])[0].label)
    assert set(labels[:20]) == {"cyst"}
    assert labels[-1] == "solid"
    assert sum(a != b for a, b in pairwise(labels)) == 1


def shown(label: str, box: tuple[float, float, float, float], number: int = 1) -> list[Tracked]:
    return [Tracked(box, number, 0.9, label, {label: 0.9}, 3, True)]


def test_figures_of_a_cine_by_hand() -> None:
    box, far = (10.0, 10.0, 20.0, 20.0), (100.0, 100.0, 20.0, 20.0)
    truth = [TrueLesion("cyst", (None, box, box, box, box, box)), TrueLesion("solid", (far,) + (None,) * 5)]
    frames = [[], [], shown("solid", box), shown("cyst", box), shown("cyst", far, 2), shown("cyst", box)]
    told = cine_figures(truth, frames, fps=2.0)
    assert (told.lesions, told.found, told.right, told.false_alarms) == (2, 1, 1, 1)
    assert told.switches == 3  # solid to cyst, to nothing, to cyst
    assert told.latencies == (2,)
    assert told.told() == {
        "lesion_sensitivity": 0.5,
        "right_verdict": 0.5,
        "frames_covered": 0.5,
        "false_alarms_per_minute": 20.0,
        "switches_per_lesion_second": 1.0,
        "median_frames_to_right": 2.0,
    }
    assert (told + told).told()["lesion_sensitivity"] == 0.5


def test_overlap_of_boxes_by_hand() -> None:
    assert overlap([(0, 0, 10, 10)], [(5, 0, 10, 10), (10, 0, 5, 5)]) == pytest.approx(np.asarray([[1 / 3, 0.0]]))
