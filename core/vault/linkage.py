"""The linkage row: random IDs, the day offset and the UID secret of a patient, drawn once and kept."""

import secrets
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, delete, select, text, update

from core.errors import Conflict, NotFound
from core.ids import outward_id
from core.vault import records
from core.vault.cipher import Cipher
from core.vault.identity import Link, Origin
from core.vault.keys import SECRET_BYTES
from core.vault.tables import case_identity, instance_identity, patient, remark

# Whole weeks, so that a weekday stays a weekday: -1092 to -35 lies in the allowed -1095 to -30 days.
FEWEST_WEEKS: Final = 5
MOST_WEEKS: Final = 156


def link(connection: Connection, cipher: Cipher, case_id: UUID) -> Link:
    """The case's link, drawn at the first call; many callers at once all get the same one. Raises NotFound."""
    carrier: UUID = records.case_row(connection, case_id)["link_id"]
    # Each update waits for a concurrent one and then finds the place taken; what is read afterwards is the winner's.
    unlinked = (patient.c.id == carrier, patient.c.research_id.is_(None))
    connection.execute(update(patient).where(*unlinked).values(_draw(cipher, carrier)))
    draw_outward_id(connection, case_id)
    found = linked(connection, cipher, case_id)
    if found is None:
        raise Conflict("This patient was forgotten meanwhile.")
    return found


def draw_outward_id(connection: Connection, case_id: UUID) -> UUID:
    """The case's outward ID, drawn at the first call. Raises NotFound."""
    unnamed = (case_identity.c.case_id == case_id, case_identity.c.outward_case_id.is_(None))
    connection.execute(update(case_identity).where(*unnamed).values(outward_case_id=outward_id()))
    drawn: UUID = records.case_row(connection, case_id)["outward_case_id"]
    return drawn


def linked(connection: Connection, cipher: Cipher, case_id: UUID) -> Link | None:
    """The case's link if it was drawn already; draws nothing. Raises NotFound."""
    case = records.case_row(connection, case_id)
    row = connection.execute(select(patient).where(patient.c.id == case["link_id"])).mappings().one_or_none()
    if row is None or row["research_id"] is None or case["outward_case_id"] is None:
        return None
    return Link(
        research_id=row["research_id"],
        outward_case_id=case["outward_case_id"],
        date_offset_days=int(cipher.open(patient, "sealed_date_offset", row["id"], row["sealed_date_offset"])),
        uid_secret=cipher.open(patient, "sealed_uid_secret", row["id"], row["sealed_uid_secret"]),
    )


def _draw(cipher: Cipher, patient_id: UUID) -> dict[str, UUID | bytes]:
    weeks = FEWEST_WEEKS + secrets.randbelow(MOST_WEEKS - FEWEST_WEEKS + 1)
    secret = secrets.token_bytes(SECRET_BYTES)
    return {
        "research_id": outward_id(),
        "sealed_date_offset": cipher.seal(patient, "sealed_date_offset", patient_id, str(-7 * weeks).encode()),
        "sealed_uid_secret": cipher.seal(patient, "sealed_uid_secret", patient_id, secret),
    }


def origin(connection: Connection, cipher: Cipher, research_id: UUID) -> Origin:
    """Whose a research ID is, with every case of that person, twins' included. Raises NotFound."""
    row = connection.execute(select(patient).where(patient.c.research_id == research_id)).mappings().first()
    if row is None:
        raise NotFound
    everyone = records.twins(connection, row["same_as"] or row["id"])
    chart_id, issuer = records.open_chart(cipher, row["id"], row["sealed_chart"])
    return Origin(chart_id, issuer, tuple(records.cases_of(connection, [twin["id"] for twin in everyone])))


def merge(connection: Connection, case_id: UUID, into_case_id: UUID) -> None:
    """Two chart IDs are one person. Raises NotFound."""
    # Rare and short: nobody else moves a patient meanwhile, so no chain of two steps can come up.
    connection.execute(text("LOCK TABLE vault.patient IN SHARE ROW EXCLUSIVE MODE"))
    twin = records.case_row(connection, case_id)["patient_id"]
    unite(connection, twin, records.case_row(connection, into_case_id)["patient_id"])


def unite(connection: Connection, twin_id: UUID, into_id: UUID) -> None:
    """Let one patient and all its twins point at the other, or the other way round if only the first is linked."""
    roots = [_root_of(connection, patient_id) for patient_id in (twin_id, into_id)]
    if roots[0]["id"] == roots[1]["id"]:
        return
    if roots[0]["research_id"] is not None and roots[1]["research_id"] is None:
        roots.reverse()
    twin, root = roots[0]["id"], roots[1]["id"]
    everyone = (patient.c.id == twin) | (patient.c.same_as == twin)
    connection.execute(update(patient).where(everyone).values(same_as=root))


def _root_of(connection: Connection, patient_id: UUID) -> RowMapping:
    own = connection.execute(select(patient).where(patient.c.id == patient_id)).mappings().one()
    if own["same_as"] is None:
        return own
    return connection.execute(select(patient).where(patient.c.id == own["same_as"])).mappings().one()


def forget_instances(connection: Connection, case_ids: Sequence[UUID]) -> list[UUID]:
    """Delete what is known of the instances, the persons' names and the remarks; the linkage stays. Returns the instance IDs."""
    gone = delete(instance_identity).where(instance_identity.c.case_id.in_(case_ids))
    instance_ids = list(connection.execute(gone.returning(instance_identity.c.instance_id)).scalars())
    connection.execute(delete(remark).where(remark.c.case_id.in_(case_ids)))
    cases = update(case_identity).where(case_identity.c.case_id.in_(case_ids))
    connection.execute(cases.values(sealed_person=None, sealed_extra=None))
    return instance_ids


def forget_person(connection: Connection, case_id: UUID) -> tuple[list[UUID], list[UUID]]:
    """Delete all rows of the case's person, twins too: the way back is gone. Returns (case IDs, instance IDs)."""
    root_id: UUID = records.case_row(connection, case_id)["root_id"]
    # Whoever seals another case of this person waits here, and then starts with a new record.
    everyone = (patient.c.id == root_id) | (patient.c.same_as == root_id)
    connection.execute(select(patient.c.id).where(everyone).order_by(patient.c.id).with_for_update())
    patient_ids = [row["id"] for row in records.twins(connection, root_id)]
    case_ids = records.cases_of(connection, patient_ids)
    instance_ids = forget_instances(connection, case_ids)
    connection.execute(delete(case_identity).where(case_identity.c.case_id.in_(case_ids)))
    connection.execute(delete(patient).where(patient.c.id.in_(patient_ids), patient.c.same_as.is_not(None)))
    connection.execute(delete(patient).where(patient.c.id == root_id))
    return case_ids, instance_ids
