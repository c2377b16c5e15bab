"""The frames of a cine that plays are there when their time comes, within the memory that they may take."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from web.assets import FOLDER

SCRIPT = Path(__file__).parents[2] / "node" / "frames.mjs"


def test_a_long_cine_plays_from_memory(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the scripts of the pages run in it")
    module = tmp_path / "viewer-frames.mjs"
    shutil.copy(FOLDER / "viewer-frames.js", module)
    done = subprocess.run(["node", SCRIPT, module], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["missing"] == []
    assert told["most"] <= 64 << 20 and told["closed"] > 500


def due(tmp_path: Path, calls: list[tuple[int, float, float, int]]) -> list[int]:
    """What `dueFrame` says: from, elapsed ms, ms a frame, frames."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the scripts of the pages run in it")
    shutil.copy(FOLDER / "cine-time.js", tmp_path / "cine-time.mjs")
    script = (
        f"import {{ dueFrame }} from '{(tmp_path / 'cine-time.mjs').as_uri()}';"
        f"console.log(JSON.stringify({json.dumps(calls)}.map((call) => dueFrame(...call))))"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=60
    )
    found: list[int] = json.loads(done.stdout)
    return found


def test_a_cine_as_fast_as_the_screen_shows_each_frame_once(tmp_path: Path) -> None:
    noise = random.Random(3)
    at = [picture * 1000 / 60 + noise.uniform(-4, 4) for picture in range(900)]
    at[0] = 0.0
    assert due(tmp_path, [(1, ms, 16.67, 300) for ms in at]) == [picture % 300 + 1 for picture in range(900)]


def test_a_slower_cine_keeps_its_time(tmp_path: Path) -> None:
    """At 25 frames a second each is shown for 40 ms, give or take half a picture of the screen."""
    shown = due(tmp_path, [(7, picture * 1000 / 60, 40.0, 100) for picture in range(300)])
    assert (shown[0], shown[-1]) == (7, (6 + int(299 * 1000 / 60 + 8) // 40) % 100 + 1)
    turns = [place for place in range(1, 300) if shown[place] != shown[place - 1]]
    assert {(shown[place] - shown[place - 1]) % 100 for place in turns} == {1}
    assert all(abs(place * 1000 / 60 - 40 * number) <= 17 for number, place in enumerate(turns, 1))
