"""One byte range of a request (RFC 9110 section 14); anything else is answered whole."""

import re

from core.errors import AppError

_ONE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class RangeNotSatisfiable(AppError):
    """The range lies outside the file."""

    status = 416


def asked_range(header: str | None, size: int) -> tuple[int, int, int]:
    """(start, length, status): 206 for a satisfiable single range, else the whole with 200. Raises RangeNotSatisfiable."""
    found = _ONE.fullmatch(header.strip()) if header else None
    if found is None or not any(found.groups()):
        return 0, size, 200
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size - 1, int(last)) if first and last else size - 1
    if start >= size or (first and last and int(last) < start):
        raise RangeNotSatisfiable
    return start, end - start + 1, 206
