"""Serve one node over HTTP."""

import signal
import socket
import ssl
import sys
from contextlib import nullcontext
from typing import Annotated

import typer
import uvicorn

from api.main import create_app
from api.routes.infer_stream import LARGEST_FRAME
from core import logs
from core.errors import BadConfiguration
from core.opening import open_node
from core.settings import Settings, load


def serve(role: Annotated[str, typer.Option(help="site, relay, central or pacs")]) -> None:
    """Serve one node until it is stopped."""
    settings = load(role=role)
    logs.configure(settings.log_level)
    check_port(settings.host, settings.listen_port)
    check_certificate(settings)
    # uvicorn raises the signal that stopped it once more; as an exit it lets the node be closed in order.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with open_node(settings) as node:
        config = uvicorn.Config(
            create_app(settings, lambda: nullcontext(node)),
            host=settings.host,
            port=settings.listen_port,
            ssl_certfile=settings.tls_cert_file,
            ssl_keyfile=settings.tls_key_file,
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=10,
            timeout_keep_alive=30,
            ws_max_size=LARGEST_FRAME
            + 1,  # a larger one closes the stream; the route refuses one that is too large by a hair
            ws_per_message_deflate=False,  # pictures do not shrink
        )
        uvicorn.Server(config).run()


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


def check_certificate(settings: Settings) -> None:
    """Raise BadConfiguration, naming the settings, when the certificate and its key cannot be used."""
    if settings.tls_cert_file is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.tls_cert_file, settings.tls_key_file
        )
    except (OSError, ssl.SSLError):
        raise BadConfiguration(
            "SONOBANK_TLS_CERT_FILE and SONOBANK_TLS_KEY_FILE must be a readable PEM certificate chain and its key."
        ) from None
