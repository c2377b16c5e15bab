"""The pure modules of the ROI editor: they give what the vectors say, keep every shape in its frame, and measure as Python does."""

import json
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from core.curation.shapes import Shape, box_of
from core.models.curation import Roi
from core.models.sitecase import SiteImage
from core.services.rois import measures
from tests.tracks import VECTORS
from web.assets import FOLDER

CASES: list[dict[str, Any]] = json.loads((VECTORS / "editor.json").read_text("utf-8"))
SIZE = (640, 480)
T = TypeVar("T")
Answers = Callable[[list[dict[str, Any]]], list[Any]]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What the modules of web/static answer; a package.json beside them says that they are modules."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the editor of the pages runs in it")
    folder = tmp_path_factory.mktemp("editor")
    (folder / "package.json").write_text('{"type": "module"}')
    for name in ("tracks", "shape-edits", "shape-paths", "track-edits", "measures", "look-table"):
        shutil.copy(FOLDER / f"{name}.js", folder / f"{name}.js")

    def answers(calls: list[dict[str, Any]]) -> list[Any]:
        command = ["node", str(VECTORS.parent / "node" / "editor.mjs"), str(folder)]
        done = subprocess.run(command, input=json.dumps(calls), capture_output=True, text=True, check=True)
        found: list[Any] = json.loads(done.stdout)
        return found

    return answers


def test_the_editor_gives_what_the_vectors_say(node: Answers) -> None:
    said = node(CASES)
    wrong = [(case["name"], got) for case, got in zip(CASES, said, strict=True) if got != case["expected"]]
    assert wrong == []


def made(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """So many examples, the same in every run: one process of node answers for all."""
    found: list[T] = []

    @seed(7)
    @settings(max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy)
    def take(one: T) -> None:
        found.append(one)

    take()
    return found


in_frame = st.tuples(st.integers(0, SIZE[0] * 10), st.integers(0, SIZE[1] * 10)).map(lambda p: [p[0] / 10, p[1] / 10])
anywhere = st.tuples(st.integers(-900, 1500), st.integers(-900, 1500)).map(list)
outlines = st.lists(in_frame, min_size=3, max_size=9)


@st.composite
def hands(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a shape is drawn, and what is done to it then with {points} in place of what was drawn."""
    kind = draw(st.sampled_from(["rectangle", "ellipse", "polygon", "spline"]))
    by_drag = kind in ("rectangle", "ellipse")
    drawn = [kind, draw(anywhere), draw(anywhere), SIZE] if by_drag else [kind, draw(outlines), SIZE]
    index = draw(st.integers(0, 2))
    dx, dy = draw(anywhere)
    then = draw(
        st.sampled_from(
            [
                ("moved", [kind, "{points}", dx, dy, SIZE]),
                ("grown", [kind, "{points}", dx, dy, SIZE]),
                ("pulled", [kind, "{points}", index, draw(anywhere), SIZE]),
                *([] if by_drag else [("withVertex", [kind, "{points}", index, draw(anywhere), SIZE])]),
            ]
        )
    )
    first = {"module": "shape-edits.js", "call": "drawn" if by_drag else "closed", "given": drawn}
    return first, {"module": "shape-edits.js", "call": then[0], "given": then[1]}


def test_whatever_a_hand_does_the_shape_stays_in_its_frame(node: Answers) -> None:
    both = made(hands(), 400)
    drawn = node([first for first, _ in both])
    pairs = [(second, points) for (_, second), points in zip(both, drawn, strict=True) if points is not None]
    assert len(pairs) > 200
    calls = [
        call | {"given": [points if one == "{points}" else one for one in call["given"]]} for call, points in pairs
    ]
    for call, points in zip(calls, node(calls), strict=True):
        for one in (call["given"][1], points):
            x, y, width, height = box_of(Shape(call["given"][0], tuple((px, py) for px, py in one)))
            assert x >= -1e-6 and y >= -1e-6, call
            assert x + width <= SIZE[0] + 1e-6 and y + height <= SIZE[1] + 1e-6, call


def test_millimetres_are_those_of_the_server(node: Answers) -> None:
    regions = [
        {"x0": 10, "y0": 20, "x1": 400, "y1": 300, "unit_x": 3, "unit_y": 3, "delta_x": 0.02, "delta_y": 0.03},
        {"x0": 50, "y0": 60, "x1": 90, "y1": 200, "unit_x": 3, "unit_y": 3, "delta_x": 0.05, "delta_y": -0.05},
        {"x0": 420, "y0": 20, "x1": 600, "y1": 300, "unit_x": 4, "unit_y": 7, "delta_x": 0.1, "delta_y": 0.1},
    ]
    image = SiteImage(rows=SIZE[1], columns=SIZE[0], frames=1, facts={"regions": regions})
    told = [
        {name: one[name] for name in ("x0", "y0", "x1", "y1")}
        | {"mmPerPx": [one["delta_x"] * 10, abs(one["delta_y"]) * 10] if one["unit_x"] == 3 else None}
        for one in regions
    ]
    boxes = made(st.tuples(in_frame, st.integers(0, 120), st.integers(0, 120)), 200)
    shapes = [{"x": x, "y": y, "width": width, "height": height} for (x, y), width, height in boxes]
    said = node([{"module": "measures.js", "call": "sizeMm", "given": [told, one]} for one in shapes])
    for shape, size in zip(shapes, said, strict=True):
        expected = measures(Roi(**shape, margin=0, label="", use="caliper"), image)
        assert (size is None) == (expected.size_mm is None)
        assert size is None or np.allclose(size, expected.size_mm or (), atol=0.051)
    assert {size is None for size in said} == {True, False}


def test_a_window_keeps_bright_brighter_than_dark(node: Answers) -> None:
    looks = made(
        st.fixed_dictionaries({"level": st.integers(0, 100), "width": st.integers(2, 200), "gamma": st.floats(0.3, 3)}),
        50,
    )
    tables = node([{"module": "look-table.js", "call": "tableOf", "given": [look]} for look in looks])
    for table in tables:
        assert len(table) == 65 and min(table) >= 0 and max(table) <= 1
        assert all(a <= b for a, b in pairwise(table))
    plain = node([{"module": "look-table.js", "call": "tableOf", "given": [{"level": 50, "width": 100, "gamma": 1}]}])[
        0
    ]
    assert np.allclose(plain, np.linspace(0, 1, 65), atol=1e-4)
