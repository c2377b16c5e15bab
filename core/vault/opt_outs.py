"""The list of patients who said no: by chart ID, whether the vault has met them or not."""

from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.selectable import FromClause

from core.ids import uuid7
from core.vault import records
from core.vault.cipher import Cipher
from core.vault.identity import OptOut
from core.vault.tables import case_identity, opt_out, patient


def add(connection: Connection, cipher: Cipher, chart_id: str, issuer: str | None) -> list[UUID]:
    """Put a chart ID on the list; again changes nothing. Returns the person's cases, for their withdrawal."""
    chart_index, new = cipher.chart_index(chart_id, issuer), uuid7()
    chart = {"chart_id": chart_id, "issuer": issuer}
    row = insert(opt_out).values(
        id=new,
        chart_index=chart_index,
        sealed_chart=cipher.seal_json(opt_out, "sealed_chart", new, chart),
        rule_version=cipher.rule.stamp,
    )
    connection.execute(row.on_conflict_do_nothing(index_elements=["chart_index"]))
    return cases_of_chart(connection, chart_index)


def remove(connection: Connection, cipher: Cipher, chart_id: str, issuer: str | None) -> bool:
    """Take the person off the list under each of its chart IDs; False if it was not on it."""
    gone = delete(opt_out).where(_of_person(cipher.chart_index(chart_id, issuer)))
    return connection.execute(gone).rowcount > 0


def has_chart(connection: Connection, cipher: Cipher, chart_id: str, issuer: str | None) -> bool:
    """Whether this chart ID, or a twin's, is on the list. Raises Refused if it cannot be normalised."""
    listed = select(opt_out.c.id).where(_of_person(cipher.chart_index(chart_id, issuer)))
    return connection.execute(listed.limit(1)).first() is not None


def has_case(connection: Connection, case_id: UUID) -> bool:
    """Whether the case's patient, or a twin, is on the list. Raises NotFound for an unknown case."""
    root_id = records.case_row(connection, case_id)["root_id"]
    return connection.execute(_opted_out_roots().where(_root_id(patient) == root_id).limit(1)).first() is not None


def all_cases(connection: Connection) -> frozenset[UUID]:
    """Every case of every person on the list."""
    listed = _with_patient(select(case_identity.c.case_id)).where(_root_id(patient).in_(_opted_out_roots()))
    return frozenset(connection.execute(listed).scalars())


def entries(connection: Connection) -> list[OptOut]:
    """The list, oldest first."""
    rows = connection.execute(select(opt_out).order_by(opt_out.c.since, opt_out.c.id)).mappings().all()
    return [OptOut(row["id"], row["since"], tuple(cases_of_chart(connection, row["chart_index"]))) for row in rows]


def cases_of_chart(connection: Connection, chart_index: bytes) -> list[UUID]:
    """The cases under this chart ID and its twins."""
    mine = _root_id(patient).in_(_roots_of(chart_index))
    statement = _with_patient(select(case_identity.c.case_id)).where(mine).order_by(case_identity.c.case_id)
    return list(connection.execute(statement).scalars())


def _of_person(chart_index: bytes) -> ColumnElement[bool]:
    """Entries under this chart ID, whether the vault has met the patient or not, or under a twin's."""
    theirs = select(patient.c.chart_index).where(_root_id(patient).in_(_roots_of(chart_index)))
    return (opt_out.c.chart_index == chart_index) | opt_out.c.chart_index.in_(theirs)


def _root_id(rows: FromClause) -> ColumnElement[UUID]:
    return func.coalesce(rows.c.same_as, rows.c.id)


def _roots_of(chart_index: bytes) -> Select[UUID]:
    named = patient.alias("named")
    return select(_root_id(named)).where(named.c.chart_index == chart_index)


def _opted_out_roots() -> Select[UUID]:
    return select(_root_id(patient)).join(opt_out, opt_out.c.chart_index == patient.c.chart_index)


def _with_patient(statement: Select[UUID]) -> Select[UUID]:
    return statement.join(patient, patient.c.id == case_identity.c.patient_id)
