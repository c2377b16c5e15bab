"""The npm packages of the tests (tests/node), installed once by their lock."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "node"


@cache
def installed() -> Path:
    """The folder of the installed packages; the test is skipped, by name, where npm is missing."""
    found = FOLDER / "node_modules"
    if not (found / ".package-lock.json").exists():
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed: the tests' OpenID provider and axe-core come by it")
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=FOLDER, check=True)
    return found
