"""Two jobs over all rows: seal again under the newest keys, and index again under a changed chart ID rule."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Column, Connection, RowMapping, Table, delete, func, select, text, update

from core.vault import linkage
from core.vault.cipher import Cipher
from core.vault.keys import KEY_ID_BYTES
from core.vault.tables import SEALED_COLUMNS, opt_out, patient


def reseal(connection: Connection, cipher: Cipher, limit: int) -> int:
    """Seal up to `limit` values again that stand under an older key. Returns how many; 0 means that all is done."""
    done = 0
    for table, name in SEALED_COLUMNS:
        if done >= limit:
            break
        done += _reseal_column(connection, cipher, table, name, limit - done)
    return done


def _reseal_column(connection: Connection, cipher: Cipher, table: Table, name: str, limit: int) -> int:
    (key,) = table.primary_key.columns
    column: Column[bytes] = table.c[name]
    older = func.substring(column, 2, KEY_ID_BYTES) != cipher.sealer_of(table, name).newest_id
    rows = connection.execute(select(key, column).where(older).limit(limit).with_for_update()).all()
    for row_id, sealed in rows:
        again = cipher.seal(table, name, row_id, cipher.open(table, name, row_id, sealed))
        connection.execute(update(table).where(key == row_id).values({name: again}))
    return len(rows)


def reindex(connection: Connection, cipher: Cipher) -> int:
    """Index every chart ID again under the present rule, all or nothing; nothing else writes meanwhile.

    Patients whose chart IDs now read the same become twins. Returns how many rows were changed. Raises Refused if the
    rule cannot normalise a stored chart ID: then the rule is wrong and nothing was changed."""
    connection.execute(text("LOCK TABLE vault.patient, vault.opt_out IN SHARE ROW EXCLUSIVE MODE"))
    stale = connection.execute(select(patient.c.id).where(patient.c.rule_version != cipher.rule.stamp).limit(1)).first()
    changed = _reindex_patients(connection, cipher) if stale else 0
    return changed + _reindex_opt_outs(connection, cipher)


def _by_chart(cipher: Cipher, rows: Sequence[RowMapping], table: Table) -> dict[bytes, list[RowMapping]]:
    """Rows by their new index, oldest first."""
    groups: dict[bytes, list[RowMapping]] = defaultdict(list)
    for row in rows:
        chart = cipher.open_json(table, "sealed_chart", row["id"], row["sealed_chart"])
        issuer = chart.get("issuer")
        groups[cipher.chart_index(str(chart["chart_id"]), None if issuer is None else str(issuer))].append(row)
    return groups


def _reindex_patients(connection: Connection, cipher: Cipher) -> int:
    rows = connection.execute(select(patient).order_by(patient.c.id)).mappings().all()
    groups = _by_chart(cipher, rows, patient)
    # First out of the way: a new index may equal the old one of a row that has not had its turn.
    for row in rows:
        _set_index(connection, row["id"], cipher.merged_index(row["id"]), cipher.rule.stamp)
    for chart_index, (first, *others) in groups.items():
        _set_index(connection, first["id"], chart_index, cipher.rule.stamp)
        for other in others:
            linkage.unite(connection, other["id"], first["id"])
    return len(rows)


def _set_index(connection: Connection, patient_id: UUID, chart_index: bytes, stamp: str) -> None:
    changes = {"chart_index": chart_index, "rule_version": stamp}
    connection.execute(update(patient).where(patient.c.id == patient_id).values(changes))


def _reindex_opt_outs(connection: Connection, cipher: Cipher) -> int:
    rows = connection.execute(select(opt_out).order_by(opt_out.c.since, opt_out.c.id)).mappings().all()
    if all(row["rule_version"] == cipher.rule.stamp for row in rows):
        return 0
    groups = _by_chart(cipher, rows, opt_out)
    connection.execute(delete(opt_out))
    for chart_index, (first, *_) in groups.items():
        kept = dict(first) | {"chart_index": chart_index, "rule_version": cipher.rule.stamp}
        connection.execute(opt_out.insert().values(kept))
    return len(rows)
