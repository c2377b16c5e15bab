"""The queue as its tables tell it: jobs by task, the oldest that is due, what failed, and which workers live."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session, text

MOST_FAILED: Final = 50


@dataclass(frozen=True)
class Task:
    """Jobs of one task. `oldest` is since when the first that is due waits."""

    name: str
    todo: int
    doing: int
    failed: int
    oldest: datetime | None


@dataclass(frozen=True)
class Failed:
    """One job that nobody tries any more; `about` names the row that it works on."""

    id: int
    task: str
    about: str
    attempts: int
    at: datetime | None


_TASKS: Final = text("""
    SELECT job.task_name,
           count(*) FILTER (WHERE job.status = 'todo'),
           count(*) FILTER (WHERE job.status = 'doing'),
           count(*) FILTER (WHERE job.status = 'failed'),
           min(coalesce(job.scheduled_at, deferred.at))
               FILTER (WHERE job.status = 'todo' AND coalesce(job.scheduled_at, deferred.at) <= now())
    FROM procrastinate_jobs job
    LEFT JOIN procrastinate_events deferred ON deferred.job_id = job.id AND deferred.type = 'deferred'
    WHERE job.status IN ('todo', 'doing', 'failed')
    GROUP BY job.task_name ORDER BY job.task_name
""")
_FAILED: Final = text("""
    SELECT job.id, job.task_name, coalesce(job.lock, ''), job.attempts,
           (SELECT max(event.at) FROM procrastinate_events event WHERE event.job_id = job.id)
    FROM procrastinate_jobs job WHERE job.status = 'failed' ORDER BY job.id DESC LIMIT :most
""")
_WORKERS: Final = text("""
    SELECT count(*) FILTER (WHERE last_heartbeat > now() - make_interval(secs => :seconds)), max(last_heartbeat)
    FROM procrastinate_workers
""")


def tasks(session: Session) -> list[Task]:
    return [Task(*row) for row in session.execute(_TASKS)]


def failed(session: Session) -> list[Failed]:
    """Newest first."""
    return [Failed(*row) for row in session.execute(_FAILED, {"most": MOST_FAILED})]


def workers(session: Session, seconds: float) -> tuple[int, datetime | None]:
    """(how many gave a sign of life within `seconds`, when the last sign of any came)."""
    alive, seen = session.execute(_WORKERS, {"seconds": seconds}).one()
    return int(alive), seen
