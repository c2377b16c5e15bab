"""The frames of a cine that plays are there when their time comes, within the memory that they may take."""

import json
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
