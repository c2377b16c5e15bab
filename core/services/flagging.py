"""Flag one study or a list of them: what a line must say, what it would do, and doing it; each line answers for itself."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from pydantic import Field, ValidationError
from sqlmodel import Session, SQLModel

from core.clock import now_utc
from core.errors import AppError, Malformed
from core.models.sitecase import SiteCase
from core.node import SiteNode
from core.permissions import Actor
from core.services import cases

MOST_ROWS: Final = 5000
MOST_CHARACTERS: Final = 2_000_000
COLUMNS: Final = ("chart_id", "domain", "accession", "study_uid", "deferred_until")
_ENCODINGS: Final = ("utf-8-sig", "cp932")  # the second is what a spreadsheet on a Japanese Windows writes


class FlagIn(SQLModel):
    """One study to flag, as the world says it."""

    chart_id: str = Field(min_length=1, max_length=64)
    domain: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    accession: str | None = Field(default=None, max_length=64)
    study_uid: str | None = Field(default=None, pattern=r"^[0-9.]{1,64}$")
    deferred_until: datetime | None = None


@dataclass(frozen=True, repr=False)
class Line:
    """What one line of a list did, or would do. `given` are its values as they were read, for the page of who sent it."""

    line: int
    given: dict[str, str]
    ok: bool
    case: SiteCase | None = None
    new: bool | None = None
    reason: str | None = None


def request_of(node: SiteNode, body: FlagIn, route: str) -> cases.FlagRequest:
    """A day without a zone begins at midnight of the site."""
    values = body.model_dump()
    if body.deferred_until is not None and body.deferred_until.tzinfo is None:
        values["deferred_until"] = body.deferred_until.replace(tzinfo=node.settings.zone)
    return cases.FlagRequest(**values, route=route)


def check_fields(values: dict[str, str]) -> FlagIn:
    """The study that these fields name. Raises Malformed, naming the fields that are missing or wrong, never a value."""
    known = {name: text for name, value in values.items() if name in FlagIn.model_fields and (text := value.strip())}
    try:
        return FlagIn.model_validate(known)
    except ValidationError as exc:
        fields = ", ".join(str(error["loc"][0]) for error in exc.errors())
        raise Malformed(f"Missing or wrong: {fields}.") from None


def flag_one(node: SiteNode, session: Session, actor: Actor, values: dict[str, str]) -> tuple[SiteCase, bool]:
    """(case, whether it is new) for the fields of a form. Raises Malformed as well as what `cases.flag` does."""
    body = check_fields(values)
    if body.deferred_until is not None and body.deferred_until.date() <= _today(node):
        raise Malformed("Choose a day after today, or leave it empty.")
    return cases.flag(node, session, actor, request_of(node, body, "rest"))


def _today(node: SiteNode) -> date:
    return now_utc().astimezone(node.settings.zone).date()


def tomorrow(node: SiteNode) -> date:
    """The first day to which a case can be deferred."""
    return _today(node) + timedelta(days=1)


def decoded(content: bytes) -> str:
    """The text of a CSV file. Raises Malformed when it is no text."""
    for encoding in _ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Malformed("This file is not text; save it as CSV (UTF-8).")


def rows_of(text: str, most: int = MOST_ROWS) -> list[dict[str, Any]]:
    """The lines of a CSV by the names of its columns. Raises Malformed."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        if not {"chart_id", "domain"} <= set(reader.fieldnames or ()):
            raise Malformed("The first line must name the columns: chart_id, domain, and accession or study_uid.")
        rows = list(reader)
    except csv.Error:
        raise Malformed("This is not CSV that can be read; a field may be too long.") from None
    if len(rows) > most:
        raise Malformed(f"At most {most} lines at once.")
    return rows


def lines_of(
    node: SiteNode, session: Session, actor: Actor, text: str, *, preview: bool, most: int = MOST_ROWS
) -> list[Line]:
    """Flag each line of a CSV, or with `preview` say what it would do and flag nothing. Raises Malformed for no CSV."""
    return list(_lines(node, session, actor, rows_of(text, most), preview))


def _lines(node: SiteNode, session: Session, actor: Actor, rows: list[dict[str, Any]], preview: bool) -> Iterator[Line]:
    for number, row in enumerate(rows, 2):
        given = {name: (row.get(name) or "").strip() for name in COLUMNS}
        try:
            request = request_of(node, check_fields(given), "csv")
            if preview:
                cases.check_flag(node, actor, request)
                known = cases.known(node, session, request)
                yield Line(number, given, True, known, known is None)
            else:
                case, new = cases.flag(node, session, actor, request)
                yield Line(number, given, True, case, new)
        except AppError as exc:
            yield Line(number, given, False, reason=exc.message)
