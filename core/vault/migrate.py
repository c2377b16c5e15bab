"""The vault's place in the database: its role, its schema, its tables."""

from pathlib import Path
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import make_url

from core.errors import BadConfiguration, Unavailable
from core.vault.tables import SCHEMA

SCRIPTS: Final = Path(__file__).resolve().parents[2] / "migrations" / "vault"
_LOCK: Final = 0x534F4E4F  # one bootstrap at a time, whoever starts it

# Names of roles and of the database are settings; the schema's name is ours.
_STATEMENTS: Final = (
    "GRANT CONNECT ON DATABASE {database} TO {vault_role}",
    "CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {vault_role}",
    "ALTER SCHEMA {schema} OWNER TO {vault_role}",
    "REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {main_role}",
    "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, {main_role}",
)


def upgrade(url: str) -> None:
    """Bring the vault's tables to the newest version. url: the vault role's own; `bootstrap` made its schema."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["url"] = url
    command.upgrade(config, "head")


def bootstrap(admin_url: str, database: str, vault_role: str, vault_password: str, main_role: str) -> None:
    """Make the vault's role and schema, and shut the main role out; may run again and then sets the password anew.

    Raises BadConfiguration when the main role could read the vault anyway, Unavailable when the server is away."""
    if vault_role == main_role:
        raise BadConfiguration(
            "The vault needs a database role of its own; SONOBANK_VAULT_DATABASE_URL has the main one."
        )
    names = {
        "database": sql.Identifier(database),
        "schema": sql.Identifier(SCHEMA),
        "vault_role": sql.Identifier(vault_role),
        "main_role": sql.Identifier(main_role),
    }
    address = make_url(admin_url).set(drivername="postgresql", database=database)
    try:
        with psycopg.connect(address.render_as_string(hide_password=False)) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            _make_role(connection, vault_role, vault_password)
            for statement in _STATEMENTS:
                connection.execute(sql.SQL(statement).format(**names))
            _check_main_role(connection, main_role)
    except psycopg.OperationalError:
        raise Unavailable("The database does not answer, or does not know its administrator.") from None
    except psycopg.errors.InsufficientPrivilege:
        raise BadConfiguration("Only an administrator of the database can make the vault's role and schema.") from None


def _make_role(connection: psycopg.Connection[tuple[object, ...]], role: str, password: str) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    # The server gets a SCRAM verifier, so that the password stands in no log of statements.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    verb = "ALTER" if known else "CREATE"
    statement = "{verb} ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {verifier}"
    connection.execute(
        sql.SQL(statement).format(verb=sql.SQL(verb), role=sql.Identifier(role), verifier=sql.Literal(verifier))
    )


def _check_main_role(connection: psycopg.Connection[tuple[object, ...]], main_role: str) -> None:
    """A superuser, or a member of the vault's role, passes by every revoked right."""
    reads = connection.execute("SELECT has_schema_privilege(%s, %s, 'USAGE')", (main_role, SCHEMA)).fetchone()
    if reads is None or reads[0]:
        raise BadConfiguration(
            "The main database role could read the vault: it is a superuser or a member of the vault's role. "
            "Use a plain role in SONOBANK_DATABASE_URL."
        )
