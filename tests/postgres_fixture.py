"""One scratch PostgreSQL for the whole test run, through the project's own EmbeddedPostgres; databases are cheap copies."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from core.migrate import upgrade_main
from core.opening import OWNER, VAULT_OWNER
from core.postgres import Cluster, EmbeddedPostgres

TEMPLATE = "sonobank_template"


@dataclass(frozen=True)
class ScratchPostgres:
    """A running cluster with a template database that has every main table."""

    folder: Path
    embedded: EmbeddedPostgres
    cluster: Cluster

    def database(self) -> str:
        """The name of a new database with the main tables, owned by the role that nodes use."""
        name = f"bank_{secrets.token_hex(6)}"
        names = {"name": sql.Identifier(name), "owner": sql.Identifier(OWNER), "template": sql.Identifier(TEMPLATE)}
        with self.cluster.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {name} OWNER {owner} TEMPLATE {template}").format(**names))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {name} FROM PUBLIC").format(**names))
        return name

    def url(self, database: str) -> str:
        return self.cluster.url(database, OWNER, self.embedded.password(OWNER))

    def vault_url(self, database: str) -> str:
        """The URL of the vault's own role, with its schema made."""
        return self.embedded.ensure_schema(database, "vault", VAULT_OWNER, self.embedded.password(VAULT_OWNER))

    def superuser(self, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        """Somebody who may change everything, as an attacker in the database could."""
        return self.cluster.connect(database)

    def log(self) -> str:
        """Everything that the server has logged so far."""
        folder = self.folder / "pg" / "cluster" / "log"
        return "".join(path.read_text(errors="replace") for path in sorted(folder.iterdir()))


@contextmanager
def scratch_postgres() -> Iterator[ScratchPostgres]:
    """Started once for a test run; the folder goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="sonobank-tests-"))
    mask = os.umask(0o022)
    embedded = EmbeddedPostgres(folder / "pg", folder / "keys")
    try:
        cluster = embedded.start()
        upgrade_main(embedded.ensure_database(TEMPLATE, OWNER, embedded.password(OWNER)))
        yield ScratchPostgres(folder, embedded, cluster)
    finally:
        embedded.stop()
        os.umask(mask)
        shutil.rmtree(folder)
