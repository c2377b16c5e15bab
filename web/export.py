"""A list as a CSV file that a spreadsheet opens without running anything in it."""

import csv
import io
from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")
_BOM: Final = "\ufeff"  # without it a spreadsheet takes Japanese for something else


def safe_cell(value: str) -> str:
    """A cell that a spreadsheet would take for a formula begins with a quote."""
    return f"'{value}" if value.startswith(_FORMULAS) else value


def csv_answer(name: str, table: Sequence[Sequence[str]]) -> Response:
    """`table` begins with its head. `name` is the file's, ours and plain."""
    text = io.StringIO()
    csv.writer(text).writerows([[safe_cell(cell) for cell in row] for row in table])
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(_BOM + text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)
