"""The vault: the one way to a patient's identifiers. A verb is one short transaction; a reveal is audited first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from hmac import compare_digest
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, select

from core.db import transaction
from core.errors import Malformed, NotFound
from core.vault import linkage, opt_outs, records, rotation, search
from core.vault.cipher import Cipher
from core.vault.identity import Identity, InstanceIdentityIn, Link, OptOut, Origin
from core.vault.keys import Keys
from core.vault.moments import first_moment
from core.vault.needles import spell
from core.vault.normalise import ChartIdRule
from core.vault.staging import Staging
from core.vault.tables import instance_identity

OnReveal = Callable[[UUID, str, str], None]
VERIFY: Final = "verify"
RELEASE: Final = "release"
SHORTEST_NUMBER: Final = 4  # fewer digits of a chart ID without its zeros are found everywhere


class Vault:
    """Seals, finds, reveals, links and forgets.

    engine: of the vault's own database role. on_reveal(case_id, purpose, actor) writes the audit row and is called
    before anything is revealed; if it raises, nothing is. Unknown cases and instances raise NotFound; a sealed value
    that was tampered with raises Refused; a database that is away raises Unavailable."""

    def __init__(self, engine: Engine, keys: Keys, staging_dir: Path, rule: ChartIdRule, on_reveal: OnReveal) -> None:
        self.rule = rule
        self.staging = Staging(staging_dir, keys.seal)
        self._engine, self._on_reveal = engine, on_reveal
        self._cipher = Cipher(keys, rule)

    def close(self) -> None:
        """Give the database connections back."""
        self._engine.dispose()

    # Seal

    def seal(self, case_id: UUID, identity: Identity) -> None:
        """Store whose a case is; again adds only what is new.

        Raises Refused if the chart ID cannot be normalised, Conflict if the case is another patient's."""
        with self._transaction("seal", charts=True) as connection:
            records.seal_case(connection, self._cipher, case_id, identity)

    def learn(
        self,
        case_id: UUID,
        *,
        study_uid: str | None = None,
        accession: str | None = None,
        names: Sequence[str] = (),
        birth_date: str | None = None,
    ) -> None:
        """Add what the images say about a known case; names gather, other known values stay."""
        news = Identity("", None, accession, study_uid, tuple(names), birth_date)
        with self._transaction("learn") as connection:
            records.learn(connection, self._cipher, case_id, news)

    def seal_instances(self, case_id: UUID, identities: Mapping[UUID, InstanceIdentityIn]) -> frozenset[UUID]:
        """Returns those that are new: of a SOP Instance UID that the case has already the first record stays."""
        with self._transaction("seal-instances") as connection:
            return records.seal_instances(connection, self._cipher, case_id, identities)

    def revise_instance(self, instance_id: UUID, identity: InstanceIdentityIn) -> None:
        """Other bytes came under a known SOP Instance UID: replace what is known of them."""
        with self._transaction("revise-instance") as connection:
            records.revise_instance(connection, self._cipher, instance_id, identity)

    # Find: exact values by blind index; the caller audits the search

    def find(
        self,
        *,
        chart_id: str | None = None,
        issuer: str | None = None,
        accession: str | None = None,
        study_uid: str | None = None,
        sop_uid: str | None = None,
    ) -> list[UUID]:
        """The cases with this one value; a chart ID finds its twins' too. Raises Malformed unless one is given."""
        if sum(bool(value) for value in (chart_id, accession, study_uid, sop_uid)) != 1:
            raise Malformed("Search by one of chart ID, accession number, study UID or SOP UID.")
        with self._transaction("find", charts=bool(chart_id)) as connection:
            if chart_id:
                return search.by_chart_id(connection, self._cipher, chart_id, issuer)
            if accession:
                return search.by_accession(connection, self._cipher, accession)
            if study_uid:
                return search.by_study_uid(connection, self._cipher, study_uid)
            return search.by_sop_uid(connection, self._cipher, sop_uid or "")

    def find_by_name(self, text: str, limit: int = search.MOST_NAMES) -> list[UUID]:
        """The cases whose patient's name holds every word of `text`, newest first; kana, width and case do not matter.

        Opens the names of the newest `limit` un-purged cases in memory and keeps none of them."""
        with self._transaction("find-by-name") as connection:
            persons = search.sealed_persons(connection, min(limit, search.MOST_NAMES))
        return search.matching(self._cipher, persons, text)

    def same_person(self, case_id: UUID) -> list[UUID]:
        """Every case of the person whose case this is, twins' included; nothing about the person is opened."""
        with self._transaction("same-person") as connection:
            root_id: UUID = records.case_row(connection, case_id)["root_id"]
            patients = [row["id"] for row in records.twins(connection, root_id)]
            return records.cases_of(connection, patients)

    def known_instances(self, case_id: UUID) -> frozenset[UUID]:
        with self._transaction("known-instances") as connection:
            return frozenset(row["instance_id"] for row in records.instances(connection, case_id))

    def has_instance(self, case_id: UUID, sop_uid: str) -> UUID | None:
        """The instance of this SOP Instance UID in the case, so that a retrieval goes on where it stopped."""
        table, wanted = instance_identity.c, self._cipher.sop_index(sop_uid)
        with self._transaction("has-instance") as connection:
            statement = select(table.instance_id).where(table.case_id == case_id, table.sop_index == wanted)
            found: UUID | None = connection.execute(statement).scalar()
        return found

    def same_bytes(self, instance_id: UUID, sha256: bytes) -> bool:
        """Whether the original had this digest; False also when none was stored."""
        known = records.open_instance(self._cipher, self._instance(instance_id)).sha256
        return known is not None and compare_digest(known, sha256)

    # Reveal: audited before it happens

    def reveal(self, case_id: UUID, purpose: str, actor: str) -> Identity:
        """Who a case is. names and birth_date are empty after the purge."""
        with self._transaction("reveal") as connection:
            row = records.case_row(connection, case_id)
        self._on_reveal(case_id, purpose, actor)
        return records.open_case(self._cipher, row)

    def reveal_instance(self, instance_id: UUID, purpose: str, actor: str) -> InstanceIdentityIn:
        row = self._instance(instance_id)
        self._on_reveal(row["case_id"], purpose, actor)
        return records.open_instance(self._cipher, row)

    def reveal_instances(self, case_id: UUID, purpose: str, actor: str) -> dict[UUID, InstanceIdentityIn]:
        """Every instance of a case, under one audit row."""
        with self._transaction("reveal-instances") as connection:
            rows = records.instances(connection, records.case_row(connection, case_id)["case_id"])
        self._on_reveal(case_id, purpose, actor)
        return {row["instance_id"]: records.open_instance(self._cipher, row) for row in rows}

    def needles(self, case_id: UUID, actor: str) -> tuple[str, ...]:
        """Every spelling of every identifying value of the case, longest first: the search that proves them gone."""
        with self._transaction("needles") as connection:
            case = records.case_row(connection, case_id)
            charts = [(row["id"], row["sealed_chart"]) for row in records.twins(connection, case["root_id"])]
            rows = records.instances(connection, case_id)
        self._on_reveal(case_id, VERIFY, actor)
        identity = records.open_case(self._cipher, case)
        values: list[object] = [identity.accession, identity.study_uid, dict(identity.extra)]
        values += records.open_person(self._cipher, case_id, case["sealed_person"])
        for chart_id, issuer in (records.open_chart(self._cipher, *chart) for chart in charts):
            number = self.rule.normalise(chart_id, issuer)
            short = number.lstrip("0")
            values += [chart_id, number, short if len(short) >= SHORTEST_NUMBER else number]
        for instance in (records.open_instance(self._cipher, row) for row in rows):
            values += [instance.sop_uid, instance.series_uid, dict(instance.extra)]
        return spell(values)

    def study_moment(self, case_id: UUID, actor: str) -> datetime | None:
        """When the study began by the scanner's clock, from the dates in the extras of its case and instances."""
        with self._transaction("study-moment") as connection:
            case, rows = records.case_row(connection, case_id), records.instances(connection, case_id)
        self._on_reveal(case_id, RELEASE, actor)
        extras = [records.open_instance(self._cipher, row).extra for row in rows]
        return first_moment([records.open_case(self._cipher, case).extra, *extras])

    # Link

    def link(self, case_id: UUID) -> Link:
        """The random IDs, day offset and UID secret of a case, drawn at the first call and the same ever after."""
        with self._transaction("link") as connection:
            return linkage.link(connection, self._cipher, case_id)

    def linked(self, case_id: UUID) -> Link | None:
        """The same if it was drawn already: a withdrawal of what never left draws nothing."""
        with self._transaction("linked") as connection:
            return linkage.linked(connection, self._cipher, case_id)

    def outward_id(self, case_id: UUID) -> UUID:
        with self._transaction("outward-id") as connection:
            return linkage.draw_outward_id(connection, case_id)

    def link_of_research_id(self, research_id: UUID, purpose: str, actor: str) -> Origin:
        """The way back, for the linkage custodian: audited for each case of the person."""
        with self._transaction("link-of-research-id") as connection:
            origin = linkage.origin(connection, self._cipher, research_id)
        for case_id in origin.case_ids:
            self._on_reveal(case_id, purpose, actor)
        if not origin.case_ids:
            raise NotFound
        return origin

    def merge(self, case_id: UUID, into_case_id: UUID) -> None:
        """The custodian found two chart IDs to be one person: one opt-out, and one link for what was not linked yet."""
        with self._transaction("merge") as connection:
            linkage.merge(connection, case_id, into_case_id)

    # Forget

    def forget(self, case_id: UUID) -> None:
        """Purge: names, instances and staged files of a case go; chart ID, study and linkage stay. May run twice."""
        with self._transaction("forget") as connection:
            instance_ids = linkage.forget_instances(connection, [case_id])
        # Rows first: files that a crash leaves behind are swept.
        self.staging.delete_case(instance_ids)

    def forget_patient(self, case_id: UUID) -> list[UUID]:
        """Delete the whole person, every case and the linkage row: the way back is gone for good. Returns the cases.

        An entry in the opt-out list stays."""
        with self._transaction("forget-patient") as connection:
            case_ids, instance_ids = linkage.forget_person(connection, case_id)
        self.staging.delete_case(instance_ids)
        return case_ids

    # Opt-out

    def opt_out(self, chart_id: str, issuer: str | None = None) -> list[UUID]:
        """Put a patient on the list, known or not. Returns the cases to withdraw. Raises Refused as `seal` does."""
        with self._transaction("opt-out", charts=True) as connection:
            return opt_outs.add(connection, self._cipher, chart_id, issuer)

    def opt_in(self, chart_id: str, issuer: str | None = None) -> bool:
        """False if the patient was not on the list."""
        with self._transaction("opt-in", charts=True) as connection:
            return opt_outs.remove(connection, self._cipher, chart_id, issuer)

    def is_opted_out(
        self, *, case_id: UUID | None = None, chart_id: str | None = None, issuer: str | None = None
    ) -> bool:
        """Whether a patient, or a twin of theirs, is on the list. Raises Refused for an unreadable chart ID."""
        if (case_id is None) == (not chart_id):
            raise Malformed("Ask by case or by chart ID.")
        with self._transaction("is-opted-out", charts=True) as connection:
            if case_id is not None:
                return opt_outs.has_case(connection, case_id)
            return opt_outs.has_chart(connection, self._cipher, chart_id or "", issuer)

    def list_opt_outs(self) -> list[OptOut]:
        with self._transaction("list-opt-outs", charts=True) as connection:
            return opt_outs.entries(connection)

    def opted_out_cases(self) -> frozenset[UUID]:
        with self._transaction("opted-out-cases", charts=True) as connection:
            return opt_outs.all_cases(connection)

    # Jobs

    def reseal(self, limit: int = 500) -> int:
        """After a new key: seal up to `limit` values again. Call until it returns 0; staged files keep their keys."""
        with self._transaction("reseal") as connection:
            return rotation.reseal(connection, self._cipher, limit)

    def reindex(self) -> int:
        """After a changed chart ID rule; returns how many records were indexed again."""
        with self._transaction("reindex") as connection:
            return rotation.reindex(connection, self._cipher)

    def _instance(self, instance_id: UUID) -> RowMapping:
        with self._transaction("instance") as connection:
            statement = select(instance_identity).where(instance_identity.c.instance_id == instance_id)
            row = connection.execute(statement).mappings().first()
        if row is None:
            raise NotFound
        return row

    @contextmanager
    def _transaction(self, verb: str, charts: bool = False) -> Iterator[Connection]:
        """charts: the verb looks chart IDs up, so all of them must stand under the present rule."""
        with transaction(self._engine, f"vault.{verb}") as session:
            connection = session.connection()
            if charts:
                self._cipher.check_rule(connection)
            yield connection
