"""Run queued jobs: each is a service call with the node and row ids; named troubles are tried again, everything else stays failed."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast
from uuid import UUID

import procrastinate
from procrastinate import RetryStrategy
from procrastinate.exceptions import ConnectorException
from procrastinate.manager import JobManager
from psycopg.errors import RaiseException

from core import jobs
from core.errors import Conflict, Unavailable, WrongState
from core.node import CentralNode, Node, SiteNode
from core.services import device_rules, forward, masks, offers, receive, release, replicate, retrieve, send
from workers import freeze, train
from workers.infer_keeper import ROLES as INFER_ROLES
from workers.infer_keeper import Keeper
from workers.upkeep import Upkeep

log = logging.getLogger(__name__)
MOST_WAIT_SECONDS: Final = 600
INSIST_TIMES: Final = 30
LONG: Final = "training"


class Patience(RetryStrategy):
    """Try again after 2, 4, 8 … seconds, ten minutes at the most, for as long as the other side is away."""

    def get_schedule_in(self, *, exception: BaseException | None = None, attempts: int = 0) -> int | None:
        return min(MOST_WAIT_SECONDS, 2 ** min(attempts + 1, 10)) if isinstance(exception, Unavailable) else None


class Insistent(JobManager):
    """Says the end of a job again when the database did not hear it: else it stayed `doing`, and its key locked, for ever."""

    async def finish_job(
        self, job: procrastinate.jobs.Job, status: procrastinate.jobs.Status, delete_job: bool
    ) -> None:
        await _insist(lambda: super(Insistent, self).finish_job(job, status, delete_job))

    async def retry_job(self, job: procrastinate.jobs.Job, *args: Any, **options: Any) -> None:  # noqa: ANN401 -- as given
        await _insist(lambda: super(Insistent, self).retry_job(job, *args, **options))


async def _insist(say: Callable[[], Awaitable[None]]) -> None:
    """Until it is heard. A worker whose database stays away longer ends, and its jobs are rescued by the next one."""
    for _ in range(INSIST_TIMES):
        try:
            return await say()
        except ConnectorException as trouble:
            if isinstance(trouble.__cause__, RaiseException):  # it was heard, only the answer was lost
                return None
            await asyncio.sleep(1)
    return await say()


Work = Callable[[Node, UUID], None]


def _site(work: Callable[[SiteNode, UUID], None]) -> Work:
    return lambda node, key: work(cast(SiteNode, node), key)


def _central(work: Callable[[CentralNode, UUID], None]) -> Work:
    return lambda node, key: work(cast(CentralNode, node), key)


TASKS: Final[dict[str, dict[str, Work]]] = {
    "site": {
        "retrieve": _site(retrieve.retrieve),
        "mask": _site(masks.make_candidate),
        "remask": _site(device_rules.remask),
        "release": _site(release.release),
        "pack": _site(send.pack),
        "send": _site(send.send),
        "take_model": _site(offers.take),
    },
    "relay": {"parcel": forward.forward},
    "central": {
        "parcel": _central(receive.receive),
        "replicate": _central(replicate.replicate),
        "freeze": _central(freeze.freeze),
        "train": _central(train.train),
    },
    "pacs": {},
}


def make_app(node: Node, url: str) -> procrastinate.App:
    """The queue's application with the tasks of this node's role."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=6))
    app.job_manager = Insistent(app.connector)
    for name, work in TASKS[node.settings.role].items():
        app.task(name=name, retry=Patience(), pass_context=False)(_entry(node, name, work))
    return app


def _entry(node: Node, name: str, work: Work) -> Callable[..., None]:
    def run(**ids: str) -> None:
        try:
            work(node, UUID(next(iter(ids.values()))))
        except WrongState:
            raise
        except (Unavailable, Conflict) as trouble:  # somebody else was quicker: it begins again with what is there now
            reason = trouble.message
        except ConnectorException:
            reason = "The queue does not answer."
        except OSError:
            reason = "A file cannot be read or written: is there room on the disk?"
        else:
            return
        log.warning("job %s waits: %s", name, reason)
        raise Unavailable(reason)

    run.__name__ = name
    return run


async def run(node: Node, url: str, stop: asyncio.Event) -> None:
    """Work until `stop` is set; a database that goes away is waited for."""
    upkeep: list[Upkeep | Keeper] = [Upkeep(node)]
    if node.settings.role in INFER_ROLES:
        upkeep.append(Keeper(node))
    keepers = [asyncio.create_task(asyncio.to_thread(one.run)) for one in upkeep]
    for keeper in keepers:
        keeper.add_done_callback(lambda _: stop.set())  # a worker without its upkeep must not look alive
    try:
        while not stop.is_set():
            app = make_app(node, url)
            try:
                async with app.open_async():
                    await _work(app, node, stop)
            except (ConnectorException, OSError):
                log.warning("the queue does not answer; trying again")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 2)
    finally:
        for one in upkeep:
            one.stop()
        await asyncio.gather(*keepers)


async def _work(app: procrastinate.App, node: Node, stop: asyncio.Event) -> None:
    # Trainings take hours: one at a time in each worker process, beside everything else and never in its way.
    lanes = [([queue for queue in jobs.QUEUES if queue != LONG], node.settings.worker_concurrency)]
    lanes += [([LONG], 1)] if "train" in TASKS[node.settings.role] else []
    workers = [asyncio.create_task(_lane(app, node, queues, size)) for queues, size in lanes]
    rescuer = asyncio.create_task(_rescue(app, node.settings.stalled_seconds))
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({*workers, stopped}, return_when=asyncio.FIRST_COMPLETED)
    rescuer.cancel()
    if stopped in done:
        node.stopping.set()
    stopped.cancel()
    for worker in workers:
        worker.cancel()
    ends = await asyncio.gather(*workers, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception) and stopped not in done:
            raise end


async def _lane(app: procrastinate.App, node: Node, queues: list[str], size: int) -> None:
    """Up to `size` jobs of these queues at once."""
    await app.run_worker_async(
        queues=queues,
        concurrency=size,
        install_signal_handlers=False,
        fetch_job_polling_interval=1.0,
        update_heartbeat_interval=node.settings.stalled_seconds / 4,
        stalled_worker_timeout=node.settings.stalled_seconds,
        shutdown_graceful_timeout=20,
        delete_jobs="successful",
    )


async def _rescue(app: procrastinate.App, seconds: float) -> None:
    """Jobs of a killed worker go back to the queue."""
    while True:
        with contextlib.suppress(ConnectorException):
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=seconds):
                await app.job_manager.retry_job(job)
                log.warning("job %s was left by a dead worker and is run again", job.task_name)
        await asyncio.sleep(seconds / 4)
