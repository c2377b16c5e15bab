"""The vault in a real database: what it stores, what it shows, and who may look."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, select, text, update

from core.db import make_engine
from core.errors import BadConfiguration, Conflict, Denied, Malformed, NotFound, Refused, Unavailable
from core.ids import uuid7
from core.vault import ChartIdRule, Identity, InstanceIdentityIn, Keys, Vault, add_key, create_keys, load_keys, migrate
from core.vault.tables import case_identity, patient
from tests.integration.vault_fixtures import ScratchServer, scratch_server

ROOT = Path(__file__).resolve().parents[2]
MAIN, MAIN_PASSWORD = "main_role", "main-password"
VAULT, VAULT_PASSWORD = "vault_role", "vault-password"
RULE = ChartIdRule(version=1, width=8, issuer="SONO HOSPITAL")
HANAKO = Identity(
    chart_id="0012-3456",
    issuer="Sono Hospital",
    accession="ACC-7741-XQ",
    study_uid="1.2.392.200036.9116.7741.5",
    names=("YAMADA^HANAKO", "山田^花子", "やまだ^はなこ"),
    birth_date="19630217",
    extra={"study_date": "20240509", "study_time": "094512", "referrer": "Dr. Sugawara"},
)


@dataclass
class Bank:
    """One database with its vault, and the audit rows that it asked for."""

    server: ScratchServer
    database: str
    vault_url: str
    engine: Engine
    folder: Path
    keys: Keys
    reveals: list[tuple[UUID, str, str]] = field(default_factory=list)

    def vault(self, rule: ChartIdRule = RULE, keys: Keys | None = None) -> Vault:
        staging = self.folder / "data" / "staging"
        return Vault(self.engine, keys or self.keys, staging, rule, lambda *reveal: self.reveals.append(reveal))


def sealed_instance(vault: Vault, instance_id: UUID, case_id: UUID, identity: InstanceIdentityIn) -> bool:
    return vault.seal_instances(case_id, {instance_id: identity}) == {instance_id}


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    with scratch_server() as running:
        yield running


@pytest.fixture(scope="module")
def database(server: ScratchServer) -> str:
    """A database with a bootstrapped and migrated vault."""
    name = server.make_database(MAIN, MAIN_PASSWORD)
    migrate.bootstrap(server.url(), name, VAULT, VAULT_PASSWORD, MAIN)
    migrate.upgrade(server.url(name, VAULT, VAULT_PASSWORD))
    return name


@pytest.fixture
def bank(server: ScratchServer, database: str, tmp_path: Path) -> Iterator[Bank]:
    vault_url = server.url(database, VAULT, VAULT_PASSWORD)
    engine = make_engine(vault_url)
    yield Bank(server, database, vault_url, engine, tmp_path, create_keys(tmp_path / "keys"))
    with engine.begin() as connection:
        connection.execute(
            text("TRUNCATE vault.patient, vault.case_identity, vault.instance_identity, vault.opt_out, vault.remark")
        )
    engine.dispose()


@pytest.fixture
def vault(bank: Bank) -> Vault:
    return bank.vault()


def sealed_case(vault: Vault, identity: Identity = HANAKO) -> UUID:
    case_id = uuid7()
    vault.seal(case_id, identity)
    return case_id


def test_what_goes_in_comes_out_after_its_audit(bank: Bank, vault: Vault) -> None:
    case_id = sealed_case(vault)
    vault.seal(case_id, HANAKO)
    assert vault.reveal(case_id, "curation", "ana") == HANAKO
    assert bank.reveals == [(case_id, "curation", "ana")]
    with pytest.raises(NotFound):
        vault.reveal(uuid7(), "curation", "ana")


def test_nothing_is_revealed_when_the_audit_fails(bank: Bank) -> None:
    def refuse(case_id: UUID, purpose: str, actor: str) -> None:
        raise Denied("No audit, no reveal.")

    vault = Vault(bank.engine, bank.keys, bank.folder / "data" / "staging", RULE, refuse)
    case_id, instance_id = sealed_case(vault), uuid7()
    sealed_instance(vault, instance_id, case_id, InstanceIdentityIn("1.2.3", "1.2"))
    research_id = vault.link(case_id).research_id
    for reveal in (
        lambda: vault.reveal(case_id, "p", "a"),
        lambda: vault.reveal_instance(instance_id, "p", "a"),
        lambda: vault.reveal_instances(case_id, "p", "a"),
        lambda: vault.needles(case_id, "a"),
        lambda: vault.study_moment(case_id, "a"),
        lambda: vault.link_of_research_id(research_id, "p", "a"),
    ):
        with pytest.raises(Denied):
            reveal()


def test_a_case_stays_its_patients_and_learns(vault: Vault) -> None:
    case_id = sealed_case(vault, Identity(chart_id="123456", accession="ACC-1"))
    vault.learn(case_id, study_uid="1.2.3", accession="ACC-2", names=("YAMADA^HANAKO",), birth_date="19630217")
    vault.learn(case_id, names=("YAMADA^HANAKO", "SUZUKI^HANAKO"))
    known = vault.reveal(case_id, "curation", "ana")
    assert known.names == ("YAMADA^HANAKO", "SUZUKI^HANAKO")
    assert (known.accession, known.study_uid, known.birth_date) == ("ACC-1", "1.2.3", "19630217")
    with pytest.raises(Conflict):
        vault.seal(case_id, Identity(chart_id="999"))
    with pytest.raises(Refused):
        vault.seal(uuid7(), Identity(chart_id="山田 花子"))
    with pytest.raises(Refused):
        vault.seal(uuid7(), replace(HANAKO, extra={"odd": object()}))
    with pytest.raises(NotFound):
        vault.learn(uuid7(), accession="x")


def test_cases_are_found_by_exact_values_and_by_name(vault: Vault) -> None:
    case_id, instance_id = sealed_case(vault), uuid7()
    other = sealed_case(vault, Identity(chart_id="777", accession="ACC-8", study_uid="1.9", names=("SATO^KEN",)))
    sealed_instance(vault, instance_id, case_id, InstanceIdentityIn("1.2.3.4", "1.2.3"))
    assert vault.find(chart_id="１２３４５６") == [case_id]
    assert vault.find(accession=" acc-7741-xq ") == [case_id]
    assert vault.find(study_uid=f"{HANAKO.study_uid}\0") == [case_id]
    assert vault.find(sop_uid="1.2.3.4") == [case_id]
    assert vault.find(study_uid="1.9") == [other]
    assert vault.find(accession="unknown") == []
    for written in ("yamada", "Hanako YAMADA", "花子", "ヤマダ", "ﾔﾏﾀﾞ はなこ"):
        assert vault.find_by_name(written) == [case_id], written
    assert vault.find_by_name("a") == [other, case_id]
    assert vault.find_by_name("a", limit=1) == [other]
    for bad in ({}, {"chart_id": "1", "accession": "2"}):
        with pytest.raises(Malformed):
            vault.find(**bad)
    with pytest.raises(Malformed):
        vault.find_by_name(" ^ ")


def test_instances_are_sealed_once_and_resumed(bank: Bank, vault: Vault) -> None:
    case_id, first = sealed_case(vault), uuid7()
    digest = hashlib.sha256(b"original").digest()
    given = InstanceIdentityIn("1.2.3.4", "1.2.3", {"patient_name": ["YAMADA"]}, digest, 8, "IM_0001")
    assert sealed_instance(vault, first, case_id, given)
    assert not sealed_instance(vault, first, case_id, given)
    assert not sealed_instance(vault, uuid7(), case_id, given)
    assert sealed_instance(vault, uuid7(), sealed_case(vault), given)
    with pytest.raises(Conflict):
        sealed_instance(vault, first, case_id, replace(given, sop_uid="1.2.3.5"))
    with pytest.raises(NotFound):
        sealed_instance(vault, uuid7(), uuid7(), given)
    assert vault.has_instance(case_id, "1.2.3.4") == first
    assert vault.has_instance(case_id, "1.2.3.5") is None
    assert vault.known_instances(case_id) == {first}
    assert vault.reveal_instance(first, "release", "system") == given
    assert vault.reveal_instances(case_id, "release", "system") == {first: given}
    assert bank.reveals == [(case_id, "release", "system")] * 2
    assert vault.same_bytes(first, digest)
    other = hashlib.sha256(b"changed").digest()
    assert not vault.same_bytes(first, other)
    vault.revise_instance(first, replace(given, sha256=other))
    assert vault.same_bytes(first, other)
    with pytest.raises(NotFound):
        vault.revise_instance(first, replace(given, sop_uid="1.9"))


def test_needles_are_all_values_of_the_case(bank: Bank, vault: Vault) -> None:
    case_id = sealed_case(vault)
    extra = {"staff_names": ("TANAKA^ICHIRO",), "study_time": "094512", "issuer": None}
    sealed_instance(vault, uuid7(), case_id, InstanceIdentityIn("1.2.3.4", "1.2.3", extra))
    needles = vault.needles(case_id, "release")
    assert bank.reveals == [(case_id, "verify", "release")]
    wanted = {"0012-3456", "00123456", "123456", "ACC-7741-XQ", HANAKO.study_uid, "1.2.3.4", "1.2.3", "YAMADA^HANAKO"}
    wanted |= {"YAMADA", "HANAKO", "YAMADA HANAKO", "山田", "花子", "はなこ", "19630217", "1963-02-17", "1963/02/17"}
    wanted |= {"20240509", "2024-05-09", "Dr. Sugawara", "TANAKA", "ICHIRO"}
    assert wanted <= set(needles)
    assert "094512" not in needles
    assert list(needles) == sorted(needles, key=lambda text: (-len(text), text))


def test_the_study_begins_with_its_first_image(vault: Vault) -> None:
    case_id = sealed_case(vault, Identity(chart_id="5"))
    assert vault.study_moment(case_id, "system") is None
    for number, clock in enumerate(("101500", "094512.5", None)):
        identity = InstanceIdentityIn(f"1.{number}", "1", {"study_date": "20240509", "study_time": clock})
        sealed_instance(vault, uuid7(), case_id, identity)
    assert vault.study_moment(case_id, "system") == datetime(2024, 5, 9, 9, 45, 12, 500000)


def test_eight_threads_get_one_link(vault: Vault) -> None:
    cases = [sealed_case(vault, replace(HANAKO, study_uid=f"1.2.{n}")) for n in range(2)]
    with ThreadPoolExecutor(8) as pool:
        links = list(pool.map(vault.link, cases * 8))
    assert len({(link.research_id, link.date_offset_days, link.uid_secret) for link in links}) == 1
    assert len({link.outward_case_id for link in links}) == 2
    assert vault.link(cases[0]) == vault.linked(cases[0]) == links[0]
    assert vault.outward_id(cases[0]) == links[0].outward_case_id
    assert -1095 <= links[0].date_offset_days <= -30 and links[0].date_offset_days % 7 == 0
    assert {links[0].research_id.version, links[0].outward_case_id.version} == {4}
    assert len(links[0].uid_secret) == 32
    assert repr(links[0].uid_secret) not in repr(links[0])


def test_eight_threads_seal_one_patient(bank: Bank, vault: Vault) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: vault.seal(uuid7(), replace(HANAKO, study_uid=f"1.2.{n}")), range(16)))
    assert len(vault.find(chart_id="123456")) == 16
    with bank.engine.connect() as connection:
        assert len(connection.execute(select(patient.c.id)).all()) == 1


def test_the_way_back_is_audited_and_can_be_cut(bank: Bank, vault: Vault) -> None:
    case_id = sealed_case(vault)
    assert vault.linked(case_id) is None
    link = vault.link(case_id)
    origin = vault.link_of_research_id(link.research_id, "withdrawal", "custodian")
    assert (origin.chart_id, origin.case_ids) == ("0012-3456", (case_id,))
    assert bank.reveals == [(case_id, "withdrawal", "custodian")]
    assert vault.forget_patient(case_id) == [case_id]
    with pytest.raises(NotFound):
        vault.link_of_research_id(link.research_id, "withdrawal", "custodian")
    with pytest.raises(NotFound):
        vault.forget_patient(case_id)
    again = sealed_case(vault)
    assert vault.link(again).research_id != link.research_id
    assert vault.link(again).uid_secret != link.uid_secret


def test_a_purge_keeps_the_linkage_only(vault: Vault) -> None:
    case_id, instance_id = sealed_case(vault), uuid7()
    vault.staging.put(instance_id, "original", [b"DICM"])
    sealed_instance(vault, instance_id, case_id, InstanceIdentityIn("1.2.3.4", "1.2.3"))
    link = vault.link(case_id)
    for _ in range(2):
        vault.forget(case_id)
    assert not vault.staging.exists(instance_id, "original")
    assert vault.known_instances(case_id) == frozenset()
    assert vault.find_by_name("yamada") == []
    left = vault.reveal(case_id, "correction", "ana")
    assert left == replace(HANAKO, names=(), birth_date=None, extra={})
    assert vault.link(case_id) == link


def test_an_opt_out_is_found_however_it_was_written(vault: Vault) -> None:
    case_id = sealed_case(vault)
    stranger = sealed_case(vault, Identity(chart_id="777"))
    assert not vault.is_opted_out(case_id=case_id)
    assert vault.opt_out(" １２３４５６ ") == [case_id]
    assert vault.opt_out("000123456") == [case_id]
    for written in ("123456", "0012-3456", "００１２ー３４５６", "12 34 56\0", "00123456"):
        assert vault.is_opted_out(chart_id=written), written
        assert vault.is_opted_out(chart_id=written, issuer="SONO HOSPITAL")
    assert vault.is_opted_out(case_id=case_id)
    assert not vault.is_opted_out(case_id=stranger)
    assert vault.opted_out_cases() == {case_id}
    assert [entry.case_ids for entry in vault.list_opt_outs()] == [(case_id,)]
    for unreadable in ("", "---", "0000", "123456789", "12|34", "患者A"):
        with pytest.raises((Refused, Malformed)):
            vault.is_opted_out(chart_id=unreadable)
    with pytest.raises(Refused):
        vault.is_opted_out(chart_id="123456", issuer="OTHER HOSPITAL")
    with pytest.raises(NotFound):
        vault.is_opted_out(case_id=uuid7())
    vault.forget_patient(case_id)
    assert vault.is_opted_out(chart_id="123456")
    assert vault.opt_in("123456")
    assert not vault.opt_in("123456")
    assert not vault.is_opted_out(chart_id="123456")


def test_twins_share_the_opt_out_and_what_is_linked_later(vault: Vault) -> None:
    old, twin = sealed_case(vault), sealed_case(vault, Identity(chart_id="777", study_uid="1.9"))
    before = vault.link(old)
    vault.opt_out("777")
    assert not vault.is_opted_out(case_id=old)
    vault.merge(old, twin)
    assert vault.is_opted_out(case_id=old)
    assert vault.is_opted_out(chart_id="123456")
    assert set(vault.find(chart_id="777")) == {old, twin} == vault.opted_out_cases()
    assert vault.link(old) == before
    assert vault.link(twin).research_id == before.research_id
    assert {"123456", "00000777"} <= set(vault.needles(twin, "release"))
    assert vault.opt_in("123456")
    assert not vault.is_opted_out(case_id=twin)
    assert set(vault.forget_patient(twin)) == {old, twin}


def test_who_was_linked_keeps_that_link_as_a_twin(vault: Vault) -> None:
    one, two = sealed_case(vault), sealed_case(vault, Identity(chart_id="777"))
    three = sealed_case(vault, Identity(chart_id="888"))
    links = [vault.link(one), vault.link(two)]
    vault.merge(one, two)
    vault.merge(two, three)
    vault.merge(two, one)
    assert [vault.link(one), vault.link(two)] == links
    assert vault.link(three).research_id == links[1].research_id
    for link in links:
        assert set(vault.link_of_research_id(link.research_id, "withdrawal", "custodian").case_ids) == {one, two, three}
    assert set(vault.forget_patient(one)) == {one, two, three}


def test_a_changed_rule_stops_everything_until_all_is_indexed_again(bank: Bank, vault: Vault) -> None:
    loose = bank.vault(ChartIdRule(version=1, width=0))
    one, two = sealed_case(loose, Identity(chart_id="00123")), sealed_case(loose, Identity(chart_id="123"))
    three = sealed_case(loose, Identity(chart_id="9"))
    linked = loose.link(two)
    loose.opt_out("00123")
    assert not loose.is_opted_out(case_id=two)
    for verb in (
        lambda: vault.is_opted_out(case_id=two),
        lambda: vault.find(chart_id="123"),
        lambda: sealed_case(vault),
    ):
        with pytest.raises(BadConfiguration, match="rule for chart IDs"):
            verb()
    assert vault.reindex() == 4
    assert vault.reindex() == 0
    assert vault.is_opted_out(case_id=two) and vault.is_opted_out(chart_id="000123")
    assert set(vault.find(chart_id="123")) == {one, two}
    assert vault.link(one).research_id == linked.research_id
    assert not vault.is_opted_out(case_id=three)


def test_a_new_key_seals_and_the_old_ones_open(bank: Bank, vault: Vault) -> None:
    case_id, instance_id = sealed_case(vault), uuid7()
    sealed_instance(vault, instance_id, case_id, InstanceIdentityIn("1.2.3.4", "1.2.3", sha256=b"\1" * 32))
    vault.opt_out("777")
    vault.staging.put(instance_id, "original", [b"DICM"])
    link = vault.link(case_id)
    for kind in ("seal", "uids", "sign"):
        add_key(bank.folder / "keys", kind)
    keys = load_keys(bank.folder / "keys", bank.folder / "data")
    rotated = bank.vault(keys=keys)
    assert rotated.reveal(case_id, "curation", "ana") == HANAKO
    assert rotated.reseal(limit=4) == 4
    while rotated.reseal(limit=4):
        pass
    newest = bank.vault(keys=replace(keys, seal=keys.seal[-1:], uids=keys.uids[-1:]))
    assert newest.reveal(case_id, "curation", "ana") == HANAKO
    assert newest.link(case_id) == link
    assert newest.same_bytes(instance_id, b"\1" * 32)
    assert rotated.staging.open(instance_id, "original").read() == b"DICM"
    with pytest.raises(Refused):
        newest.staging.open(instance_id, "original")


def test_a_value_moved_to_another_row_does_not_open(bank: Bank, vault: Vault) -> None:
    case_id, other = sealed_case(vault), sealed_case(vault, replace(HANAKO, accession="ACC-2"))
    with bank.engine.begin() as connection:
        taken = select(case_identity.c.sealed_accession).where(case_identity.c.case_id == other)
        moved = connection.execute(taken).scalar_one()
        connection.execute(
            update(case_identity).where(case_identity.c.case_id == case_id).values(sealed_accession=moved)
        )
    with pytest.raises(Refused, match="damaged"):
        vault.reveal(case_id, "curation", "ana")


def test_the_main_role_cannot_look_in(bank: Bank, vault: Vault) -> None:
    sealed_case(vault)
    with psycopg.connect(bank.server.url(bank.database, MAIN, MAIN_PASSWORD), autocommit=True) as connection:
        for statement in (
            "SELECT * FROM vault.patient",
            "SELECT * FROM vault.alembic_version",
            "CREATE TABLE vault.mine (id int)",
            "DROP SCHEMA vault CASCADE",
            "SET ROLE vault_role",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_bootstrap_runs_again_and_refuses_a_main_role_that_could_read(bank: Bank, vault: Vault) -> None:
    case_id = sealed_case(vault)
    admin = bank.server.url()
    migrate.bootstrap(admin, bank.database, VAULT, "another-password", MAIN)
    migrate.upgrade(bank.server.url(bank.database, VAULT, "another-password"))
    migrate.bootstrap(admin, bank.database, VAULT, VAULT_PASSWORD, MAIN)
    assert vault.reveal(case_id, "curation", "ana") == HANAKO
    for main_role in (VAULT, "postgres"):
        with pytest.raises(BadConfiguration):
            migrate.bootstrap(admin, bank.database, VAULT, "p", main_role)
    with pytest.raises(Unavailable):
        migrate.bootstrap(admin.replace(bank.server.password, "wrong"), bank.database, VAULT, "p", MAIN)
    with pytest.raises(BadConfiguration):
        migrate.bootstrap(bank.server.url(bank.database, MAIN, MAIN_PASSWORD), bank.database, "new_role", "p", MAIN)
    log = (bank.server.folder / "log").read_text()
    assert "ALTER ROLE" in log and "another-password" not in log


def test_the_migrations_make_what_the_tables_say(bank: Bank) -> None:
    with bank.engine.connect() as connection:
        connection.execute(text("ALTER ROLE vault_role SET search_path = vault, public"))
        connection.commit()
    environment = {**os.environ, "SONOBANK_VAULT_DATABASE_URL": bank.vault_url}
    for verbs in (["check"], ["downgrade", "base"], ["upgrade", "head"], ["check"]):
        command = [sys.executable, "-m", "alembic", "-n", "vault", *verbs]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def planted(values: list[str]) -> list[bytes]:
    """The values and their plain hashes, as bytes and as text."""
    found: list[bytes] = []
    for value in values:
        for encoded in {value.encode(), value.encode("utf-16-le"), value.encode("shift_jis")}:
            digests = [hashlib.new(name, encoded).digest() for name in ("md5", "sha1", "sha256")]
            found += [encoded, encoded.hex().encode(), *digests, *(digest.hex().encode() for digest in digests)]
    return found


def test_no_file_holds_a_value_or_its_plain_hash(bank: Bank, vault: Vault) -> None:
    identity = Identity(
        chart_id="87-650-431",
        accession="ACCPLANTED9931",
        study_uid="1.2.392.7777777.99.31",
        names=("PLANTEDNAME^KAZUKO", "植込太郎^和子"),
        birth_date="19510823",
        extra={"note": "PLANTEDNOTE7731"},
    )
    case_id, instance_id = sealed_case(vault, identity), uuid7()
    content = os.urandom(70_000) + b"PLANTEDPIXELS5551" + os.urandom(70_000)
    digest = hashlib.sha256(content)
    named = InstanceIdentityIn(
        "1.2.392.7777777.99.31.1", "1.2.392.7777777.99.31.0", sha256=digest.digest(), file_name="PLANTEDFILE"
    )
    vault.staging.put(instance_id, "original", [content])
    sealed_instance(vault, instance_id, case_id, named)
    secret = vault.link(case_id).uid_secret
    vault.opt_out("87 650 431")
    vault.find(chart_id="87650431")
    vault.find_by_name("plantedname")
    bank.server.checkpoint()
    values = [
        identity.chart_id,
        "87650431",
        identity.accession or "",
        identity.study_uid or "",
        "PLANTEDNAME",
        "植込太郎",
    ]
    values += ["19510823", "PLANTEDNOTE7731", named.sop_uid, named.series_uid, "PLANTEDFILE", "PLANTEDPIXELS5551"]
    needles = [*planted([*values, *identity.names]), digest.digest(), digest.hexdigest().encode(), secret]
    scanned = 0
    for folder in (bank.server.data, bank.folder / "data"):
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert not [needle for needle in needles if needle in content], path.name
                assert not [needle for needle in needles if needle in str(path).encode()]
                scanned += len(content)
    assert scanned > 1_000_000
    log = (bank.server.folder / "log").read_bytes()
    assert b"INSERT INTO vault.patient" in log
    assert not [needle for needle in needles if needle in log]
    # The scan would see what is there: a case's own ID is.
    assert any(case_id.bytes in path.read_bytes() for path in bank.server.data.rglob("*") if path.is_file())
