"""What every test run shares: a skip is never quiet, and in CI it is a failure."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("sonobank", deadline=None)  # speed is shown by ./run bench, never by a test
settings.load_profile("sonobank")

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
ABSENT = "../shared/data"


def may_skip(reason: str, ci: bool, material: Path) -> bool:
    """In CI a skip is allowed for one reason only: test material beside the checkout that truly is not there."""
    return not ci or (ABSENT in reason and not material.exists())


def in_ci() -> bool:
    return os.environ.get("CI", "") not in {"", "0", "false"}


def judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip that CI does not allow into a failure; an expected failure is reported as a skip and left alone."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not may_skip(reason, in_ci(), SHARED_DATA):
            report.outcome = "failed"
            report.longrepr = f"Nothing is skipped in CI. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    judge(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"{len(skipped)} NOT TESTED on this machine", sep="!", red=True, bold=True)
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.line(f"{report.nodeid}: {str(reason).removeprefix('Skipped: ')}")
