"""Show everything on one machine: a PACS, a hospital, the relay, central and their workers, and a case through all of it."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from commands.processes import NodeProcess, warm_up  # isort: split

warm_up()  # the nodes' imports go on beside our own

from commands.demo_journey import Journey  # noqa: E402
from commands.demo_nodes import Layout, databases, make_keys, provision, start, write_secret  # noqa: E402
from commands.demo_train import Lesson  # noqa: E402
from commands.main import given_path  # noqa: E402
from commands.serve import check_port  # noqa: E402
from core.errors import BadConfiguration, Unavailable  # noqa: E402
from core.settings import PORTS  # noqa: E402

READY_SECONDS = 60


def demo(
    once: Annotated[bool, typer.Option(help="take the cases through the chain, print a summary and stop")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the summary as JSON on the last line")] = False,
    seed: Annotated[int, typer.Option(help="of the generated patients and images", min=0)] = 1,
    sites: Annotated[int, typer.Option(help="how many hospitals", min=1, max=5)] = 1,
    cases: Annotated[int, typer.Option(help="how many of the seed's studies", min=1, max=7)] = 7,
    train: Annotated[bool, typer.Option("--train", help="train, judge, register and run a small model too")] = False,
) -> None:
    """Start every node, show the chain on generated patients, print the addresses, and stay up until Ctrl-C."""
    folder = given_path(os.environ.get("SONOBANK_DATA_DIR", "var"))
    layout = Layout(folder, sites, int(os.environ.get("SONOBANK_PORT", PORTS["site"])))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    ok = True
    try:
        with running(layout) as demo_nodes:
            ready = time.monotonic() - begun
            with Journey(layout, demo_nodes.papers, seed, cases, lambda text: print(text, file=sys.stderr)) as journey:
                summary = journey.run()
                if train:
                    _teach(layout, demo_nodes.papers, seed, summary)
                if summary["ok"] and not once:
                    journey.leave_for_hands()
            summary["seconds_ready"] = round(ready, 1)
            ok = bool(summary["ok"])
            _report(layout, folder, summary, as_json)
            if not once:
                _stay(demo_nodes.processes)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    if once and not ok:
        raise typer.Exit(1)


def _teach(layout: Layout, papers: dict[str, Any], seed: int, summary: dict[str, Any]) -> None:
    """Add the stages of a training to the summary; after a chain that failed there is none."""
    if not summary["ok"]:
        return
    lesson = Lesson(layout, papers, seed, lambda text: print(text, file=sys.stderr))
    begun = time.monotonic()
    try:
        lesson.run()
    except Unavailable as trouble:
        summary |= {"ok": False, "error": trouble.message}
    summary["stages"] |= lesson.stages
    summary |= lesson.facts | {"seconds": round(summary["seconds"] + time.monotonic() - begun, 1)}


@dataclass
class Running:
    """The demo's nodes while they run."""

    layout: Layout
    papers: dict[str, Any]
    urls: dict[str, str]
    processes: dict[str, NodeProcess]


@contextmanager
def running(layout: Layout) -> Iterator[Running]:
    """Every node with its database, people, door and worker, ended together. Raises BadConfiguration for a taken port."""
    for node in layout.nodes:
        check_port("127.0.0.1", node.port)
    layout.folder.mkdir(parents=True, exist_ok=True)
    make_keys(layout)
    with databases(layout) as urls:
        papers = provision(layout, urls)
        processes = start(layout, layout.folder / "logs")
        try:
            papers["pids"] = [process.pid for process in processes.values()]
            write_secret(layout.folder / "demo.json", json.dumps(papers, indent=1))
            wait_until_ready(layout, processes)
            yield Running(layout, papers, urls, processes)
        finally:
            stop(processes)


def wait_until_ready(layout: Layout, processes: dict[str, NodeProcess]) -> None:
    """Raise Unavailable, naming the log, when a node does not answer in time."""
    deadline = time.monotonic() + READY_SECONDS
    for node in layout.nodes:
        while not _is_ready(node.url):
            dead = [name for name, process in processes.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise Unavailable(
                    f"{dead[0] if dead else node.name} did not start; its log is in {layout.folder / 'logs'}."
                )
            time.sleep(0.1)


def _is_ready(url: str) -> bool:
    try:
        return bool(httpx2.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200)
    except httpx2.HTTPError:
        return False


def _report(layout: Layout, folder: Path, summary: dict[str, Any], as_json: bool) -> None:
    for node in layout.nodes:
        print(f"{node.name:<8} {node.url}", file=sys.stderr)
    print(f"log-ins and tokens: {folder / 'demo.json'}", file=sys.stderr)
    if as_json:
        print(json.dumps(summary), flush=True)
    else:
        stages = "  ".join(f"{name} {stage['count']}" for name, stage in summary["stages"].items())
        print(f"{'ok' if summary['ok'] else 'NOT ok'} in {summary['seconds']} s: {stages}", flush=True)


def _stay(processes: dict[str, NodeProcess]) -> None:
    print("everything is up; Ctrl-C ends it", file=sys.stderr)
    while True:
        for name, process in processes.items():
            if process.poll() is not None:
                raise BadConfiguration(f"{name} has ended; its log says why.")
        time.sleep(1)


def stop(processes: dict[str, NodeProcess]) -> None:
    """End every process; what does not end in 20 s is killed."""
    for process in processes.values():
        process.terminate()
    deadline = time.monotonic() + 20
    for process in processes.values():
        if process.wait(max(0.1, deadline - time.monotonic())) is None:
            process.kill()
            process.wait(5)
