"""A filter of the worklist as an address says it, and an address as a filter makes it; what is no filter is left out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from sqlmodel import Session
from starlette.requests import Request

from core.errors import NotFound
from core.models.sitecase import CaseState
from core.permissions import Actor
from core.queries.site_home import last_night
from core.queries.worklist import SORTS, Chosen, Line
from core.services import filters

AGES: Final = (1, 3, 7, 30)
LONGEST_LIST: Final = 400
_FLAGS: Final = ("stuck", "mine", "masks", "arrived")
_DOWN_FIRST: Final = frozenset({"number", "images", "age"})


@dataclass(frozen=True)
class View:
    """What the address asks for: `query` is its plain values in one form, `chosen` what the query of cases takes.

    `is_over`: it names a search that is over, or never was; then nothing is found."""

    chosen: Chosen
    query: dict[str, str] = field(default_factory=dict)
    is_over: bool = False

    def with_page(self, page: int) -> str:
        return href(self.query | {"page": str(page)} if page > 1 else self._first)

    def sorted_by(self, sort: str) -> str:
        """The same list by this column: from the other end when it is sorted by it already."""
        is_down = not self.chosen.descending if self.chosen.sort == sort else sort in _DOWN_FIRST
        return href(self._first | {"sort": sort, "order": "down" if is_down else "up"})

    def aria_sort(self, sort: str) -> str:
        return ("descending" if self.chosen.descending else "ascending") if self.chosen.sort == sort else ""

    def case(self, case_id: UUID) -> str:
        """A case of this list, from which one goes on in its order."""
        return case_href(case_id, self.listed)

    @property
    def listed(self) -> str:
        """The list as a case's page carries it along: without its page; all of it is worked through in its order."""
        return urlencode(self._first) or "order=down"

    def address(self, path: str) -> str:
        return path + (f"?{urlencode(self.query)}" if self.query else "")

    @property
    def is_filtered(self) -> bool:
        return bool(self.query.keys() - {"sort", "order", "page"})

    @property
    def _first(self) -> dict[str, str]:
        return {name: value for name, value in self.query.items() if name != "page"}


def href(query: Mapping[str, Any]) -> str:
    return "/worklist" + (f"?{urlencode(query)}" if query else "")


def case_href(case_id: UUID, listed: str) -> str:
    return f"/cases/{case_id}" + (f"?{urlencode({'list': listed})}" if listed else "")


def kept(view: View) -> dict[str, str]:
    """What a saved view keeps: neither the page nor the cases of a search."""
    return {name: value for name, value in view.query.items() if name not in {"page", "found"}}


def view_of(request: Request, session: Session, actor: Actor) -> View:
    return _view(request, session, actor, request.query_params)


def list_of(request: Request, session: Session, actor: Actor) -> View | None:
    """The list from which a case was opened, which its page carries along as `list`; None where there is none."""
    query = request.query_params.get("list", "")[:LONGEST_LIST]
    return _view(request, session, actor, dict(parse_qsl(query))) if query else None


def _view(request: Request, session: Session, actor: Actor, asked: Mapping[str, str]) -> View:
    state = next((state for state in CaseState if state == asked.get("state")), None)
    domain = next((code for code in request.app.state.settings.domains if code == asked.get("domain")), None)
    older = next((days for days in AGES if str(days) == asked.get("older")), None)
    flags = {name for name in _FLAGS if asked.get(name) == "1"}
    sort = asked.get("sort", "")
    sort = sort if sort in SORTS else "number"
    is_down = {"down": True, "up": False}.get(asked.get("order", ""), sort in _DOWN_FIRST)
    found, is_over = _uuid(asked.get("found", "")), False
    try:
        case_ids = filters.found(session, actor, found) if found else None
    except NotFound:
        case_ids, is_over = (), True
    chosen = Chosen(
        state, domain, "stuck" in flags, "mine" in flags, "masks" in flags, older, sort=sort, descending=is_down,
        arrived=last_night(request.app.state.settings.zone) if "arrived" in flags else None,
        found=case_ids, page=_page(asked.get("page", "")),
    )  # fmt: skip
    return View(chosen, _query(chosen, sorted(flags), found), is_over)


def _query(chosen: Chosen, flags: Sequence[str], found: UUID | None) -> dict[str, str]:
    values: dict[str, object] = {"state": chosen.state, "domain": chosen.domain, "older": chosen.older}
    values |= dict.fromkeys(flags, "1")
    if (chosen.sort, chosen.descending) != ("number", True):
        values |= {"sort": chosen.sort, "order": "down" if chosen.descending else "up"}
    values |= {"found": found, "page": chosen.page if chosen.page > 1 else None}
    return {name: str(value) for name, value in values.items() if value}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _page(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and 0 < len(text) < 6 and int(text) else 1


def table_of(words: Mapping[str, Any], lines: Sequence[Line]) -> list[list[str]]:
    """The list as cells in the person's language, its head first."""
    t: Callable[..., str] = words["t"]
    said, moment, domain_name = words["said"], words["moment"], words["domain_name"]
    head = ["number", "revision", "state", "reason", "domain", "images", "frames", "confirmed", "masks", "since", "by"]
    rows = [
        [
            str(line.case.number), str(line.case.revision), t(f"case.{line.case.state}"), said(line.case.reason),
            domain_name(line.case.domain), str(line.images), str(line.frames), str(line.confirmed), str(line.masks),
            moment(line.case.created_at), line.flagged_by,
        ]
        for line in lines
    ]  # fmt: skip
    return [[t(COLUMN_WORDS[name]) for name in head], *rows]


COLUMN_WORDS: Final = {
    "number": "worklist.number",
    "revision": "worklist.revision",
    "state": "worklist.state",
    "reason": "worklist.reason",
    "domain": "worklist.domain",
    "images": "worklist.images",
    "frames": "worklist.frames",
    "confirmed": "worklist.confirmed",
    "masks": "worklist.masks_needed",
    "since": "worklist.since",
    "by": "worklist.by",
}
