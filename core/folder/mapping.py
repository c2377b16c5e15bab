"""The way back in plain words, for whoever asks for it: two CSV files in the key folder that only its owner can read."""

import csv
import os
import secrets
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Final

from core.errors import Unavailable
from core.folder.linkage import Linkage
from core.vault.keys import fsync_folder

UIDS: Final = "uid_mapping.csv"
PATIENTS: Final = "patid_mapping.csv"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def write(folder: Path, linkage: Linkage) -> None:
    """Everything that the linkage knows; raises Unavailable when the folder cannot be written."""
    patients = [(one.issuer, one.chart, one.research_id) for one in linkage.patients() if one.chart]
    _put(folder / PATIENTS, [("IssuerOfPatientID", "PatientID", "research_id"), *sorted(patients)])
    uids = {tuple(row) for _, record in linkage.records() for row in record.get("uids", ())}
    _put(folder / UIDS, [("attribute", "original", "new"), *sorted(uids)])


def _put(path: Path, rows: Iterable[Sequence[str]]) -> None:
    text = StringIO()
    csv.writer(text).writerows([_safe(cell) for cell in row] for row in rows)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.getvalue().encode("utf-8", "surrogatepass"))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Unavailable("The key folder cannot be written: is the disk full?") from error


def _safe(cell: str) -> str:
    """A cell that a spreadsheet would take for a formula begins with a quote."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
