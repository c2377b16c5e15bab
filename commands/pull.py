"""Download a frozen dataset; the same client that AI developers take from central."""

import os
from typing import Annotated

import typer

from commands.main import given_path
from core.errors import Refused, Unavailable
from ml.client import Sonobank
from ml.connection import PullFailed


def pull(
    url: Annotated[str, typer.Argument(help="address of central")],
    name: str,
    folder: Annotated[str, typer.Argument(help="where to put it; what is there already and right is kept")],
    version: Annotated[int | None, typer.Option(help="the newest frozen one if not given")] = None,
) -> None:
    """Download a dataset and check every hash. The token is read from SONOBANK_TOKEN."""
    token = os.environ.get("SONOBANK_TOKEN")
    if not token:
        raise Refused("SONOBANK_TOKEN is not set: make a token with the scope datasets:read and put it there.")
    try:
        pulled = Sonobank(url, token).dataset(name, version=version).pull(given_path(folder))
    except PullFailed as trouble:
        raise Unavailable(str(trouble)) from None
    print(pulled)
