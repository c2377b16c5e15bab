"""A skip that CI does not allow is a failure there, and loud elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUBJECT = """
import pytest

def test_for_want_of_a_tool():
    pytest.skip("no chromium")

def test_for_want_of_material():
    pytest.skip("../shared/data is absent: no dicom/")

@pytest.mark.xfail(reason="known")
def test_expected():
    raise AssertionError
"""


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "list[str]":
    """The summary lines of a small suite under this conftest: without CI, then with it. No material lies beside it."""
    checkout = tmp_path / "checkout" / "tests"
    checkout.mkdir(parents=True)
    (checkout / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (checkout / "test_subject.py").write_text(SUBJECT)
    texts = []
    for ci in ("", "true"):
        monkeypatch.setenv("CI", ci)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "--rootdir", "."]
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
        texts.append(done.stdout)
    return texts


def test_skips_are_loud_here_and_failures_in_ci(outcome: "list[str]") -> None:
    here, in_ci = outcome
    assert "2 skipped, 1 xfailed" in here
    assert "2 NOT TESTED on this machine" in here
    assert "1 failed, 1 skipped, 1 xfailed" in in_ci
    assert "Nothing is skipped in CI. Skipped: no chromium" in in_ci
