"""The list of failpoints is complete: each commit, blob put and acknowledgement in the sources has its two points in it."""

import os
import signal
import subprocess
import sys

from core.failpoints import POINTS, RARE
from tests.failpoints import named_in_sources, of_routes


def test_the_list_names_every_point_of_the_sources_and_no_other() -> None:
    known = named_in_sources() | of_routes()
    assert sorted(known - set(POINTS)) == [], "missing in core.failpoints.POINTS"
    assert sorted(set(POINTS) - known) == [], "stale in core.failpoints.POINTS"


def test_the_rare_points_are_points() -> None:
    assert set(RARE) <= set(POINTS)


def test_a_point_kills_and_another_name_does_not() -> None:
    code = "from core import failpoints; failpoints.hit('store.put:before'); print('alive')"
    for armed, expected in (("store.put:before", -signal.SIGKILL), ("store.put:after", 0), ("all", -signal.SIGKILL)):
        environment = {**os.environ, "SONOBANK_FAILPOINT": armed}
        assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == expected
