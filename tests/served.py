"""A whole node in this process for tests: its application over a fresh database, and people who may use it."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI
from starlette.testclient import TestClient

from api.main import create_app
from core.db import transaction
from core.models.people import Role, User
from core.node import Node
from core.opening import open_node
from core.package import central_keys
from core.permissions import SYSTEM, Verb
from core.services import accounts
from core.settings import Settings
from core.vault import create_keys
from tests.postgres_fixture import ScratchPostgres

SITE = "KYOTO01"
EVERY_SCOPE = [verb.value for verb in Verb]
Grants = Sequence[tuple[Role, str]]


@dataclass
class Served:
    """A node that answers requests; `people` are the users that the test has made."""

    client: TestClient
    app: FastAPI
    settings: Settings
    database: str
    people: dict[str, User] = field(default_factory=dict)

    @property
    def node(self) -> Node:
        node: Node = self.app.state.node
        return node

    def person(self, name: str, grants: Grants, *, password: str | None = None, site: str | None = None) -> User:
        with transaction(self.node.engine, "test.person") as session:
            self.people[name] = accounts.create_user(session, SYSTEM, name, password, list(grants), site)
        return self.people[name]

    def token(self, name: str, scopes: Sequence[str] = EVERY_SCOPE, lifetime: timedelta = timedelta(hours=1)) -> str:
        with transaction(self.node.engine, "test.token") as session:
            _, secret = accounts.create_token(session, self.people[name], "test", list(scopes), lifetime, SYSTEM)
        return secret

    def bearer(self, name: str, scopes: Sequence[str] = EVERY_SCOPE) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(name, scopes)}"}

    def cookie(self, name: str) -> str:
        """The secret of a new browser session of this person."""
        with transaction(self.node.engine, "test.session") as session:
            return accounts.open_session(session, self.people[name])


@contextmanager
def serve(postgres: ScratchPostgres, role: str, **changes: object) -> Iterator[Served]:
    """A node of this role; it lives as long as the block."""
    mask = os.umask(0o077)
    database = postgres.database()
    with tempfile.TemporaryDirectory(prefix=f"sonobank-{role}-") as name:
        folder = Path(name)
        central_keys.create(folder / "keys")
        create_keys(folder / "keys" / "site")
        given: dict[str, object] = {
            "role": role,
            "data_dir": folder / "data",
            "keys_dir": folder / "keys",
            "site_code": SITE,
            "database_url": postgres.url(database),
            "vault_database_url": postgres.vault_url(database) if role == "site" else None,
        }
        settings = Settings(_env_file=None, **given | changes)  # type: ignore[arg-type]
        app = create_app(settings, lambda: open_node(settings))
        try:
            with TestClient(app, settings.base_url, raise_server_exceptions=False, follow_redirects=False) as client:
                yield Served(client, app, settings, database)
        finally:
            os.umask(mask)
