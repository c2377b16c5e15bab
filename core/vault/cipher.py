"""All that a row of the vault needs: sealing, opening, and the digests by which it is found."""

import json
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Table, exists, or_, select

from core.errors import BadConfiguration, Refused
from core.vault.keys import Keys
from core.vault.normalise import ChartIdRule, plain_number, plain_uid
from core.vault.seal import BlindIndex, ColumnSealer
from core.vault.tables import opt_out, patient

_UID_SECRET: Final = ("patient", "sealed_uid_secret")


class Cipher:
    """The keys and the chart ID rule of a site, applied to columns."""

    def __init__(self, keys: Keys, rule: ChartIdRule) -> None:
        self.rule = rule
        self._columns = ColumnSealer(keys.seal)
        self._uid_secrets = ColumnSealer(keys.uids)
        self._index = BlindIndex(keys.index)

    def sealer_of(self, table: Table, column: str) -> ColumnSealer:
        """The patients' UID secrets are under keys of their own; all else is under the sealing keys."""
        return self._uid_secrets if (table.name, column) == _UID_SECRET else self._columns

    def seal(self, table: Table, column: str, row_id: UUID, plain: bytes) -> bytes:
        return self.sealer_of(table, column).seal(table.name, column, row_id, plain)

    def open(self, table: Table, column: str, row_id: UUID, sealed: bytes) -> bytes:
        return self.sealer_of(table, column).open(table.name, column, row_id, sealed)

    def seal_json(self, table: Table, column: str, row_id: UUID, value: Mapping[str, object]) -> bytes:
        """Raises Refused if the value is not made of JSON's types."""
        try:
            plain = json.dumps(dict(value), separators=(",", ":")).encode()
        except (TypeError, ValueError):
            raise Refused("These identifiers cannot be stored: only texts, numbers, lists and tables can.") from None
        return self.seal(table, column, row_id, plain)

    def open_json(self, table: Table, column: str, row_id: UUID, sealed: bytes | None) -> dict[str, object]:
        """An empty dict where nothing is stored."""
        if sealed is None:
            return {}
        value: dict[str, object] = json.loads(self.open(table, column, row_id, sealed))
        return value

    def open_text(self, table: Table, column: str, row_id: UUID, sealed: bytes | None) -> str | None:
        return None if sealed is None else self.open(table, column, row_id, sealed).decode("utf-8", "surrogatepass")

    def seal_text(self, table: Table, column: str, row_id: UUID, value: str) -> bytes:
        return self.seal(table, column, row_id, value.encode("utf-8", "surrogatepass"))

    def chart_index(self, chart_id: str, issuer: str | None = None) -> bytes:
        """Raises Refused if the rule cannot normalise the chart ID."""
        return self._index.of("chart", *self.rule.index_parts(chart_id, issuer))

    def merged_index(self, row_id: UUID) -> bytes:
        """Stands where a chart ID's index would, for a twin whose chart ID now reads like its other's."""
        return self._index.of("merged", str(row_id))

    def accession_index(self, accession: str) -> bytes:
        return self._index.of("accession", plain_number(accession))

    def study_uid_index(self, uid: str) -> bytes:
        return self._index.of("study_uid", plain_uid(uid))

    def sop_index(self, uid: str) -> bytes:
        return self._index.of("sop_uid", plain_uid(uid))

    def check_rule(self, connection: Connection) -> None:
        """Raises BadConfiguration while rows stand under another chart ID rule: an opt-out could be missed."""
        other = or_(
            exists().where(patient.c.rule_version != self.rule.stamp),
            exists().where(opt_out.c.rule_version != self.rule.stamp),
        )
        if connection.execute(select(other)).scalar_one():
            raise BadConfiguration(
                "The rule for chart IDs differs from the one under which records were stored. "
                "Restore the rule, or run the vault's re-index job."
            )
