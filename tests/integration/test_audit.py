"""The audit chain: one sealer, and every way to tamper with the table is found."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select
from typer.testing import CliRunner

from commands import admin
from core import audit
from core.db import make_engine, transaction
from core.models.audit import AuditEvent
from core.models.transfer import SignedMessage
from core.package import central_keys, messages, signing
from core.permissions import Actor
from core.store import open_store
from core.vault import create_keys
from tests.postgres_fixture import ScratchPostgres

SATO = Actor("sato", uuid4())
Superuser = Callable[[], "psycopg.Connection[tuple[object, ...]]"]


@pytest.fixture
def database(postgres: ScratchPostgres) -> str:
    """Each test tampers with a table of its own."""
    return postgres.database()


@pytest.fixture
def engine(postgres: ScratchPostgres, database: str) -> Iterator[Engine]:
    made = make_engine(postgres.url(database))
    yield made
    made.dispose()


def write(engine: Engine, count: int) -> None:
    with transaction(engine, "test.write") as session:
        for number in range(count):
            audit.record(session, SATO, "case.flag", uuid4(), None, "QUEUED", n=number, codes=["a", "乳腺"], ok=True)


def head_of(engine: Engine) -> str:
    with transaction(engine, "test.head") as session:
        return audit.head(session)


def kinds(engine: Engine, *heads: str) -> set[str]:
    return {finding.kind for finding in audit.verify(engine, heads)}


def chain(engine: Engine) -> list[AuditEvent]:
    with transaction(engine, "test.chain") as session:
        return list(session.exec(select(AuditEvent).order_by(AuditEvent.seq)))  # type: ignore[arg-type]


@pytest.fixture
def tamper(postgres: ScratchPostgres, database: str, engine: Engine) -> Iterator[Superuser]:
    """Twelve chained events, and a superuser's connection."""
    write(engine, 12)
    assert audit.seal(engine) == 12
    assert audit.verify(engine) == []
    opened: list[psycopg.Connection[tuple[object, ...]]] = []

    def connect() -> "psycopg.Connection[tuple[object, ...]]":
        opened.append(postgres.superuser(database))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def test_an_empty_chain_holds(engine: Engine) -> None:
    assert audit.verify(engine) == []
    assert head_of(engine) == audit.GENESIS
    assert audit.seal(engine) == 0


def test_events_are_chained_in_an_order_of_the_sealers_own(engine: Engine) -> None:
    write(engine, 3)
    assert all(event.seq is None for event in chain(engine))
    assert audit.seal(engine) == 3
    write(engine, 2)
    assert audit.seal(engine) == 2
    events = chain(engine)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert events[0].previous == audit.GENESIS
    assert [later.previous for later in events[1:]] == [event.hash for event in events[:-1]]
    assert head_of(engine) == events[-1].hash
    assert audit.verify(engine, [event.hash or "" for event in events]) == []


def test_a_transaction_that_is_rolled_back_leaves_no_event(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), transaction(engine, "test.rollback") as session:
        audit.record(session, SATO, "case.flag", uuid4())
        session.flush()
        raise ZeroDivisionError
    assert audit.seal(engine) == 0


def test_an_event_that_commits_late_is_chained_late(engine: Engine) -> None:
    """Its id is smaller than that of events which were sealed before it became visible."""
    with Session(engine) as slow:
        audit.record(slow, SATO, "case.flag", uuid4())
        slow.flush()
        write(engine, 2)
        assert audit.seal(engine) == 2
        slow.commit()
    assert audit.seal(engine) == 1
    assert [event.id for event in chain(engine)] == [2, 3, 1]
    assert audit.verify(engine) == []


def test_two_sealers_at_once_make_one_chain(engine: Engine) -> None:
    barrier, done = threading.Barrier(3), []

    def work() -> None:
        barrier.wait()
        for _ in range(15):
            write(engine, 4)
            done.append(audit.seal(engine))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.append(audit.seal(engine))
    assert sum(done) == 180
    assert [event.seq for event in chain(engine)] == list(range(1, 181))
    assert audit.verify(engine, [head_of(engine)]) == []


def test_a_read_is_told_once_in_five_minutes(engine: Engine) -> None:
    other, case = Actor("ito", uuid4()), uuid4()
    for actor in (SATO, SATO, other):
        with transaction(engine, "test.read") as session:
            audit.record_read(session, actor, "original.read", case)
    with transaction(engine, "test.read") as session:
        audit.record_read(session, SATO, "original.read", uuid4())
        for event in session.exec(select(AuditEvent)):
            event.at = datetime(2026, 1, 1, tzinfo=UTC)
    with transaction(engine, "test.read") as session:
        audit.record_read(session, SATO, "original.read", case)
    assert [event.actor for event in chain(engine)].count("sato") == 3
    assert [event.actor for event in chain(engine)].count("ito") == 1


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'tanaka'",
        "verb = 'case.exclude'",
        "subject = gen_random_uuid()::text",
        "after = 'WITHDRAWN'",
        "before = 'CURATING'",
        "detail = detail || '{\"n\": 99}'",
        "at = at + interval '1 microsecond'",
        "user_id = gen_random_uuid()",
        "hash = repeat('a', 64)",
        "id = DEFAULT",
    ],
)
def test_an_altered_event_is_found(tamper: Superuser, engine: Engine, change: str) -> None:
    tamper().execute(f"UPDATE audit_event SET {change} WHERE seq = 5".encode())
    findings = audit.verify(engine)
    assert "altered" in {finding.kind for finding in findings}
    assert 5 in {finding.seq for finding in findings}


def test_an_altered_event_whose_own_hash_was_made_again_breaks_the_next(tamper: Superuser, engine: Engine) -> None:
    tamper().execute("UPDATE audit_event SET actor = 'tanaka' WHERE seq = 5")
    event = chain(engine)[4]
    forged = audit.digest(event, event.previous or "")
    tamper().execute("UPDATE audit_event SET hash = %s WHERE seq = 5", (forged,))
    assert [(finding.kind, finding.seq) for finding in audit.verify(engine)] == [("reordered", 6)]


@pytest.mark.parametrize("seqs", [(1,), (6,), (4, 5, 6)])
def test_a_deleted_event_is_found(tamper: Superuser, engine: Engine, seqs: tuple[int, ...]) -> None:
    tamper().execute("DELETE FROM audit_event WHERE seq = ANY(%s)", (list(seqs),))
    assert [(finding.kind, finding.seq) for finding in audit.verify(engine)] == [("deleted", seqs[0])]


def test_a_deleted_event_stays_found_when_the_rest_is_numbered_again(tamper: Superuser, engine: Engine) -> None:
    connection = tamper()
    connection.execute("DELETE FROM audit_event WHERE seq = 6")
    connection.execute("UPDATE audit_event SET seq = -(seq - 1) WHERE seq > 6")
    connection.execute("UPDATE audit_event SET seq = -seq WHERE seq < 0")
    assert {"reordered", "altered"} <= kinds(engine)


@pytest.mark.parametrize("left", [11, 4, 0])
def test_a_chain_cut_at_its_end_is_found_by_the_head_that_left(tamper: Superuser, engine: Engine, left: int) -> None:
    exported = head_of(engine)
    tamper().execute("DELETE FROM audit_event WHERE seq > %s", (left,))
    assert audit.verify(engine) == []  # nothing in the table itself can tell
    assert kinds(engine, exported) == {"cut or rewritten"}


def test_a_cut_end_stays_found_when_new_events_follow(tamper: Superuser, engine: Engine) -> None:
    exported = head_of(engine)
    tamper().execute("DELETE FROM audit_event WHERE seq > 10")
    write(engine, 5)
    audit.seal(engine)
    assert kinds(engine, exported) == {"cut or rewritten"}


def test_an_event_taken_out_of_the_chain_and_sealed_again_is_found(tamper: Superuser, engine: Engine) -> None:
    exported = head_of(engine)
    tamper().execute("UPDATE audit_event SET seq = NULL, previous = NULL, hash = NULL, actor = 'tanaka' WHERE seq = 12")
    assert audit.seal(engine) == 1
    assert kinds(engine, exported) == {"cut or rewritten"}


def test_reordered_events_are_found(tamper: Superuser, engine: Engine) -> None:
    connection = tamper()
    connection.execute("UPDATE audit_event SET seq = -1 WHERE seq = 4")
    connection.execute("UPDATE audit_event SET seq = 4 WHERE seq = 8")
    connection.execute("UPDATE audit_event SET seq = 8 WHERE seq = -1")
    findings = {(finding.kind, finding.seq) for finding in audit.verify(engine)}
    assert {("reordered", 4), ("altered", 4), ("reordered", 8), ("altered", 8)} <= findings


def test_a_chain_rewritten_with_good_hashes_is_found_by_the_head_that_left(tamper: Superuser, engine: Engine) -> None:
    exported = head_of(engine)
    connection = tamper()
    connection.execute("UPDATE audit_event SET actor = 'tanaka' WHERE seq = 5")
    previous = chain(engine)[3].hash or ""
    for event in chain(engine)[4:]:
        event.previous = previous
        forged = audit.digest(event, previous)
        connection.execute(
            "UPDATE audit_event SET previous = %s, hash = %s WHERE seq = %s", (previous, forged, event.seq)
        )
        previous = forged
    assert audit.verify(engine) == []  # the forger knew how
    assert kinds(engine, exported) == {"cut or rewritten"}


class TestCommand:
    """`./run admin audit verify`: 0 for a chain that holds, 1 with a line for each finding."""

    @pytest.fixture
    def verify(
        self, postgres: ScratchPostgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., "tuple[int, str]"]:
        keys = central_keys.create(tmp_path / "keys", demo=False)
        (tmp_path / "central-public.json").write_text(keys.public().dump())
        create_keys(tmp_path / "keys" / "site")
        given = {
            "SONOBANK_DATA_DIR": str(tmp_path / "var"),
            "SONOBANK_KEYS_DIR": str(tmp_path / "keys"),
            "SONOBANK_DATABASE_URL": postgres.url(database),
            "SONOBANK_VAULT_DATABASE_URL": postgres.vault_url(database),
            "SONOBANK_SITE_CODE": "KYOTO01",
            "SONOBANK_CENTRAL_KEYS_FILE": str(tmp_path / "central-public.json"),
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("os.umask", lambda mask: 0)  # the test's own process keeps its mask

        def run(role: str, *options: str) -> tuple[int, str]:
            result = CliRunner().invoke(admin.app, ["audit", "verify", "--role", role, *options])
            return result.exit_code, result.stdout

        return run

    def test_a_chain_that_holds(self, verify: Callable[..., "tuple[int, str]"], engine: Engine) -> None:
        write(engine, 3)
        audit.seal(engine)
        assert verify("pacs") == (0, "the chain holds; 0 exported heads are in it\n")
        assert verify("pacs", "--json") == (0, "[]\n")

    def test_a_finding_is_exit_code_1(
        self, verify: Callable[..., "tuple[int, str]"], tamper: Superuser, engine: Engine
    ) -> None:
        tamper().execute("DELETE FROM audit_event WHERE seq = 6")
        assert verify("relay") == (1, "deleted: event 6 is missing\n")
        code, output = verify("pacs", "--json")
        assert code == 1
        assert json.loads(output) == [{"kind": "deleted", "seq": 6, "message": "event 6 is missing"}]

    def test_central_looks_for_its_heads_in_the_bucket(
        self, verify: Callable[..., "tuple[int, str]"], tamper: Superuser, engine: Engine, tmp_path: Path
    ) -> None:
        exported = head_of(engine)
        open_store(f"file://{tmp_path / 'var' / 'replica'}", "replica").put_named(
            f"audit/{exported}", exported.encode()
        )
        assert verify("central") == (0, "the chain holds; 1 exported heads are in it\n")
        tamper().execute("DELETE FROM audit_event WHERE seq = 12")
        code, output = verify("central")
        assert code == 1 and output.startswith("cut or rewritten: the exported head ")

    def test_the_site_looks_for_its_heads_in_the_receipts(
        self, verify: Callable[..., "tuple[int, str]"], tamper: Superuser, engine: Engine, tmp_path: Path
    ) -> None:
        signer = central_keys.load(tmp_path / "keys", tmp_path / "var").signer
        receipt = messages.Receipt(
            kind="receipt", site="KYOTO01", key_id=signing.key_id(signer.public_key()), n=1, package_id=uuid4(), case_version=1,
            ciphertext_sha256="0" * 64, verdict="ACCEPTED", reasons=(), site_audit_head=head_of(engine),
        )  # fmt: skip
        body, signature = messages.seal_message(receipt, signer)
        with transaction(engine, "test.receipt") as session:
            session.add(SignedMessage(site="KYOTO01", n=1, body=body.decode(), signature=signature))
        assert verify("site") == (0, "the chain holds; 1 exported heads are in it\n")
        tamper().execute("DELETE FROM audit_event WHERE seq > 11")
        code, output = verify("site", "--json")
        assert code == 1 and [finding["kind"] for finding in json.loads(output)] == ["cut or rewritten"]
        with transaction(engine, "test.receipt") as session:
            session.exec(select(SignedMessage)).one().signature = "0" * 128
        code, output = verify("site", "--json")
        assert code == 1 and "forged receipt" in [finding["kind"] for finding in json.loads(output)]
