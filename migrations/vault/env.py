"""Alembic's environment of the vault: `alembic -n vault`, or `core.vault.migrate.upgrade(url)`."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from core.errors import BadConfiguration
from core.vault.tables import SCHEMA, metadata


def _only_vault(name: str | None, type_: str, _parents: object) -> bool:
    return type_ != "schema" or name == SCHEMA


def _url() -> str:
    url = context.config.attributes.get("url") or os.environ.get("SONOBANK_VAULT_DATABASE_URL")
    if not url:
        raise BadConfiguration("SONOBANK_VAULT_DATABASE_URL is not set: give the vault role's own address.")
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _run(connection: Connection) -> None:
    # Tables are compared by their schema's name; one that is on the search path would lose it.
    connection.execute(text("SET search_path TO pg_catalog"))
    connection.dialect.default_schema_name = "pg_catalog"
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        include_name=_only_vault,
        version_table_schema=SCHEMA,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    if context.is_offline_mode():
        raise BadConfiguration("The vault's migrations need the database: run them without --sql.")
    given = context.config.attributes.get("connection")
    if given is not None:
        _run(given)
        return
    engine = create_engine(_url(), poolclass=NullPool, hide_parameters=True)
    with engine.connect() as connection:
        _run(connection)


main()
