"""Fixtures over a real database; the server is started once for the whole run."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from core.db import make_engine
from tests.postgres_fixture import ScratchPostgres, scratch_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[ScratchPostgres]:
    with scratch_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def database(postgres: ScratchPostgres) -> str:
    """The name of a fresh database for this module."""
    return postgres.database()


@pytest.fixture(scope="module")
def engine(postgres: ScratchPostgres, database: str) -> Iterator[Engine]:
    made = make_engine(postgres.url(database))
    yield made
    made.dispose()
