"""Serve one node over HTTP."""

import logging
import socket
from typing import Annotated

import typer
import uvicorn

from api.main import create_app
from core import logs
from core.errors import BadConfiguration
from core.opening import open_node
from core.settings import load


def serve(role: Annotated[str, typer.Option(help="site, relay, central or pacs")]) -> None:
    """Serve one node until it is stopped."""
    settings = load(role=role)
    logs.configure(settings.log_level)
    check_port(settings.host, settings.listen_port)
    config = uvicorn.Config(
        create_app(settings, lambda: open_node(settings)),
        host=settings.host,
        port=settings.listen_port,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=30,
    )
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        raise BadConfiguration("The node could not start; the log above says why.")
    logging.getLogger(__name__).info("stopped")


def check_port(host: str, port: int) -> None:
    """Raise BadConfiguration, naming the setting, when somebody listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise BadConfiguration(
                f"Port {port} is taken: set SONOBANK_PORT to a free one, or stop what uses it."
            ) from None
