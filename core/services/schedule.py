"""Change when retrieval runs: windows, caps and holidays, each with its audit event; two desks never overwrite each other."""

from datetime import date
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, select

from core import audit
from core.clock import now_utc
from core.errors import Conflict, Malformed, NotFound
from core.models.schedule import Schedule
from core.models.sitecase import Holiday
from core.permissions import Actor, Verb, check
from core.settings import Settings, Window

MOST_WINDOWS: Final = 40
_SUBJECT: Final = "schedule"


class Caps(BaseModel):
    """How much is asked of the PACS at once, and for how many nights a case is tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    at_once: int = Field(ge=1, le=16)
    per_second: float = Field(gt=0, le=1000, allow_inf_nan=False)
    nights: int = Field(ge=1, le=30)


def set_window(
    session: Session, settings: Settings, actor: Actor, window: Window, version: int, n: int | None = None
) -> None:
    """Add a window, or change window `n`. Raises Conflict when the schedule is not `version` any more."""
    row = _begin(session, settings, actor, version)
    if not window.days:
        raise Malformed("A window needs at least one day.")
    before = None if n is None else _said(row, n)
    entry = window.model_dump(mode="json")
    if n is None:
        if len(row.windows) >= MOST_WINDOWS:
            raise Malformed(f"A week has {MOST_WINDOWS} windows at the most.")
        row.windows = [*row.windows, entry]
    else:
        row.windows = [*row.windows[:n], entry, *row.windows[n + 1 :]]
    _save(session, actor, row, "schedule.window", before, _words(window))


def remove_window(session: Session, settings: Settings, actor: Actor, version: int, n: int) -> None:
    """Raises NotFound for a window that is not there, Conflict as set_window."""
    row = _begin(session, settings, actor, version)
    before = _said(row, n)
    row.windows = [*row.windows[:n], *row.windows[n + 1 :]]
    _save(session, actor, row, "schedule.window", before, None)


def set_caps(session: Session, settings: Settings, actor: Actor, caps: Caps, version: int) -> None:
    """Raises Conflict as set_window."""
    row = _begin(session, settings, actor, version)
    before = Caps(at_once=row.at_once, per_second=row.per_second, nights=row.nights)
    row.at_once, row.per_second, row.nights = caps.at_once, caps.per_second, caps.nights
    _save(session, actor, row, "schedule.caps", _caps(before), _caps(caps))


def set_holiday(session: Session, actor: Actor, day: date, name: str) -> None:
    """A day on which the PACS is quiet all day; again gives it another name."""
    check(actor, Verb.PEERS)
    session.merge(Holiday(day=day, name=name))
    audit.record(session, actor, "holiday.set", day.isoformat())


def delete_holiday(session: Session, actor: Actor, day: date) -> None:
    check(actor, Verb.PEERS)
    if holiday := session.get(Holiday, day):
        session.delete(holiday)
        audit.record(session, actor, "holiday.delete", day.isoformat())


def _begin(session: Session, settings: Settings, actor: Actor, version: int) -> Schedule:
    """The row, locked; made from the settings by the first change. Raises Conflict when it is not `version` any more."""
    check(actor, Verb.PEERS)
    statement = select(Schedule).with_for_update().execution_options(populate_existing=True)
    row = session.exec(statement).first()
    if (row.version if row else 0) != version:
        raise Conflict
    return row or Schedule(
        windows=[window.model_dump(mode="json") for window in settings.windows],
        at_once=settings.retrieve_concurrency,
        per_second=settings.retrieve_per_second,
        nights=settings.retrieve_nights,
        version=0,
        changed_by=actor.name,
    )


def _save(session: Session, actor: Actor, row: Schedule, verb: str, before: str | None, after: str | None) -> None:
    row.version, row.changed_by, row.changed_at = row.version + 1, actor.name, now_utc()
    session.add(row)
    audit.record(session, actor, verb, _SUBJECT, before=before, after=after, version=row.version)


def _said(row: Schedule, n: int) -> str:
    if not 0 <= n < len(row.windows):
        raise NotFound
    return _words(Window.model_validate(row.windows[n]))


def _words(window: Window) -> str:
    """Monday is 0, as in the settings."""
    return f"{''.join(map(str, window.days))} {window.begin:%H:%M}-{window.end:%H:%M}"


def _caps(caps: Caps) -> str:
    return f"{caps.at_once} at once, {caps.per_second:g}/s, {caps.nights} nights"
