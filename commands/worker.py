"""Work off the queue of one node."""

import asyncio
import signal
from typing import Annotated

import typer

from core import logs
from core.node import Node
from core.opening import open_node
from core.settings import load
from workers import runner


def worker(role: Annotated[str, typer.Option(help="site, relay or central")]) -> None:
    """Run the background jobs of a node until it is stopped."""
    settings = load(role=role)
    logs.configure(settings.log_level)
    with open_node(settings) as node:
        asyncio.run(_run(node))


async def _run(node: Node) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    url = node.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    await runner.run(node, url, stop)
