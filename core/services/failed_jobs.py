"""Run a job again that had failed for good."""

from sqlmodel import Session, text

from core import audit
from core.errors import Denied, NotFound
from core.permissions import Actor, Verb


def may_run_again(actor: Actor) -> bool:
    """The people who keep the node running, not everybody who may look at it."""
    return actor.may(Verb.PEOPLE) or actor.may(Verb.PEERS)


def run_again(session: Session, actor: Actor, job_id: int) -> None:
    """Back to the queue, due now. Raises NotFound for a job that has not failed."""
    if not may_run_again(actor):
        raise Denied
    found = text("SELECT task_name FROM procrastinate_jobs WHERE id = :id AND status = 'failed' FOR UPDATE")
    task = session.execute(found, {"id": job_id}).scalar()
    if task is None:
        raise NotFound
    session.execute(text("SELECT procrastinate_retry_job_v2(:id, now(), NULL, NULL, NULL)"), {"id": job_id})
    audit.record(session, actor, "job.again", job_id, task=str(task))
