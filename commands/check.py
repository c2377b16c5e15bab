"""`./run check`: lint, types, import contracts and migrations; `./run fix` repairs what can be repaired."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import typer

from core.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parent.parent
_PYTHON = [sys.executable, "-m"]
_CODE = {
    "lint": [*_PYTHON, "ruff", "check", "."],
    "format": [*_PYTHON, "ruff", "format", "--check", "."],
    "types": [*_PYTHON, "mypy"],
    "imports": [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
}
# Each environment is brought from nothing to head; then the models must want no further change.
_MIGRATIONS = {
    f"migrations {name}: {verb}": [*_PYTHON, "alembic", "-n", name, *arguments]
    for name in ("main", "vault")
    for verb, arguments in (("from nothing to head", ("upgrade", "head")), ("nothing left to do", ("check",)))
}


def check() -> None:
    """Check everything and change nothing."""
    failed = [name for name, command in _CODE.items() if not _passes(name, command, {})]
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", Path(folder) / "keys")
        server.start()
        try:
            urls = _urls(server)
            failed += [name for name, command in _MIGRATIONS.items() if not _passes(name, command, urls)]
        finally:
            server.stop()
    if failed:
        print(f"failed: {', '.join(failed)}")
        raise typer.Exit(1)
    print("all checks passed")


def fix() -> None:
    """Repair what the linter and the formatter can repair by themselves."""
    subprocess.run([*_PYTHON, "ruff", "check", "--fix", "--quiet", "."], cwd=ROOT, check=False)
    subprocess.run([*_PYTHON, "ruff", "format", "--quiet", "."], cwd=ROOT, check=False)
    check()


def _urls(server: EmbeddedPostgres) -> dict[str, str]:
    return {
        "SONOBANK_DATABASE_URL": server.ensure_database("bank", "bank", server.password("bank")),
        "SONOBANK_VAULT_DATABASE_URL": server.ensure_schema("bank", "vault", "vault", server.password("vault")),
    }


def _passes(name: str, command: list[str], environment: Mapping[str, str]) -> bool:
    """Run one check quietly; what it said is shown when it fails."""
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    print(f"{'ok    ' if done.returncode == 0 else 'FAILED'}  {name}  ({time.monotonic() - began:.1f} s)", flush=True)
    if done.returncode != 0:
        print(done.stdout + done.stderr, flush=True)
    return done.returncode == 0
