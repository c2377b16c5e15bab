"""The queue: jobs are rows in the same database, queued in the caller's transaction (procrastinate).

Job arguments are row ids only: they are stored in the clear."""

from typing import Any, Final

import procrastinate
from procrastinate.exceptions import ConnectorException
from sqlmodel import Session

from core.errors import Unavailable

# One queue per kind of work, so that a slow PACS never holds up a release.
QUEUES: Final = ("retrieve", "pixels", "transfer", "central", "training")

# Deferring uses the caller's connection; this connector is never opened.
_deferring = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


def enqueue(session: Session, task: str, queue: str, *, key: str, in_seconds: int = 0, **ids: str | int) -> None:
    """Queue `task` inside the caller's transaction; both happen or neither.

    `key` names the thing worked on: jobs of one key run one after another. A job is idempotent, so a second one is harmless."""
    connection = session.connection().connection.driver_connection
    # A retrieval has its window; masks can be made by day.
    delay: dict[str, Any] = {"priority": 10 if task == "retrieve" else 0}
    delay |= {"schedule_in": {"seconds": in_seconds}} if in_seconds else {}
    try:
        _deferring.configure_task(task, queue=queue, lock=key, connection=connection, **delay).defer(**ids)
    except ConnectorException:
        raise Unavailable("The database does not answer; the work waits and is tried again.") from None
