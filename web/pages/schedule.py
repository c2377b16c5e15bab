"""When retrieval runs and what it will do tonight: a week of low-load windows, and the queue as it moves."""

from datetime import timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.clock import now_utc
from core.models.sitecase import CaseState
from core.permissions import Actor, Verb
from core.queries import schedule as queries
from core.services import cases, windows
from web import week, words
from web.deps import SessionDep, may
from web.render import look_of, page, redirect

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Retriever = Annotated[Actor, may(Verb.RETRIEVE)]
_AGAIN: Final = frozenset({CaseState.QUEUED, CaseState.RETRIEVE_FAILED})


@router.get("/schedule")
def schedule_page(
    request: Request, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_CASES, Verb.PEERS)]
) -> Response:
    now, settings, lang = now_utc(), request.app.state.settings, look_of(request).lang
    plan = queries.schedule_of(session, settings)
    today = now.astimezone(plan.zone).date()
    stretch = windows.stretch_of(plan, now)
    queue = queries.tonight(session, actor, plan) if actor.may(Verb.SEE_CASES) else None
    needs = timedelta(seconds=queue.seconds) if queue and queue.seconds else None
    values = {
        "actor": actor,
        "plan": plan,
        "now": now,
        "stretch": stretch,
        "is_open": stretch is not None and stretch.begin <= now,
        "week": week.rows(lang, plan, now, {one.day: one.name for one in queries.holidays(session, today)}),
        "windows": [
            (week.days_in_words(lang, one.days), week.hours_in_words(lang, one), week.length(one))
            for one in plan.windows
        ],
        "change": queries.last_change(session),
        "queue": queue,
        "estimate": words.age(lang, now - needs, now) if needs else None,
        "fits": bool(needs and stretch and max(now, stretch.begin) + needs <= stretch.end),
        "may_change": actor.may(Verb.PEERS),
        "may_retry": lambda case: case.state in _AGAIN and actor.may(Verb.RETRIEVE, case.domain),
        "may_cancel": lambda case: (
            case.state in {CaseState.QUEUED, CaseState.RETRIEVING} and actor.may(Verb.RETRIEVE, case.domain)
        ),
    }
    return page(request, "schedule.html", values, blocks={"queue": "queue"})


@router.post("/schedule/cases/{case_id}/retry")
def schedule_retry(request: Request, case_id: UUID, session: SessionDep, actor: Retriever) -> Response:
    cases.retry(session, actor, case_id)
    return redirect(request, "/schedule", "schedule.retry.done")


@router.post("/schedule/cases/{case_id}/cancel")
def schedule_cancel(request: Request, case_id: UUID, session: SessionDep, actor: Retriever) -> Response:
    cases.cancel(session, actor, case_id)
    return redirect(request, "/schedule", "schedule.cancel.done")
