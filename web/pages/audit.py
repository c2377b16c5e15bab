"""The audit trail: search it, take it along, and have its chain verified."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from sqlmodel import Session
from starlette.responses import Response

from core import audit as trail
from core.models.audit import AuditEvent
from core.permissions import Actor, Verb
from core.queries import audit as queries
from core.services import chain
from web import verbs
from web.deps import NodeDep, SessionDep, may
from web.export import csv_answer
from web.render import look_of, page
from web.texts import Language, text

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site", "central", "pacs")
Auditor = Annotated[Actor, may(Verb.AUDIT)]
PAGE: Final = 50
FIELDS: Final = ("since", "until", "actor", "verb", "subject")
_LONGEST: Final = 64
_FINDINGS: Final = {
    "altered": "audit.altered",
    "deleted": "audit.deleted",
    "reordered": "audit.reordered",
    "cut or rewritten": "audit.cut",
    "forged receipt": "audit.forged",
}
_HEADS: Final = (
    "audit.number", "audit.at", "audit.actor", "audit.verb", "audit.code", "audit.subject", "audit.before",
    "audit.after", "audit.detail", "audit.hash",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What the address asks for: as it was typed, as a search, and which of its fields cannot be read."""

    typed: Mapping[str, str]
    search: queries.Search
    wrong: tuple[str, ...]

    @property
    def query(self) -> dict[str, str]:
        return {name: value for name, value in self.typed.items() if value}

    def href(self, path: str, **more: str) -> str:
        query = urlencode(self.query | more)
        return f"{path}?{query}" if query else path


@router.get("/audit")
def audit_page(
    request: Request, session: SessionDep, actor: Auditor, before: Annotated[int | None, Query()] = None
) -> Response:
    return _answer(request, session, actor, before)


@router.get("/audit.csv")
def audit_csv(request: Request, session: SessionDep, actor: Auditor) -> Response:
    """All that the search finds, with words and codes side by side."""
    asked, lang, zone = _asked(request), look_of(request).lang, request.app.state.settings.zone
    if asked.wrong:
        return _answer(request, session, actor, None)
    rows = [
        [
            str(event.seq or ""), event.at.astimezone(zone).isoformat(timespec="seconds"), event.actor,
            verbs.verb_in_words(lang, event.verb), event.verb, event.subject, event.before or "", event.after or "",
            _detail(event.detail), event.hash or "",
        ]
        for event in queries.export(session, actor, asked.search, zone)
    ]  # fmt: skip
    trail.record(session, actor, "audit.export", rows=len(rows))
    return csv_answer("audit.csv", [[text(lang, key) for key in _HEADS], *rows])


@router.post("/audit/verify")
def verify_chain(request: Request, session: SessionDep, node: NodeDep, actor: Auditor) -> Response:
    """Walk the whole chain now; the page says what was found."""
    walked = chain.verify(node, session, actor)
    session.flush()
    return _answer(request, session, actor, None, walked)


def _answer(
    request: Request, session: Session, actor: Actor, before: int | None, walked: chain.Walked | None = None
) -> Response:
    asked, lang = _asked(request), look_of(request).lang
    found = queries.events(session, actor, asked.search, request.app.state.settings.zone, before, PAGE + 1)
    events = [] if asked.wrong else found[:PAGE]
    known = [(verbs.verb_in_words(lang, verb), verb) for verb in queries.verbs(session)]
    values = {
        "actor": actor,
        "asked": asked,
        "verbs": sorted(known),
        "rows": [(event, *_words(lang, event)) for event in events],
        "older": asked.href("/audit", before=str(events[-1].id)) if len(found) > PAGE and events else None,
        "newest": asked.href("/audit") if before is not None else None,
        "csv": asked.href("/audit.csv"),
        "chain": queries.chain(session),
        "walked": walked,
        "findings": [text(lang, _FINDINGS[one.kind], n=one.seq) for one in walked.findings] if walked else [],
    }
    return page(request, "audit.html", values, 422 if asked.wrong else 200, {"audit-chain": "chain"})


def _words(lang: Language, event: AuditEvent) -> tuple[str, str, str, str]:
    """(the verb, before, after, the rest), for a person."""
    before, after = (verbs.state_in_words(lang, event.verb, state) for state in (event.before, event.after))
    return verbs.verb_in_words(lang, event.verb), before, after, _detail(event.detail)


def _detail(detail: Mapping[str, Any]) -> str:
    """Codes and counts, as they were written."""
    return ", ".join(
        f"{name}={' '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in detail.items()
    )


def _asked(request: Request) -> Asked:
    typed = {name: request.query_params.get(name, "").strip()[:_LONGEST] for name in FIELDS}
    since, until = _day(typed["since"]), _day(typed["until"])
    wrong = [name for name, day in (("since", since), ("until", until)) if typed[name] and day is None]
    wrong += [name for name in ("actor", "verb", "subject") if not (typed[name].isprintable() or not typed[name])]
    search = queries.Search(since, until, typed["actor"], typed["verb"], typed["subject"])
    return Asked(typed, queries.Search() if wrong else search, tuple(wrong))


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value) if len(value) == 10 else None
    except ValueError:
        return None
