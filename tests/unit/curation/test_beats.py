"""Beats: what may be marked, and where end diastole and end systole are proposed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.curation.beats import beats_of, frame_at, proposals
from core.errors import Malformed

FRAMES = 60
TIMES = [30.0 * frame for frame in range(FRAMES)]


def test_beats_are_put_in_order_and_may_be_half() -> None:
    assert beats_of([[31, 42], [None, 3], [5, 16], [60, None]], FRAMES) == ((None, 3), (5, 16), (31, 42), (60, None))
    assert beats_of([], FRAMES) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        [[0, 4]],
        [[4, 61]],
        [[12, 4]],
        [[4, 4]],
        [[None, None]],
        [[4]],
        [[4, 8, 9]],
        [[4.5, 9]],
        [[True, 9]],
        ["ab"],
        [7],
        [[4, 12], [10, 20]],
        [[4, None], [4, 12]],
        [[4, 12], [None, 12]],
        [[n, n + 1] for n in range(1, 1003, 2)],
    ],
)
def test_what_is_no_beat_is_refused(wrong: list[Any]) -> None:
    with pytest.raises(Malformed):
        beats_of(wrong, FRAMES)


@given(st.lists(st.tuples(st.integers(1, FRAMES), st.integers(1, FRAMES)), max_size=6))
def test_what_is_taken_never_overlaps(given_beats: list[tuple[int, int]]) -> None:
    try:
        beats = beats_of(given_beats, FRAMES)
    except Malformed:
        return
    flat = [frame for beat in beats for frame in beat]
    assert flat == sorted(set(flat))  # type: ignore[type-var]


def test_the_frame_nearest_to_a_time() -> None:
    assert [frame_at(TIMES, ms) for ms in (0.0, 14.9, 15.0, 15.1, 1770.0)] == [1, 1, 1, 2, 60]
    assert frame_at(TIMES, -1.0) is frame_at(TIMES, 1771.0) is frame_at([], 0.0) is None


def test_the_r_waves_propose_end_diastole_and_the_rate_end_systole() -> None:
    found = proposals(TIMES, [1020.0, 120.0], None, {})
    assert [beat[0] for beat in found] == [5, 35]
    # 67 beats a minute: 506 - 2.1 x 66.7 = 366 ms after the R wave
    assert [beat[1] for beat in found] == [17, 47]


def test_areas_say_better_than_the_rate_where_end_systole_is() -> None:
    areas = {5: 30.0, 12: 20.0, 14: 15.0, 20: 22.0}
    assert proposals(TIMES, [120.0, 1020.0], None, areas)[0] == (5, 14)
    assert proposals(TIMES, [], None, areas) == ((5, 14),)
    assert proposals(TIMES, [], None, {5: 30.0, 12: 20.0}) == ()
    assert proposals(TIMES, [], None, {5: 10.0, 12: 20.0, 14: 30.0}) == ()


@given(
    st.lists(st.floats(-500, 3000), max_size=8),
    st.none() | st.floats(1, 400),
    st.dictionaries(st.integers(1, FRAMES), st.floats(0.1, 100), max_size=8),
)
def test_every_proposal_could_be_taken(waves: list[float], rate: float | None, areas: dict[int, float]) -> None:
    found = proposals(TIMES, waves, rate, areas)
    assert beats_of(found, FRAMES) == found
