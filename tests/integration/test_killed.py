"""Kill every process at every failpoint while the chain runs: in the end every image is there exactly once on both sides."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from commands.demo import Running, running
from commands.demo_journey import Journey
from commands.demo_nodes import launch, programs
from core.db import make_engine, transaction
from core.node import SiteNode
from core.opening import open_node
from core.services import blobs, receive, release
from core.store import open_store
from tests.failpoints import chain_points
from tests.nodes import free_layout, logs_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # every process starts anew after each of 140 kills
SEED, CASES, MOST_RUNS = 11, 1, 400


class Supervisor(threading.Thread):
    """Starts every process that dies again, as a service manager would."""

    def __init__(self, nodes: Running) -> None:
        super().__init__(daemon=True)
        self._nodes, self._ending = nodes, threading.Event()
        self.restarts = 0

    def run(self) -> None:
        wanted = programs(self._nodes.layout)
        while not self._ending.wait(0.05):
            for name, process in list(self._nodes.processes.items()):
                if process.poll() is not None:
                    self._nodes.processes[name] = launch(*wanted[name], self._nodes.layout.folder / "logs")
                    self.restarts += 1

    def stop(self) -> None:
        self._ending.set()
        self.join()


@contextmanager
def engine_of(nodes: Running, name: str) -> Iterator[Engine]:
    engine = make_engine(nodes.urls[name])
    try:
        yield engine
    finally:
        engine.dispose()


def count(engine: Engine, statement: str) -> int:
    with transaction(engine, "test") as session:
        return int(session.execute(text(statement)).scalar_one())


def test_killed_at_every_point_nothing_is_lost_or_doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = free_layout(tmp_path / "nodes")
    for node in layout.nodes:
        node.env["SONOBANK_STALLED_SECONDS"] = "2"
    marks = tmp_path / "marks"
    marks.mkdir(parents=True)
    with running(layout) as nodes:
        monkeypatch.setenv("SONOBANK_FAILPOINT", "all")
        monkeypatch.setenv("SONOBANK_FAILPOINT_LOG", str(marks))
        for process in nodes.processes.values():
            process.kill()
        supervisor = Supervisor(nodes)
        supervisor.start()
        try:
            summary = _run_until_done(nodes)
        finally:
            supervisor.stop()
            monkeypatch.delenv("SONOBANK_FAILPOINT")
        killed = {mark.name for mark in marks.iterdir()}
        assert summary["ok"], f"{summary}\n{sorted(killed)}\n{logs_of(nodes)}"
        assert supervisor.restarts >= len(killed) // 2
        missing = chain_points() - killed
        assert not missing, f"the chain never came to {sorted(missing)}"
        _exactly_once(nodes, summary["stages"]["retrieve"]["count"])
    _nothing_unreferenced(nodes)


def _run_until_done(nodes: Running) -> dict[str, object]:
    summary: dict[str, object] = {"ok": False}
    with Journey(nodes.layout, nodes.papers, SEED, CASES, say=lambda text: None) as journey:
        for _ in range(MOST_RUNS):
            summary = journey.run()
            if summary["ok"]:
                break
            time.sleep(0.3)
    return summary


def _exactly_once(nodes: Running, images: int) -> None:
    with engine_of(nodes, "site") as site, engine_of(nodes, "central") as central:
        assert count(site, "SELECT count(*) FROM site_case") == CASES
        assert count(site, "SELECT count(*) FROM site_image") == images
        assert count(site, "SELECT count(*) FROM package WHERE state = 'REPLICATED'") == CASES
        assert count(site, "SELECT count(*) FROM package") == CASES
        assert count(site, "SELECT count(*) FROM packaged_image") == images
        assert count(central, "SELECT count(*) FROM bank_case") == CASES
        assert count(central, "SELECT count(*) FROM bank_image") == images
        assert count(central, "SELECT count(*) FROM instance") == images
        assert count(central, "SELECT count(DISTINCT sha256) FROM instance") == images
        assert count(central, "SELECT count(*) FROM signed_message") == 2 * CASES


def _nothing_unreferenced(nodes: Running) -> None:
    """After the sweeper (here without its day of grace) every blob and every staged file belongs to a row."""
    site_demo = nodes.layout.sites[0]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in site_demo.env.items():
            patch.setenv(name, value)
        with open_node(site_demo.settings()) as node:
            assert isinstance(node, SiteNode)
            blobs.sweep(node.engine, node.store, release.unreferenced_blobs, age_seconds=-1)
            with transaction(node.engine, "test") as session:
                known = {row[0] for row in session.execute(text("SELECT id FROM site_image"))}
                node.staging.sweep(known, older_than_seconds=-1)
                node.sweep_outbox(session)
                named = {row[0] for row in session.execute(text("SELECT sha256 FROM packaged_image"))}
            assert {sha256 for sha256, _ in node.store.listing()} == named
            staged = {path.name.split(".")[0] for path in (layout_folder(nodes, "site") / "staging").rglob("*.sealed")}
            assert staged == {str(image_id) for image_id in known}
            assert not list((layout_folder(nodes, "site") / "outbox").glob("*"))
    assert not list((layout_folder(nodes, "relay") / "spool").glob("*"))
    assert not list((layout_folder(nodes, "central") / "spool").glob("*"))
    central = nodes.layout.central
    with open_node(central.settings()) as node:
        store = open_store(node.settings.url_of_store(), "store")
        blobs.sweep(node.engine, store, receive.unreferenced_blobs, age_seconds=-1)
        with transaction(node.engine, "test") as session:
            named = {
                row[0]
                for row in session.execute(text("SELECT sha256 FROM bank_image UNION SELECT sha256 FROM dataset_file"))
            }
        assert {sha256 for sha256, _ in store.listing()} == named


def layout_folder(nodes: Running, name: str) -> Path:
    return nodes.layout.folder / name
