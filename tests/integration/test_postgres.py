"""The embedded PostgreSQL under the hands it meets: root in a closed folder, kill -9, two processes, a taken port."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from core import postgres_account
from core.db import make_engine
from core.errors import BadConfiguration
from core.postgres import EmbeddedPostgres, check_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that only we may enter, as a checkout under /root or from mkdtemp is."""
    path = Path(tempfile.mkdtemp(prefix="sonobank-pg-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(folder / "data" / "postgres", folder / "keys")
    yield embedded
    embedded.stop()


def postmaster(folder: Path) -> int:
    return int((folder / "data/postgres/cluster/postmaster.pid").read_text().splitlines()[0])


def is_running(folder: Path) -> bool:
    return (folder / "data/postgres/cluster/postmaster.pid").exists()


def wait_for(url: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def member(folder: Path) -> "subprocess.Popen[str]":
    """Another process that joins the cluster, says its port, and leaves when its stdin closes."""
    code = (
        "import sys; from pathlib import Path; from core.postgres import EmbeddedPostgres\n"
        "e = EmbeddedPostgres(Path(sys.argv[1]) / 'data/postgres', Path(sys.argv[1]) / 'keys')\n"
        "print(e.start().port, flush=True); sys.stdin.read(); print(e.stop(), flush=True)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def leave(process: "subprocess.Popen[str]") -> str:
    """Let the process leave; whether it stopped the server."""
    output, _ = process.communicate("", timeout=60)
    return output.strip()


def test_japanese_trigrams_and_roles(server: EmbeddedPostgres) -> None:
    server.start()
    bank = server.ensure_database("bank", "bank", server.password("bank"))
    vault = server.ensure_schema("bank", "vault", "vault", server.password("vault"))
    assert server.ensure_database("bank", "bank", server.password("bank")) == bank
    with psycopg.connect(bank) as connection:
        row = connection.execute("SELECT similarity('山田 太郎', '山田 太朗'), 'ä' ILIKE 'Ä'").fetchone()
        assert row == (0.5, True)
        connection.execute("CREATE TABLE patient (id int)")
        connection.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE vault.stolen (id int)")
    with psycopg.connect(vault) as connection:
        connection.execute("CREATE TABLE linkage (id int)")
        where = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'linkage'").fetchone()
        assert where == ("vault",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM public.patient")
    engine = make_engine(bank)
    check_server(engine)
    engine.dispose()


def test_password_is_needed_and_kept_closed(server: EmbeddedPostgres, folder: Path) -> None:
    cluster = server.start()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(cluster.url("postgres", "sonobank_admin", "guess"))
    assert (folder / "keys").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in (folder / "keys").iterdir()] == [0o400]
    assert server.password("sonobank_admin") not in repr(cluster)


def test_values_stay_out_of_the_log(server: EmbeddedPostgres, folder: Path) -> None:
    cluster = server.start()
    with cluster.connect() as connection:
        for wrong in ("SELECT '山田花子'::int", "SELECT * FROM 患者_山田花子", "SELECT 1/0, '山田花子'"):
            with pytest.raises(psycopg.Error):
                connection.execute(wrong)
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT %s::text::int", ("山田花子",))
    assert server.stop()
    logged = b"".join(path.read_bytes() for path in (folder / "data/postgres/cluster/log").iterdir())
    assert b"ready to accept connections" in logged
    assert "山田花子".encode() not in logged


def test_closed_folders_above_stay_closed(server: EmbeddedPostgres, folder: Path) -> None:
    before = folder.stat().st_mode, folder.stat().st_uid
    server.start()
    assert (folder.stat().st_mode, folder.stat().st_uid) == before
    if os.geteuid() == 0:
        assert (folder / "data/postgres/cluster").stat().st_uid != 0


def test_programs_in_a_closed_checkout_are_reached_or_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        return  # an ordinary user owns its checkout: there is nobody to hand over to
    wheel = postgres_account._wheel()
    for name in (wheel.name, f"{wheel.name}.libs"):
        shutil.copytree(wheel.with_name(name), folder / "site" / name, symlinks=True)
    (folder / "cluster").mkdir()
    copies = Path(tempfile.mkdtemp(prefix="sonobank-copies-"))
    copies.chmod(0o755)
    monkeypatch.setattr(postgres_account, "COPIES", copies)
    uid, gid = postgres_account._unprivileged(folder / "cluster")
    plain = postgres_account.Account(folder / "site" / wheel.name / "pginstall/bin", uid, gid)
    assert not plain.can_serve(folder)
    by_copy = postgres_account.Account(
        postgres_account._copied(folder / "site" / wheel.name) / "pginstall/bin", uid, gid
    )
    assert by_copy.can_serve(Path("/")) and not by_copy.can_enter(folder)
    powers = [a.capability for a in postgres_account._candidates(folder / "site" / wheel.name, folder, uid, gid)]
    assert powers == [None, "dac_read_search", "dac_override"]
    shutil.rmtree(copies)


def test_a_killed_server_comes_back_with_its_rows(server: EmbeddedPostgres, folder: Path) -> None:
    cluster = server.start()
    url = cluster.url("postgres", "sonobank_admin", cluster.password)
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 20000) AS n")
    first = postmaster(folder)
    os.kill(first, signal.SIGKILL)
    wait_for(url)  # the watch starts it again by itself, on the same port
    with cluster.connect() as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (20000,)
    assert postmaster(folder) != first


def test_a_new_process_revives_a_crashed_server(server: EmbeddedPostgres, folder: Path) -> None:
    other = member(folder)
    said(other)
    pid = postmaster(folder)
    other.kill()
    other.communicate()
    os.kill(pid, signal.SIGKILL)
    with server.start().connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_stale_pid_file_of_another_process_is_no_obstacle(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    kept = (folder / "data/postgres/cluster/postmaster.pid").read_text().splitlines()
    assert server.stop()
    kept[0] = str(os.getpid())
    stale = folder / "data/postgres/cluster/postmaster.pid"
    stale.write_text("\n".join(kept) + "\n")
    shutil.chown(stale, (folder / "data/postgres/cluster").stat().st_uid)
    server.start()
    assert postmaster(folder) != os.getpid()


def test_the_last_of_two_processes_stops_it(server: EmbeddedPostgres, folder: Path) -> None:
    other = member(folder)
    assert server.start().port == int(said(other))
    assert not server.stop()
    assert is_running(folder)
    assert leave(other) == "True"
    assert not is_running(folder)


def test_a_killed_process_leaves_by_itself(server: EmbeddedPostgres, folder: Path) -> None:
    other = member(folder)
    port = int(said(other))
    other.kill()
    other.communicate()
    assert is_running(folder)  # others may use it
    assert server.start().port == port
    assert server.stop()
    assert not is_running(folder)


def test_two_processes_that_start_at_once_share_one_server(folder: Path) -> None:
    both = [member(folder), member(folder)]
    assert said(both[0]) == said(both[1])
    assert sorted(leave(process) for process in both) == ["False", "True"]


def test_a_taken_port_is_replaced_and_a_wanted_one_refused(server: EmbeddedPostgres, folder: Path) -> None:
    port = server.start().port
    server.stop()
    assert server.start().port == port
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        assert server.start().port != port
        server.stop()
        wanting = EmbeddedPostgres(folder / "data" / "postgres", folder / "keys", port)
        with pytest.raises(BadConfiguration, match="in use"):
            wanting.start()


def test_keys_beside_the_data_are_refused(folder: Path) -> None:
    with pytest.raises(BadConfiguration, match="SONOBANK_KEYS_DIR"):
        EmbeddedPostgres(folder / "postgres", folder / "postgres" / "keys").start()


def test_a_database_that_cannot_search_japanese_is_refused(server: EmbeddedPostgres) -> None:
    cluster = server.start()
    with cluster.connect() as connection:
        connection.execute(
            "CREATE DATABASE plain TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        connection.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
    for name, reason in (("plain", "Japanese"), ("latin", "UTF-8")):
        engine = make_engine(cluster.url(name, "sonobank_admin", cluster.password))
        with pytest.raises(BadConfiguration, match=reason):
            check_server(engine)
        engine.dispose()
