"""Real nodes on loopback for tests: the demo's own layout on free ports, its processes, and helpers to act and to look."""

import random
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from commands.demo import Running
from commands.demo_nodes import DemoNode, Layout, launch
from commands.processes import NodeProcess

T = TypeVar("T")


def free_layout(folder: Path, sites: int = 1) -> Layout:
    """A layout on ports that nobody uses."""
    while True:
        layout = Layout(folder, sites, random.randrange(12000, 18000, 100))
        if all(_is_free(node.port) for node in layout.nodes):
            return layout


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def until(ask: Callable[[], T | None], what: str, seconds: float = 90) -> T:
    """Ask until the answer is not None. Fails, naming what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := ask()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s")


def restart(running: Running, node: DemoNode, verb: str, kill: int = signal.SIGTERM, **env: str) -> None:
    """End one process of a node and start it again, with other settings if given."""
    name = f"{node.name}-{verb}"
    end(running.processes[name], kill)
    changed = DemoNode(node.name, node.role, node.port, node.env | env)
    running.processes[name] = launch(changed, verb, running.layout.folder / "logs")


def end(process: NodeProcess, kill: int = signal.SIGTERM) -> None:
    process.send_signal(kill)
    process.wait(30)


def logs_of(running: Running) -> str:
    """What the nodes wrote, for a failing test's message."""
    return "\n".join(
        f"== {path.name}\n{path.read_text()[-2000:]}" for path in sorted((running.layout.folder / "logs").glob("*.log"))
    )


def papers(running: Running, name: str) -> dict[str, Any]:
    found: dict[str, Any] = running.papers[name]
    return found
