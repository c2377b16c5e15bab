"""What reads text in the sandbox has loaded all that it needs before the sandbox gives up its right to read files."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LOADED_LATER = """
import json, sys
import numpy as np
from core import sandbox_child
from ml.phantom_banners import banner
picture = banner(3, 1).picture
sandbox_child._import(["core.deid.text", "core.deid.overlays", "core.dicom.frames"])
before = set(sys.modules)
for light in (picture, picture // 4):
    assert sys.modules["core.deid.text"].reader().read(np.ascontiguousarray(light))
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_reading_loads_no_module() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED_LATER], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
