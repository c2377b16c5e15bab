"""Bring the main tables to the newest schema, one process at a time."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from core.db import DRIVER

ROOT = Path(__file__).resolve().parent.parent
_LOCK = 0x50_4E_4F_02


def upgrade_main(url: str) -> None:
    """Tables of every role and the queue's schema; the vault's schema has `core.vault.migrate`."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    url = url.replace("postgresql://", f"{DRIVER}://", 1)
    engine = create_engine(url, hide_parameters=True)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            connection.commit()
            config = Config(ROOT / "alembic.ini", ini_section="main")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
            connection.commit()
    finally:
        engine.dispose()
