"""Finding cases: exact values by their blind index, names by opening them in memory."""

from typing import Final
from uuid import UUID

from sqlalchemy import Connection, select

from core.errors import Malformed
from core.vault import opt_outs, records
from core.vault.cipher import Cipher
from core.vault.normalise import plain_name
from core.vault.tables import case_identity, instance_identity

MOST_NAMES: Final = 20_000

SealedPersons = list[tuple[UUID, bytes]]


def by_accession(connection: Connection, cipher: Cipher, accession: str) -> list[UUID]:
    wanted = case_identity.c.accession_index == cipher.accession_index(accession)
    return list(connection.execute(select(case_identity.c.case_id).where(wanted)).scalars())


def by_study_uid(connection: Connection, cipher: Cipher, uid: str) -> list[UUID]:
    wanted = case_identity.c.study_uid_index == cipher.study_uid_index(uid)
    return list(connection.execute(select(case_identity.c.case_id).where(wanted)).scalars())


def by_sop_uid(connection: Connection, cipher: Cipher, uid: str) -> list[UUID]:
    wanted = instance_identity.c.sop_index == cipher.sop_index(uid)
    return list(connection.execute(select(instance_identity.c.case_id).where(wanted).distinct()).scalars())


def by_chart_id(connection: Connection, cipher: Cipher, chart_id: str, issuer: str | None) -> list[UUID]:
    """The cases of this person, twins' included. Raises Refused for an ID that cannot be normalised."""
    return opt_outs.cases_of_chart(connection, cipher.chart_index(chart_id, issuer))


def sealed_persons(connection: Connection, limit: int) -> SealedPersons:
    """The newest cases whose names are not purged yet."""
    statement = select(case_identity.c.case_id, case_identity.c.sealed_person)
    named = statement.where(case_identity.c.sealed_person.is_not(None))
    rows = connection.execute(named.order_by(case_identity.c.case_id.desc()).limit(limit))
    return [(case_id, sealed) for case_id, sealed in rows]


def matching(cipher: Cipher, persons: SealedPersons, text: str) -> list[UUID]:
    """The cases in one of whose names every word of `text` occurs. Raises Malformed for an empty text."""
    words = plain_name(text).split()
    if not words:
        raise Malformed("Write a part of the name.")
    found = []
    for case_id, sealed in persons:
        names, _ = records.open_person(cipher, case_id, sealed)
        if any(all(word in plain_name(name) for word in words) for name in names):
            found.append(case_id)
    return found
