"""Rows of patients, cases and instances: written sealed, read back open, inside the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from core.errors import Conflict, NotFound, Refused, Unavailable
from core.ids import uuid7
from core.vault.cipher import Cipher
from core.vault.identity import Identity, InstanceIdentityIn
from core.vault.normalise import plain_uid
from core.vault.tables import case_identity, instance_identity, patient, remark

_TRIES: Final = 5


def seal_case(connection: Connection, cipher: Cipher, case_id: UUID, identity: Identity) -> None:
    """Store a case and its patient, or add what is new about them. Raises Conflict for another patient's case."""
    patient_id = _get_or_create_patient(connection, cipher, identity)
    row = insert(case_identity).values(case_id=case_id, patient_id=patient_id)
    connection.execute(row.on_conflict_do_nothing(index_elements=["case_id"]))
    known = locked_case(connection, case_id)
    if known["patient_id"] != patient_id:
        raise Conflict("This case belongs to another chart ID already.")
    learn(connection, cipher, case_id, identity)


def _get_or_create_patient(connection: Connection, cipher: Cipher, identity: Identity) -> UUID:
    chart_index = cipher.chart_index(identity.chart_id, identity.issuer)
    for _ in range(_TRIES):
        new = uuid7()
        chart = {"chart_id": identity.chart_id, "issuer": identity.issuer}
        values = {
            "id": new,
            "chart_index": chart_index,
            "sealed_chart": cipher.seal_json(patient, "sealed_chart", new, chart),
            "rule_version": cipher.rule.stamp,
        }
        connection.execute(insert(patient).values(values).on_conflict_do_nothing(index_elements=["chart_index"]))
        # The lock keeps the row until the case that points at it is stored; a patient may be forgotten meanwhile.
        statement = (
            select(patient.c.id).where(patient.c.chart_index == chart_index).with_for_update(read=True, key_share=True)
        )
        found: UUID | None = connection.execute(statement).scalar()
        if found is not None:
            return found
    raise Unavailable("The patient's record keeps changing; try again.")


def learn(connection: Connection, cipher: Cipher, case_id: UUID, identity: Identity) -> None:
    """Add to a case what it does not know yet; what it knows stays. Raises NotFound for an unknown case."""
    row = locked_case(connection, case_id)
    changes: dict[str, bytes] = {}
    if identity.accession and row["sealed_accession"] is None:
        changes["sealed_accession"] = cipher.seal_text(case_identity, "sealed_accession", case_id, identity.accession)
        changes["accession_index"] = cipher.accession_index(identity.accession)
    if identity.study_uid and row["sealed_study_uid"] is None:
        uid = plain_uid(identity.study_uid)
        changes["sealed_study_uid"] = cipher.seal_text(case_identity, "sealed_study_uid", case_id, uid)
        changes["study_uid_index"] = cipher.study_uid_index(uid)
    for column, news in (("sealed_person", _person(identity)), ("sealed_extra", dict(identity.extra))):
        known = cipher.open_json(case_identity, column, case_id, row[column])
        both = _united(known, news)
        if both != known:
            changes[column] = cipher.seal_json(case_identity, column, case_id, both)
    if changes:
        connection.execute(update(case_identity).where(case_identity.c.case_id == case_id).values(changes))


def _person(identity: Identity) -> dict[str, object]:
    names = [name.strip("\0 ") for name in identity.names if name.strip("\0 ^=")]
    births = [identity.birth_date.strip("\0 ")] if identity.birth_date and identity.birth_date.strip("\0 ") else []
    return {key: values for key, values in (("names", names), ("birth_dates", births)) if values}


def _united(known: Mapping[str, object], news: Mapping[str, object]) -> dict[str, object]:
    """Lists grow, other values stay as they were first."""
    both = dict(known)
    for key, value in news.items():
        old = both.setdefault(key, value)
        if isinstance(old, list) and isinstance(value, list | tuple):
            both[key] = [*old, *(entry for entry in value if entry not in old)]
    return both


def locked_case(connection: Connection, case_id: UUID) -> RowMapping:
    statement = select(case_identity).where(case_identity.c.case_id == case_id).with_for_update()
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound
    return row


def case_row(connection: Connection, case_id: UUID) -> RowMapping:
    """A case with its sealed chart ID, its person (root_id) and who carries its link (link_id). Raises NotFound.

    Who was linked before it became a twin keeps that link: what has left under it must not change its name."""
    root = func.coalesce(patient.c.same_as, patient.c.id)
    own_or_root = case((patient.c.research_id.is_not(None), patient.c.id), else_=root)
    statement = (
        select(case_identity, patient.c.sealed_chart, root.label("root_id"), own_or_root.label("link_id"))
        .join(patient, patient.c.id == case_identity.c.patient_id)
        .where(case_identity.c.case_id == case_id)
    )
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound
    return row


def twins(connection: Connection, root_id: UUID) -> Sequence[RowMapping]:
    """The patient rows of one person: the one that stands for all, and those that point at it."""
    statement = select(patient).where(or_(patient.c.id == root_id, patient.c.same_as == root_id)).order_by(patient.c.id)
    return connection.execute(statement).mappings().all()


def cases_of(connection: Connection, patient_ids: Iterable[UUID]) -> list[UUID]:
    statement = select(case_identity.c.case_id).where(case_identity.c.patient_id.in_(list(patient_ids)))
    return list(connection.execute(statement.order_by(case_identity.c.case_id)).scalars())


def open_chart(cipher: Cipher, patient_id: UUID, sealed: bytes) -> tuple[str, str | None]:
    """(chart ID, issuer) as they were written."""
    chart = cipher.open_json(patient, "sealed_chart", patient_id, sealed)
    issuer = chart.get("issuer")
    return str(chart["chart_id"]), None if issuer is None else str(issuer)


def open_person(cipher: Cipher, case_id: UUID, sealed: bytes | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(names, birth dates) of a case, empty after its purge."""
    person = cipher.open_json(case_identity, "sealed_person", case_id, sealed)
    return _texts(person.get("names")), _texts(person.get("birth_dates"))


def open_case(cipher: Cipher, row: RowMapping) -> Identity:
    """The identity in a row of `case_row`."""
    case_id = row["case_id"]
    chart_id, issuer = open_chart(cipher, row["patient_id"], row["sealed_chart"])
    names, births = open_person(cipher, case_id, row["sealed_person"])
    return Identity(
        chart_id=chart_id,
        issuer=issuer,
        accession=cipher.open_text(case_identity, "sealed_accession", case_id, row["sealed_accession"]),
        study_uid=cipher.open_text(case_identity, "sealed_study_uid", case_id, row["sealed_study_uid"]),
        names=names,
        birth_date=births[0] if births else None,
        extra=cipher.open_json(case_identity, "sealed_extra", case_id, row["sealed_extra"]),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(entry) for entry in value) if isinstance(value, list) else ()


def seal_instances(
    connection: Connection, cipher: Cipher, case_id: UUID, identities: Mapping[UUID, InstanceIdentityIn]
) -> frozenset[UUID]:
    """Store what the case has no instance of yet; of a known SOP UID the first record stays. Returns the new ones.

    Raises NotFound for an unknown case, Conflict when an instance is stored under another SOP UID."""
    locked_case(connection, case_id)
    indices = {instance_id: cipher.sop_index(identity.sop_uid) for instance_id, identity in identities.items()}
    stored = select(instance_identity.c.instance_id, instance_identity.c.sop_index)
    for instance_id, sop_index in connection.execute(stored.where(instance_identity.c.instance_id.in_(indices))):
        if indices[instance_id] != sop_index:
            raise Conflict("This instance is stored already, under another SOP Instance UID.")
    rows = [
        {"instance_id": instance_id, "case_id": case_id, "sop_index": indices[instance_id]}
        | _sealed_instance(cipher, instance_id, identity)
        for instance_id, identity in identities.items()
    ]
    new = insert(instance_identity).values(rows).on_conflict_do_nothing(index_elements=["case_id", "sop_index"])
    return (
        frozenset(connection.execute(new.returning(instance_identity.c.instance_id)).scalars()) if rows else frozenset()
    )


def revise_instance(connection: Connection, cipher: Cipher, instance_id: UUID, identity: InstanceIdentityIn) -> None:
    """The PACS sent other bytes under the same SOP UID: what is known of them replaces the old. Raises NotFound."""
    same = (
        instance_identity.c.instance_id == instance_id,
        instance_identity.c.sop_index == cipher.sop_index(identity.sop_uid),
    )
    done = connection.execute(
        update(instance_identity).where(*same).values(_sealed_instance(cipher, instance_id, identity))
    )
    if done.rowcount != 1:
        raise NotFound


def _sealed_instance(cipher: Cipher, instance_id: UUID, identity: InstanceIdentityIn) -> dict[str, Any]:
    if not plain_uid(identity.sop_uid):
        raise Refused("This instance has no SOP Instance UID.")
    named = {
        "sop_uid": plain_uid(identity.sop_uid),
        "series_uid": plain_uid(identity.series_uid),
        "file_name": identity.file_name,
        "extra": dict(identity.extra),
    }
    sealed = identity.sha256 and cipher.seal(instance_identity, "sealed_sha256", instance_id, identity.sha256)
    return {
        "sealed_identity": cipher.seal_json(instance_identity, "sealed_identity", instance_id, named),
        "sealed_sha256": sealed or None,
        "size_bytes": identity.size,
    }


def open_instance(cipher: Cipher, row: RowMapping) -> InstanceIdentityIn:
    instance_id, sealed = row["instance_id"], row["sealed_sha256"]
    named = cipher.open_json(instance_identity, "sealed_identity", instance_id, row["sealed_identity"])
    extra, file_name = named["extra"], named["file_name"]
    identity = InstanceIdentityIn(
        sop_uid=str(named["sop_uid"]), series_uid=str(named["series_uid"]), size=row["size_bytes"]
    )
    return replace(
        identity,
        extra=extra if isinstance(extra, dict) else {},
        sha256=None if sealed is None else cipher.open(instance_identity, "sealed_sha256", instance_id, sealed),
        file_name=None if file_name is None else str(file_name),
    )


def instances(connection: Connection, case_id: UUID) -> Sequence[RowMapping]:
    statement = select(instance_identity).where(instance_identity.c.case_id == case_id)
    return connection.execute(statement.order_by(instance_identity.c.instance_id)).mappings().all()


def seal_remark(connection: Connection, cipher: Cipher, case_id: UUID, remark_id: UUID, text: str) -> None:
    """A remark is written once. Raises NotFound for an unknown case."""
    locked_case(connection, case_id)
    sealed = cipher.seal_text(remark, "sealed_text", remark_id, text)
    connection.execute(insert(remark).values(id=remark_id, case_id=case_id, sealed_text=sealed))


def remarks(connection: Connection, case_id: UUID) -> Sequence[RowMapping]:
    return connection.execute(select(remark).where(remark.c.case_id == case_id)).mappings().all()


def open_remark(cipher: Cipher, row: RowMapping) -> str:
    return cipher.open_text(remark, "sealed_text", row["id"], row["sealed_text"]) or ""
