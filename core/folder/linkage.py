"""Who is who, kept in the key folder: patients, studies and files in one SQLite file whose every value is sealed."""

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from core.dicom.facts import InstanceIdentity
from core.errors import Refused, Unavailable
from core.ids import outward_id
from core.vault.keys import SECRET_BYTES, Keys
from core.vault.linkage import FEWEST_WEEKS, MOST_WEEKS
from core.vault.needles import spell
from core.vault.normalise import ChartIdRule, plain_number
from core.vault.seal import BlindIndex, ColumnSealer
from core.vault.vault import SHORTEST_NUMBER

FILE: Final = "linkage.sqlite"
NO_ID: Final = "The file has no PatientID: its patient cannot be told from others."
# Rows are found by keyed digests alone; `sealed` is JSON under AES-256-GCM, bound to its table and row.
_TABLES: Final = tuple(
    f"CREATE TABLE IF NOT EXISTS {name} (found_by BLOB PRIMARY KEY, id TEXT NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID"
    for name in ("patient", "study", "file")
)
_LEARNT: Final = ("patient_id", "patient_name", "birth_date", "accession", "institutions", "staff_names",
                  "other_patient_ids", "other_patient_names")  # fmt: skip


@dataclass(frozen=True)
class Patient:
    """What a patient's row says; a `core.deid.pseudonyms.Link`. `values` are all that any file said of the person."""

    research_id: str
    date_offset_days: int
    uid_secret: bytes = field(repr=False)
    chart: str = field(repr=False)
    issuer: str = field(repr=False)
    values: Mapping[str, list[str]] = field(repr=False)


class Linkage:
    """One connection for all threads; several runs at once may share the file. Every change is on disk when it returns."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        path = folder / FILE
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        self._lock = threading.Lock()
        self._columns, self._index, self._rule = ColumnSealer(keys.seal), BlindIndex(keys.index), ChartIdRule()
        self._database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        with self._transaction(begin=""):
            for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *_TABLES):
                self._database.execute(statement)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def patient_key(self, identity: InstanceIdentity, *, study_is_patient: bool = False) -> bytes:
        """The blind index of the normalised PatientID and its issuer.

        Raises Refused for a file without one; with `study_is_patient` such a file is of a patient of its own study."""
        if identity.patient_id is None:
            if not study_is_patient:
                raise Refused(NO_ID)
            return self._index.of("chart", "study", identity.study_uid or "")
        number = self._rule.normalise(identity.patient_id)
        return self._index.of("chart", "patient", plain_number(identity.issuer or ""), number)

    def patient(self, key: bytes, identity: InstanceIdentity) -> Patient:
        """The patient's row; its IDs, secret and day offset are drawn at the first call and the same ever after."""
        with self._transaction():
            stored = self._read("patient", key)
            if stored is None:
                weeks = FEWEST_WEEKS + secrets.randbelow(MOST_WEEKS - FEWEST_WEEKS + 1)
                stored = {
                    "research_id": str(outward_id()),
                    "date_offset_days": -7 * weeks,
                    "uid_secret": secrets.token_hex(SECRET_BYTES),
                    "chart": identity.patient_id or "",
                    "issuer": identity.issuer or "",
                    "values": {},
                }
                self._write("patient", key, stored)
        return _patient(stored)

    def learn(self, key: bytes, identities: list[InstanceIdentity]) -> None:
        """Keep what these files say of the person: every other file of the same patient is searched for it."""
        self.patient(key, identities[0])
        with self._transaction():
            stored = self._read("patient", key)
            if stored is None:
                raise Refused("A patient was taken out of the linkage meanwhile.")
            said = {name: set(stored["values"].get(name, ())) for name in _LEARNT}
            for identity in identities:
                for name, values in said.items():
                    value = getattr(identity, name)
                    values.update(value if isinstance(value, tuple) else filter(None, [value]))
            known = {name: sorted(found) for name, found in said.items()}
            if known != stored["values"]:
                self._write("patient", key, stored | {"values": known})

    def needles(self, patient: Patient, identity: InstanceIdentity) -> tuple[str, ...]:
        """Every spelling of every value of this patient and this file, longest first."""
        wanted: list[object] = [dict(patient.values), identity.as_dict()]
        if identity.patient_id is not None:
            number = self._rule.normalise(identity.patient_id)
            short = number.lstrip("0")
            wanted += [number, short if len(short) >= SHORTEST_NUMBER else number]
        return spell(wanted)

    def study_start(self, key: bytes, study_uid: str, own: datetime | None) -> datetime | None:
        """When the study began, as its first file with a date said: all its files are moved by the same distance."""
        found_by = self._index.of("study_uid", key.hex(), study_uid)
        with self._transaction():
            stored = self._read("study", found_by)
            if stored is None and own is not None:
                stored = {"start": own.isoformat()}
                self._write("study", found_by, stored)
        return datetime.fromisoformat(stored["start"]) if stored else None

    def content_key(self, sha256: bytes) -> bytes:
        """By what a file is known: a keyed digest of its content, which says nothing about it."""
        return self._index.of("content", sha256.hex())

    def revision(self, content: bytes, made_from: str) -> int:
        """The pixel revision of one file under one mask: other bytes or another mask give another image, a new UID."""
        return int.from_bytes(self._index.of("content", content.hex(), made_from)[:6], "big")

    def record(self, content: bytes) -> dict[str, Any] | None:
        """What was done with this content before."""
        with self._transaction(begin=""):
            return self._read("file", content)

    def remember(self, content: bytes, record: Mapping[str, Any]) -> None:
        with self._transaction():
            self._write("file", content, record)

    def records(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Every file that was ever worked on, by its content key."""
        yield from self._all("file")

    def patients(self) -> Iterator[Patient]:
        yield from (_patient(stored) for _, stored in self._all("patient"))

    def _all(self, table: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
        with self._transaction(begin=""):
            rows = self._database.execute(f"SELECT found_by, id, sealed FROM {table} ORDER BY id").fetchall()  # noqa: S608
        for found_by, row_id, sealed in rows:
            yield found_by, self._opened(table, UUID(row_id), sealed)

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
        """Other threads and other runs wait meanwhile. Raises Unavailable when the file cannot be written."""
        with self._lock:
            try:
                if begin:
                    self._database.execute(begin)
                yield
                if begin:
                    self._database.execute("COMMIT")
            except sqlite3.Error as error:
                raise Unavailable("The linkage in the key folder cannot be read or written.") from error
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")

    def _read(self, table: str, found_by: bytes) -> dict[str, Any] | None:
        query = f"SELECT id, sealed FROM {table} WHERE found_by = ?"  # noqa: S608 - one of three names
        with closing(self._database.execute(query, (found_by,))) as rows:
            row = rows.fetchone()
        return None if row is None else self._opened(table, UUID(row[0]), row[1])

    def _opened(self, table: str, row_id: UUID, sealed: bytes) -> dict[str, Any]:
        stored: dict[str, Any] = json.loads(self._columns.open(table, "sealed", row_id, sealed))
        return stored

    def _write(self, table: str, found_by: bytes, value: Mapping[str, Any]) -> None:
        row_id = uuid4()
        sealed = self._columns.seal(table, "sealed", row_id, json.dumps(value).encode())
        query = f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)"  # noqa: S608 - one of three names
        self._database.execute(query, (found_by, str(row_id), sealed))


def _patient(stored: Mapping[str, Any]) -> Patient:
    return Patient(
        research_id=stored["research_id"],
        date_offset_days=stored["date_offset_days"],
        uid_secret=bytes.fromhex(stored["uid_secret"]),
        chart=stored["chart"],
        issuer=stored["issuer"],
        values=stored["values"],
    )
