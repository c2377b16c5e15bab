"""Alembic environment of the main tables; the queue's own tables are left to their own migrations."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine

from core.models import metadata


def include(item: object, name: str | None, kind: str, reflected: bool, compare_to: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith("procrastinate_"))


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_object=include,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = create_engine(
        os.environ["SONOBANK_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1), hide_parameters=True
    )
    with engine.connect() as connection:
        run(connection)
