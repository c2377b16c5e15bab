"""Change the week: windows, caps and holidays, by forms that two desks can use at the same time."""

from collections.abc import Mapping
from datetime import date, time
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from sqlmodel import Session
from starlette.responses import Response

from core.clock import now_utc
from core.errors import Conflict, Malformed
from core.permissions import Actor, Verb
from core.queries import schedule as queries
from core.services import schedule
from core.settings import Window
from web import week
from web.deps import Fields, FormDep, SessionDep, may
from web.render import look_of, page, redirect

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Desk = Annotated[Actor, may(Verb.PEERS)]
Values = Mapping[str, object]
_CAPS: Final = {
    "at_once": "schedule.wrong.at_once",
    "per_second": "schedule.wrong.per_second",
    "nights": "schedule.wrong.nights",
}
_LONGEST_NAME: Final = 64


@router.get("/schedule/edit")
def schedule_edit(
    request: Request, session: SessionDep, actor: Desk, window: Annotated[int | None, Query(ge=0)] = None
) -> Response:
    return _form(request, session, actor, {}, chosen=window)


@router.post("/schedule/windows")
def save_window(request: Request, session: SessionDep, actor: Desk, fields: FormDep) -> Response:
    """Add a window, or change the one whose number came along."""
    n = _number(fields.get("n", ""))
    typed: dict[str, object] = {
        "days": [_number(day) for day in fields.many("day")],
        "begin": fields.get("begin", "").strip()[:5],
        "end": fields.get("end", "").strip()[:5],
    }
    window, wrong = _window(fields)
    if window is None:
        return _form(request, session, actor, {"typed": typed, "wrong": wrong}, 422, n)
    try:
        schedule.set_window(session, request.app.state.settings, actor, window, _version(fields), n)
    except Conflict:
        # The number may be another window's by now: what was typed becomes a new one, unless somebody chooses again.
        return _form(request, session, actor, {"typed": typed, "is_stale": True}, 409)
    except Malformed as exc:
        return _form(request, session, actor, {"typed": typed, "problem": exc.message}, 422, n)
    return redirect(request, "/schedule/edit", "schedule.window.done")


@router.post("/schedule/windows/{n}/delete")
def delete_window(request: Request, n: int, session: SessionDep, actor: Desk, fields: FormDep) -> Response:
    try:
        schedule.remove_window(session, request.app.state.settings, actor, _version(fields), n)
    except Conflict:
        return _form(request, session, actor, {"is_stale": True}, 409)
    return redirect(request, "/schedule/edit", "schedule.window_removed.done")


@router.post("/schedule/caps")
def save_caps(request: Request, session: SessionDep, actor: Desk, fields: FormDep) -> Response:
    typed = {name: fields.get(name, "").strip()[:12] for name in _CAPS}
    try:
        caps = schedule.Caps.model_validate(typed)
        schedule.set_caps(session, request.app.state.settings, actor, caps, _version(fields))
    except ValidationError as exc:
        wrong = {str(error["loc"][0]): _CAPS[str(error["loc"][0])] for error in exc.errors()}
        return _form(request, session, actor, {"caps": typed, "wrong": wrong}, 422)
    except Conflict:
        return _form(request, session, actor, {"caps": typed, "is_stale": True}, 409)
    return redirect(request, "/schedule/edit", "schedule.caps.done")


@router.post("/schedule/holidays")
def save_holiday(request: Request, session: SessionDep, actor: Desk, fields: FormDep) -> Response:
    day, name = fields.get("day", ""), fields.get("name", "").strip()
    wrong = {} if _day(day) else {"day": "schedule.wrong.day"}
    if len(name) > _LONGEST_NAME or (name and not name.isprintable()):
        wrong["name"] = "schedule.wrong.name"
    found = _day(day)
    if wrong or found is None:
        typed = {"day": day[:10], "name": name[:_LONGEST_NAME]}
        return _form(request, session, actor, {"holiday": typed, "wrong": wrong}, 422)
    schedule.set_holiday(session, actor, found, name)
    return redirect(request, "/schedule/edit", "schedule.holiday.done")


@router.post("/schedule/holidays/{day}/delete")
def remove_holiday(request: Request, day: date, session: SessionDep, actor: Desk) -> Response:
    schedule.delete_holiday(session, actor, day)
    return redirect(request, "/schedule/edit", "schedule.holiday_removed.done")


def _form(
    request: Request, session: Session, actor: Actor, more: Values, status: int = 200, chosen: int | None = None
) -> Response:
    """The page with what is saved, and over it what was typed; `chosen` is the window that is being changed."""
    settings, lang = request.app.state.settings, look_of(request).lang
    plan = queries.schedule_of(session, settings)
    window = plan.windows[chosen] if chosen is not None and chosen < len(plan.windows) else None
    values: dict[str, object] = {
        "actor": actor,
        "plan": plan,
        "windows": [(week.days_in_words(lang, one.days), week.hours_in_words(lang, one)) for one in plan.windows],
        "chosen": chosen if window else None,
        "typed": {
            "days": list(window.days) if window else list(week.DAYS),
            "begin": week.clock(window.begin) if window else "",
            "end": week.clock(window.end) if window else "",
        },
        "caps": {"at_once": plan.at_once, "per_second": f"{plan.per_second:g}", "nights": plan.nights},
        "holiday": {"day": "", "name": ""},
        "holidays": queries.holidays(session, now_utc().astimezone(plan.zone).date()),
        "day_names": week.day_names(lang),
        "wrong": {},
        "problem": None,
        "is_stale": False,
        **more,
    }
    return page(request, "schedule_edit.html", values, status)


def _window(fields: Fields) -> tuple[Window | None, dict[str, str]]:
    """(the window, nothing), or (None, what is wrong in which field)."""
    days = sorted({day for value in fields.many("day") if (day := _number(value)) in week.DAYS})
    begin, end = (_time(fields.get(name, "").strip()) for name in ("begin", "end"))
    wrong = {} if days else {"days": "schedule.wrong.days"}
    wrong |= {} if begin else {"begin": "schedule.wrong.time"}
    wrong |= {} if end else {"end": "schedule.wrong.time"}
    if wrong or begin is None or end is None:
        return None, wrong
    return Window(days=tuple(day for day in days if day is not None), begin=begin, end=end), {}


def _time(value: str) -> time | None:
    """24:00 is how people write the end of a day."""
    try:
        return (
            time.fromisoformat("00:00" if value == "24:00" else value)
            if value[2:3] == ":" and len(value) == 5
            else None
        )
    except ValueError:
        return None


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value) if len(value) == 10 else None
    except ValueError:
        return None


def _number(value: str) -> int | None:
    return int(value) if value.isdecimal() and len(value) < 4 else None


def _version(fields: Fields) -> int:
    """The version that the form was made from; one that nobody sent fits no schedule."""
    value = fields.get("version", "")
    return int(value) if value.isdecimal() and len(value) < 9 else -1
