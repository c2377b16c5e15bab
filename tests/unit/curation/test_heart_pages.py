"""What the heart panel works out by itself: the smooth contour as the server has it, and beats marked and joined."""

import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.curation.beats import beats_of
from core.curation.shapes import MOST_POINTS, Points, open_spline, signed_area
from core.curation.volumes import plane_of

ROOT: Final = Path(__file__).parents[3]
ARC: Final[Points] = tuple((100 + 60 * math.cos(turn / 4), 100 - 90 * math.sin(turn / 4)) for turn in range(13))
SPLINES: Final[list[Points]] = [
    ARC,
    ((0.0, 0.0), (10.0, 0.0)),
    ((0.0, 0.0), (0.0, 0.0), (10.0, 5.0), (10.0, 5.0), (3.0, 40.5)),
    tuple((float(n), float(n * n % 97)) for n in range(400)),
    ((4.0, 2.0),),
]
# beats, the frame and what it is marked as (0 end diastole, 1 end systole), and the beats then
MARKS: Final[list[tuple[list[Any], int, int, list[Any]]]] = [
    ([], 4, 0, [[4, None]]),
    ([], 14, 1, [[None, 14]]),
    ([[4, None]], 14, 1, [[4, 14]]),
    ([[None, 14]], 4, 0, [[4, 14]]),
    ([[4, 14]], 4, 0, [[None, 14]]),
    ([[4, 14]], 14, 1, [[4, None]]),
    ([[4, 14]], 15, 1, [[4, 15]]),
    ([[4, 14]], 2, 0, [[2, 14]]),
    ([[4, 14]], 32, 0, [[4, 14], [32, None]]),
    ([[4, 14], [32, 42]], 20, 1, [[4, 14], [None, 20], [32, 42]]),
    ([[4, 14]], 4, 1, [[None, 4], [None, 14]]),
    ([[4, 5]], 7, 0, [[4, 5], [7, None]]),
]
JOINS: Final[list[tuple[list[Any], list[Any], list[Any]]]] = [
    ([], [[4, 15], [32, 43]], [[4, 15], [32, 43]]),
    ([[5, None]], [[4, 15], [32, 43]], [[5, 15], [32, 43]]),
    ([[4, 14], [32, 42]], [[4, 15], [32, 43]], [[4, 14], [32, 42]]),
    ([[4, 14]], [[4, 15]], [[4, 14]]),
]


@pytest.fixture(scope="module")
def by_node(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the scripts of the pages run in it")
    folder = tmp_path_factory.mktemp("heart")
    modules = [folder / f"{name}.mjs" for name in ("tracks", "heart-beats")]
    for module in modules:
        module.write_bytes((ROOT / "web" / "static" / f"{module.stem}.js").read_bytes())
    asked = {
        "splines": SPLINES,
        "marks": [case[:3] for case in MARKS],
        "joins": [case[:2] for case in JOINS],
    }
    command = ["node", ROOT / "tests" / "node" / "heart.mjs", *modules]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_the_page_draws_the_contour_that_the_server_measures(by_node: dict[str, Any]) -> None:
    for points, drawn in zip(SPLINES, by_node["splines"], strict=True):
        here = open_spline(points)
        assert len(here) == len(drawn)
        for one, other in zip(here, drawn, strict=True):
            assert other == pytest.approx(one, abs=1e-9)


def test_frames_are_marked_moved_and_unmarked(by_node: dict[str, Any]) -> None:
    for (beats, frame, kind, expected), found in zip(MARKS, by_node["marks"], strict=True):
        assert found == expected, (beats, frame, kind)
        assert [list(beat) for beat in beats_of(found, 60)] == found


def test_proposals_join_what_is_marked(by_node: dict[str, Any]) -> None:
    for (beats, proposals, expected), found in zip(JOINS, by_node["joins"], strict=True):
        assert found == expected, (beats, proposals)


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 700)), min_size=2, max_size=MOST_POINTS))
def test_the_smooth_line_runs_through_its_points_and_stays_small(given_points: list[tuple[int, int]]) -> None:
    points = tuple((float(x), float(y)) for x, y in given_points)
    dense = open_spline(points)
    assert dense[0] == points[0] and dense[-1] == points[-1]
    assert len(dense) <= 2 * MOST_POINTS
    steps = (len(dense) - 1) // (len(points) - 1)
    assert dense[::steps] == points


def test_thirteen_points_on_an_ellipse_hold_its_area() -> None:
    half = math.pi * 60 * 90 / 2
    turned = tuple((100 + 60 * math.cos(n * math.pi / 12), 100 - 90 * math.sin(n * math.pi / 12)) for n in range(13))
    assert abs(signed_area(turned)) < 0.99 * half
    assert abs(signed_area(open_spline(turned))) == pytest.approx(half, rel=2e-3)
    assert plane_of(open_spline(turned), (1.0, 1.0)).length_mm == pytest.approx(90, rel=1e-3)
