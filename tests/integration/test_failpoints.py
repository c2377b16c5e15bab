"""Every commit point of the list kills: before it the row is not there, after it the row is there. One process dies for each."""

import os
import signal

import pytest
from sqlalchemy import Engine, text

from core.db import make_engine, transaction
from core.failpoints import POINTS
from core.models.audit import AuditEvent

COMMITS = sorted(point for point in POINTS if point.endswith("-commit"))


def dies_in(url: str, point: str) -> int:
    """The exit status of a child that commits one row under this point's transaction with the point armed."""
    child = os.fork()
    if child == 0:
        os.environ["SONOBANK_FAILPOINT"] = point
        engine = make_engine(url, pool_size=1)
        with transaction(engine, point.rsplit(":", 1)[0]) as session:
            session.add(AuditEvent(actor="test", verb=point))
        os._exit(0)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("point", COMMITS)
def test_a_kill_at_the_point_keeps_exactly_what_was_committed(engine: Engine, point: str) -> None:
    status = dies_in(engine.url.render_as_string(hide_password=False), point)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT count(*) FROM audit_event WHERE verb = :verb"), {"verb": point}
        ).scalar_one()
    assert rows == point.endswith(":after-commit")
