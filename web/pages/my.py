"""A person's own page: what lies with them, their day, the site's counts against its targets, and what waits for a result."""

from datetime import date
from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.clock import now_utc
from core.errors import AppError, Malformed
from core.models.progress import Reminder
from core.permissions import Actor, Verb
from core.queries import progress as queries
from core.queries import reads as read_queries
from core.services import progress
from core.settings import Settings
from web import words
from web.charts import day_bars
from web.deps import Fields, FormDep, SessionDep, may
from web.render import look_of, page, redirect

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Reader = Annotated[Actor, may(Verb.SEE_CASES)]
Curator = Annotated[Actor, may(Verb.CURATE)]
Assigner = Annotated[Actor, may(Verb.ASSIGN)]
WAIT_WORDS: Final = {"pathology": "my.wait.pathology", "diagnosis": "my.wait.diagnosis"}


@router.get("/my")
def my_page(request: Request, session: SessionDep, actor: Reader) -> Response:
    return _shown(request, session, actor)


def _shown(request: Request, session: Session, actor: Actor, status: int = 200, **more: object) -> Response:
    settings: Settings = request.app.state.settings
    now = now_utc()
    day = queries.day(session, actor, settings.zone, now)
    known = session.get(Reminder, actor.user_id) if actor.user_id else None
    values = {
        "actor": actor,
        "queue": queries.queue(session, actor, now) if actor.may(Verb.CURATE) else None,
        "reads": [one for one in read_queries.own_reads(session, actor) if one.is_open and not one.is_closed],
        "day": day,
        "day_said": partial(words.day, look_of(request).lang),
        "bars": day_bars(day.recent),
        "counts": queries.counts(session, actor, _domains(settings, actor)),
        "waiting": queries.waiting(session, actor),
        "wait_words": WAIT_WORDS,
        "today": now.astimezone(settings.zone).date(),
        "may_set_targets": actor.may(Verb.ASSIGN),
        "has_mail": settings.smtp_host is not None,
        "address": known.address if known else "",
        "problem": None,
        **more,
    }
    return page(request, "my.html", values, status)


def _domains(settings: Settings, actor: Actor) -> list[str]:
    return [code for code in settings.domains if actor.may(Verb.SEE_CASES, code)]


@router.post("/my/mail")
def my_mail(request: Request, session: SessionDep, actor: Reader, fields: FormDep) -> Response:
    address = fields.get("address", "")
    try:
        progress.set_address(session, actor, address)
    except Malformed as wrong:
        return _shown(request, session, actor, wrong.status, problem=wrong.message, address=address[:254])
    return redirect(request, "/my#mail", "my.mail.done" if address.strip() else "my.mail_off.done")


@router.get("/my/targets")
def targets_page(request: Request, session: SessionDep, actor: Assigner) -> Response:
    return _targets(request, session, actor)


def _targets(request: Request, session: Session, actor: Actor, status: int = 200, **more: object) -> Response:
    settings: Settings = request.app.state.settings
    mine = [code for code in settings.domains if actor.may(Verb.ASSIGN, code)]
    values = {
        "actor": actor, "organs": queries.targets(session, mine), "problem": None, "typed": {}, **more,
    }  # fmt: skip
    return page(request, "targets.html", values, status)


@router.post("/my/targets/{domain}")
def set_targets(request: Request, domain: str, session: SessionDep, actor: Assigner, fields: FormDep) -> Response:
    try:
        progress.set_targets(session, actor, domain, _amounts(fields))
    except AppError as refused:
        if refused.status != 422:
            raise
        typed = {f"{domain} {name}": value for name, value in fields.items()}
        return _targets(request, session, actor, refused.status, problem=refused.message, typed=typed)
    return redirect(request, "/my/targets", "my.targets.done")


def _amounts(fields: Fields) -> dict[str, int | None]:
    """{code: amount}; an empty box takes the target away. Raises Malformed."""
    found: dict[str, int | None] = {}
    for name, value in fields.items():
        if name.startswith("target-"):
            text = value.strip()
            if text and not (text.isascii() and text.isdecimal() and len(text) < 9):
                raise Malformed("A target is a number of cases from 1 to a million.")
            found[name.removeprefix("target-")] = int(text) if text else None
    return found


@router.post("/cases/{case_id}/wait")
def case_wait(request: Request, case_id: UUID, session: SessionDep, actor: Curator, fields: FormDep) -> Response:
    """The case waits for a result until a day."""
    try:
        until = date.fromisoformat(fields.get("until", ""))
    except ValueError:
        until = date.min
    progress.wait(session, actor, case_id, until, fields.get("wait", ""))
    return redirect(request, f"/cases/{case_id}", "my.waits.done")


@router.post("/cases/{case_id}/wait/end")
def case_end_wait(request: Request, case_id: UUID, session: SessionDep, actor: Curator) -> Response:
    progress.end_wait(session, actor, case_id)
    return redirect(request, f"/cases/{case_id}", "my.waits_no_more.done")
