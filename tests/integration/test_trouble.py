"""Full disks, killed databases and links that are down: the work waits with a plain reason and ends by itself, once."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from commands.demo import Running, running
from commands.demo_journey import Journey
from commands.demo_nodes import DemoNode, launch
from commands.demo_person import Person
from core.db import make_engine, reading
from core.errors import Unavailable
from ml.phantom import PhantomStudy, make_study
from tests.nodes import end, free_layout, logs_of, until
from tests.troubles import fill, free, kill_database, small_disk, wait_for_another_postmaster
from workers import runner

pytestmark = pytest.mark.slow
SITE_DISK_MB = 260
STAGING_KEEPS_MB, LEFT_MB = 40, 28  # room for the next segment of the write-ahead log, none for staging
KILLS = 3
MOST_RUNS = 20


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Real nodes, the site's data on a small disk of its own where that can be made."""
    layout = free_layout(tmp_path_factory.mktemp("trouble"))
    for site in layout.sites:
        site.env["SONOBANK_LEAST_FREE_MB"] = str(STAGING_KEEPS_MB)
    with ExitStack() as stack:
        with suppress(
            pytest.skip.Exception
        ):  # only the test that needs the small disk is skipped, by a name of its own
            stack.enter_context(small_disk(layout.folder / "site", SITE_DISK_MB))
        yield stack.enter_context(running(layout))


@contextmanager
def journey(nodes: Running, *studies: PhantomStudy) -> Iterator[Journey]:
    """The demo's people with these studies."""
    work = Journey(nodes.layout, nodes.papers, 0, len(studies), say=lambda text: None)
    work._studies = [(nodes.layout.sites[0], study) for study in studies]
    try:
        yield work
    finally:
        for somebody in work._people.values():
            somebody._client.close()


def small(seed: int) -> PhantomStudy:
    return make_study(seed, "liver", "logiq-e9", 1, 4, "LIV-HCC")


# A person whose log-in failed half way has nobody who could close the connection.
LOST_LOGINS = pytest.mark.filterwarnings("ignore:.*socket:pytest.PytestUnraisableExceptionWarning")


@contextmanager
def in_background(work: Callable[[], dict[str, Any]]) -> Iterator["Future[dict[str, Any]]"]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work)


@contextmanager
def person(nodes: Running, node: DemoNode, name: str) -> Iterator[Person]:
    somebody = Person(node.url, name, nodes.papers[node.name]["users"][name])
    try:
        yield somebody
    finally:
        somebody._client.close()


def count(nodes: Running, name: str, statement: str, **values: object) -> int:
    engine = make_engine(nodes.urls[name])
    try:
        with reading(engine) as session:
            return int(session.execute(text(statement), values).scalar_one())
    finally:
        engine.dispose()


def start(nodes: Running, name: str) -> None:
    """Start one process again, such as `relay-serve`."""
    node_name, verb = name.rsplit("-", 1)
    node = next(node for node in nodes.layout.nodes if node.name == node_name)
    nodes.processes[name] = launch(node, verb, nodes.layout.folder / "logs")


def exactly_once(nodes: Running, cases: list[str]) -> None:
    """Each of these cases has one package, replicated, and central has each of its images once."""
    ids = {"ids": cases}
    images = count(nodes, "site", "SELECT count(*) FROM site_image WHERE case_id = ANY(:ids)", **ids)
    assert images >= 2 * len(cases)
    of_site = "FROM package WHERE case_id = ANY(:ids)"
    assert count(nodes, "site", f"SELECT count(*) {of_site}", **ids) == len(cases)
    assert count(nodes, "site", f"SELECT count(*) {of_site} AND state = 'REPLICATED'", **ids) == len(cases)
    engine = make_engine(nodes.urls["site"])
    with reading(engine) as session:
        packages = [str(row[0]) for row in session.execute(text(f"SELECT id {of_site}"), ids)]
    engine.dispose()
    here = "FROM bank_case c JOIN bank_image i ON i.case_id = c.id WHERE c.package_id = ANY(:ids)"
    mine = {"ids": packages}
    assert count(nodes, "central", "SELECT count(*) FROM bank_case WHERE package_id = ANY(:ids)", **mine) == len(cases)
    assert count(nodes, "central", f"SELECT count(*) {here}", **mine) == images
    assert count(nodes, "central", f"SELECT count(DISTINCT i.sha256) {here}", **mine) == images
    archived = f"SELECT count(*) FROM instance WHERE sha256 IN (SELECT i.sha256 {here})"
    assert count(nodes, "central", archived, **mine) == images


def test_links_that_are_down_are_waited_for(nodes: Running) -> None:
    site = nodes.layout.sites[0]
    end(nodes.processes["relay-serve"])
    with (
        journey(nodes, small(21)) as work,
        in_background(work.run) as done,
        person(nodes, site, "transfer") as transfer,
    ):

        def package_in(state: str) -> Callable[[], dict[str, Any] | None]:
            def ask() -> dict[str, Any] | None:
                found = transfer.call("GET", "/api/v1/packages")
                return next((p for p in found if p["state"] == state and p["case_id"] in work._cases), None)

            return ask

        failed = until(package_in("SEND_FAILED"), "a failed sending")
        assert failed["reason"] == "The next node cannot be reached; it is tried again."
        end(nodes.processes["central-serve"])
        start(nodes, "relay-serve")
        sent = until(package_in("SENT"), "the sending")
        waiting = (
            "SELECT count(*) FROM parcel WHERE package_id = :id AND state = 'COMPLETE' AND last_error LIKE '%reached%'"
        )
        until(lambda: count(nodes, "relay", waiting, id=sent["id"]) or None, "the relay's wait for central")
        spooled = list((nodes.layout.folder / "relay" / "spool").glob(f"*{sent['id']}*"))
        assert len(spooled) == 1
        start(nodes, "central-serve")
        summary = done.result()
        assert summary["ok"], f"{summary}\n{logs_of(nodes)}"
    assert not spooled[0].exists()
    exactly_once(nodes, list(work._cases))


@LOST_LOGINS
def test_killed_databases_lose_and_double_nothing(nodes: Running) -> None:
    folder, stop = nodes.layout.folder, threading.Event()
    killed: dict[str, int] = {"site": 0, "central": 0}

    def kill_again_and_again() -> None:
        for name in ("site", "central"):
            while killed[name] < KILLS and not stop.wait(4):
                pid = kill_database(folder / name)
                killed[name] += pid is not None
                wait_for_another_postmaster(folder / name, pid)

    with journey(nodes, small(22), small(23)) as work:
        with ThreadPoolExecutor(1) as pool:
            killer = pool.submit(kill_again_and_again)
            try:
                summary = _run_until_ok(work)
                killer.result(90)
            finally:
                stop.set()
        summary = _run_until_ok(work)  # once more, when nobody kills any longer
        assert killed == {"site": KILLS, "central": KILLS}
        assert summary["ok"], f"{summary}\n{logs_of(nodes)}"
    until(lambda: None if _unfinished(nodes) else True, "the end of every job")
    exactly_once(nodes, list(work._cases))


def _run_until_ok(work: Journey) -> dict[str, Any]:
    summary: dict[str, Any] = {"ok": False}
    for _ in range(MOST_RUNS):
        try:
            summary = work.run()
        except Unavailable as trouble:
            summary = {"ok": False, "error": trouble.message}
        if summary["ok"]:
            break
    return summary


def _unfinished(nodes: Running) -> int:
    """Jobs that wait, run or failed anywhere; a job that a killed database left behind counts."""
    unfinished = "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'"
    return sum(count(nodes, name, unfinished) for name in ("site", "relay", "central"))


def test_the_end_of_a_job_is_said_until_the_database_hears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []

    async def no_wait(seconds: float) -> None:
        return

    def hears_after(deaf: int, cause: Exception) -> Callable[[], Awaitable[None]]:
        said.clear()

        async def say() -> None:
            said.append(len(said))
            if said[-1] < deaf:
                raise ConnectorException from cause

        return say

    monkeypatch.setattr("workers.runner.asyncio.sleep", no_wait)
    asyncio.run(runner._insist(hears_after(3, psycopg.OperationalError())))
    assert len(said) == 4
    asyncio.run(runner._insist(hears_after(3, psycopg.errors.RaiseException())))
    assert len(said) == 1, "the server knows no such job any longer: only its answer was lost"
    with pytest.raises(ConnectorException):  # the worker ends, and the next one rescues its jobs
        asyncio.run(runner._insist(hears_after(10**6, psycopg.OperationalError())))


@LOST_LOGINS
def test_a_full_disk_makes_the_work_wait(nodes: Running) -> None:
    site = nodes.layout.sites[0]
    disk = nodes.layout.folder / "site"
    if not disk.is_mount():
        pytest.skip("FULL DISK NOT TESTED: mounting a small tmpfs needs root with CAP_SYS_ADMIN")
    with journey(nodes, small(24)) as work, person(nodes, site, "curator") as curator:
        fill(disk, LEFT_MB)
        try:
            with in_background(work.run) as done:
                case_id = until(lambda: next(iter(work._cases), None), "the flag")
                case = until(lambda: _with_reason(disk, curator, case_id), "the plain reason")
                assert case["reason"] == "The staging disk is almost full; free some space."
                assert case["state"] in {"QUEUED", "RETRIEVING"}
                assert count(nodes, "site", "SELECT count(*) FROM site_image WHERE case_id = :id", id=case_id) == 0
                _fill_the_log_of_the_database(nodes, disk)
                free(disk)
                summary = done.result()
        finally:
            (disk / "filler").unlink(missing_ok=True)
        if not summary["ok"]:  # what a person asked while the database had no room is asked again
            summary = _run_until_ok(work)
        assert summary["ok"], f"{summary}\n{logs_of(nodes)}"
    until(lambda: None if _unfinished(nodes) else True, "the end of every job")
    exactly_once(nodes, list(work._cases))
    assert not list((disk / "staging").rglob("*.part"))


def _with_reason(disk: Path, curator: Person, case_id: str) -> dict[str, Any] | None:
    fill(disk, LEFT_MB)  # the database gives room back now and then
    case: dict[str, Any] = curator.call("GET", f"/api/v1/cases/{case_id}")
    return case if case["reason"] else None


def _fill_the_log_of_the_database(nodes: Running, disk: Path) -> None:
    """No room at all, and a write-ahead log that needs some: the server goes down, and the door says so in words."""
    fill(disk)
    write = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 500000))"
    engine = make_engine(nodes.urls["site"])
    with pytest.raises(OperationalError), engine.connect() as connection:
        for _ in range(200):
            connection.execute(text(write))
            connection.commit()
    engine.dispose()
    site = nodes.layout.sites[0]
    token = nodes.papers[site.name]["tokens"]["admin"]

    def refusal() -> httpx2.Response | None:
        answer = httpx2.get(
            f"{site.url}/api/v1/cases", headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )
        return answer if answer.status_code != 200 else None

    answer = until(refusal, "a refusal of the door", 30)
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The database does not answer; the work waits and is tried again."
