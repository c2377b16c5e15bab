"""What Sonobank asks of a PostgreSQL server: its settings when it is ours, and a check of it whosever it is."""

from dataclasses import dataclass, field
from urllib.parse import quote

import psycopg
from psycopg import sql
from sqlalchemy import Engine

from core.errors import BadConfiguration

ADMIN = "sonobank_admin"
LEAST_VERSION = 15

# A message of level ERROR quotes the value that was wrong, so such messages stay out of the log altogether.
CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
password_encryption = scram-sha-256
max_connections = 60
shared_buffers = 32MB
work_mem = 4MB
maintenance_work_mem = 32MB
wal_buffers = 1MB
min_wal_size = 32MB
max_wal_size = 256MB
max_wal_senders = 2
max_logical_replication_workers = 0
max_worker_processes = 4
max_parallel_workers = 1
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 0
autovacuum_max_workers = 1
autovacuum_worker_slots = 2
io_method = sync
huge_pages = off
jit = off
random_page_cost = 1.1
fsync = on
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
default_text_search_config = 'pg_catalog.simple'
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_file_mode = 0600
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_min_messages = log
log_error_verbosity = terse
log_min_error_statement = panic
log_statement = none
log_min_duration_statement = -1
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_checkpoints = off
"""
ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class Cluster:
    """A running server on 127.0.0.1, and its administrator's password."""

    port: int
    password: str = field(repr=False)

    def url(self, database: str, role: str, password: str) -> str:
        return f"postgresql://{quote(role)}:{quote(password, safe='')}@127.0.0.1:{self.port}/{quote(database)}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """An administrator's connection in autocommit."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=ADMIN,
            password=self.password,
            dbname=database,
            sslmode="disable",
            connect_timeout=10,
            autocommit=True,
        )

    def make_database(self, name: str, owner: str, password: str) -> str:
        """Make the database and its owner's role where they are missing, set the password, check it; its URL."""
        names = {"database": sql.Identifier(name), "owner": sql.Identifier(owner)}
        with self.connect() as connection:
            _make_role(connection, owner, password)
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                make = sql.SQL("CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'")
                connection.execute(make.format(**names))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {database} FROM PUBLIC").format(**names))
        with self.connect(name) as connection:
            _check(connection)
        return self.url(name, owner, password)

    def make_schema(self, database: str, schema: str, owner: str, password: str) -> str:
        """A schema that belongs to a role of its own, which has nothing else in the database; the URL of that role."""
        names = {"schema": sql.Identifier(schema), "owner": sql.Identifier(owner), "database": sql.Identifier(database)}
        with self.connect(database) as connection:
            _make_role(connection, owner, password)
            for statement in (
                "GRANT CONNECT ON DATABASE {database} TO {owner}",
                "CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {owner}",
                "REVOKE ALL ON SCHEMA {schema} FROM PUBLIC",
                "ALTER ROLE {owner} IN DATABASE {database} SET search_path = {schema}, public",
            ):
                connection.execute(sql.SQL(statement).format(**names))
        return self.url(database, owner, password)


def check_server(engine: Engine) -> None:
    """Raise BadConfiguration, with the fix, unless the server suits: version, encoding, trigrams of Japanese text."""
    connection = engine.raw_connection()
    try:
        driver = connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise BadConfiguration("SONOBANK_DATABASE_URL must be a postgresql:// address.")
        _check(driver)
        connection.commit()
    finally:
        connection.close()


def _check(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    if connection.info.server_version < LEAST_VERSION * 10000:
        raise BadConfiguration(f"The database server is too old: use PostgreSQL {LEAST_VERSION} or later.")
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise BadConfiguration("The database is not UTF-8: create it with ENCODING 'UTF8' TEMPLATE template0.")
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        found = connection.execute("SELECT cardinality(show_trgm('山田太郎'))").fetchone()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
        raise BadConfiguration(
            "The extension pg_trgm is missing: install the server's contrib package and, as its administrator, "
            "run CREATE EXTENSION pg_trgm in this database."
        ) from None
    if found is None or not found[0]:
        raise BadConfiguration(
            "The database cannot search Japanese text: create it with LC_CTYPE 'C.UTF-8' or 'ja_JP.UTF-8', not 'C'."
        )


def _make_role(connection: psycopg.Connection[tuple[object, ...]], role: str, password: str) -> None:
    """The server gets the password's SCRAM verifier only, so the password is in no statement and no log."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    change = sql.SQL("ALTER ROLE {} PASSWORD {}" if known else "CREATE ROLE {} LOGIN PASSWORD {}")
    connection.execute(change.format(sql.Identifier(role), sql.Literal(verifier)))
