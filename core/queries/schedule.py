"""When retrieval runs, what waits for it, and how long that will take at the speed measured lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median
from typing import Final
from uuid import UUID

from sqlalchemy import Text, cast
from sqlmodel import Session, col, func, select

from core.models.audit import AuditEvent
from core.models.schedule import Schedule
from core.models.sitecase import CaseState, Holiday, SiteCase, SiteImage
from core.permissions import Actor
from core.queries.cases import readable_cases
from core.services.windows import Plan
from core.settings import Settings, Window

WAITING: Final = (CaseState.RETRIEVING, CaseState.QUEUED, CaseState.RETRIEVE_FAILED, CaseState.DEFERRED)
MOST_LINES: Final = 200
MEASURED: Final = 20  # the last retrievals that the speed is taken from
_PULLED: Final = f"case.{CaseState.CURATING.lower()}"
_BEGUN: Final = f"case.{CaseState.RETRIEVING.lower()}"


def schedule_of(session: Session, settings: Settings) -> Plan:
    """What rules now: the saved schedule, else the settings; with the holidays."""
    holidays = frozenset(session.exec(select(col(Holiday.day))))
    row = session.get(Schedule, 1, populate_existing=True)
    if row is None:
        return Plan(
            settings.windows,
            settings.zone,
            holidays,
            settings.retrieve_concurrency,
            settings.retrieve_per_second,
            settings.retrieve_nights,
        )
    windows = tuple(Window.model_validate(window) for window in row.windows)
    return Plan(windows, settings.zone, holidays, row.at_once, row.per_second, row.nights, row.version)


def last_change(session: Session) -> tuple[datetime, str] | None:
    """When the schedule was saved last, and by whom; None while the settings rule."""
    row = session.get(Schedule, 1)
    return (row.changed_at, row.changed_by) if row else None


def holidays(session: Session, since: date) -> Sequence[Holiday]:
    """From that day on."""
    return session.exec(select(Holiday).where(Holiday.day >= since).order_by(col(Holiday.day))).all()


@dataclass(frozen=True)
class Pace:
    """The middle of the last retrievals: seconds an instance, and instances a case."""

    seconds: float
    images: int
    measured: int

    @property
    def per_second(self) -> float:
        return 1 / self.seconds


@dataclass(frozen=True)
class Line:
    """One case of tonight's queue. `left` is None as long as nobody knows how many instances it has."""

    case: SiteCase
    arrived: int

    @property
    def left(self) -> int | None:
        return None if self.case.expected is None else max(0, self.case.expected - self.arrived)


@dataclass(frozen=True)
class Queue:
    """Tonight's queue: the first lines of it, how many cases are in each state, and what is left to fetch."""

    lines: Sequence[Line]
    counts: dict[CaseState, int]
    left: int
    pace: Pace | None
    seconds: float | None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def is_running(self) -> bool:
        return bool(self.counts.get(CaseState.RETRIEVING))


def tonight(session: Session, actor: Actor, plan: Plan) -> Queue:
    """What the actor may see of the queue, those that run first. The estimate needs a retrieval that was measured."""
    readable = readable_cases(actor).where(col(SiteCase.state).in_(WAITING)).subquery()
    found = dict(session.exec(select(readable.c.state, func.count()).group_by(readable.c.state)).all())
    counts = {state: found[state] for state in WAITING if state in found}
    lines: list[Line] = []
    for state in WAITING:
        statement = readable_cases(actor).where(SiteCase.state == state).order_by(col(SiteCase.number))
        cases = session.exec(statement.limit(MOST_LINES - len(lines))).all()
        arrived = _arrived(session, [case.id for case in cases])
        lines += [Line(case, arrived.get(case.id, 0)) for case in cases]
    pace = pace_of(session)
    going = [line for line in lines if line.case.state in {CaseState.RETRIEVING, CaseState.QUEUED}]
    unknown = pace.images if pace else 0
    left = sum(unknown if line.left is None else line.left for line in going)
    seconds = left * pace.seconds / max(1, min(plan.at_once, len(going))) if pace and going else None
    return Queue(lines, counts, left, pace, seconds)


def _arrived(session: Session, case_ids: list[UUID]) -> dict[UUID, int]:
    statement = select(SiteImage.case_id, func.count()).where(col(SiteImage.case_id).in_(case_ids))
    return dict(session.exec(statement.group_by(col(SiteImage.case_id))).all())


def pace_of(session: Session) -> Pace | None:
    """From the audit's own times: of each of the last retrievals, from its last start to its end."""
    ends = session.exec(
        select(AuditEvent)
        .where(AuditEvent.verb == _PULLED, AuditEvent.before == CaseState.RETRIEVING)
        .order_by(col(AuditEvent.id).desc())
        .limit(MEASURED)
    ).all()
    starts: dict[str, list[AuditEvent]] = {}
    begun = select(AuditEvent).where(
        AuditEvent.verb == _BEGUN, col(AuditEvent.subject).in_([end.subject for end in ends])
    )
    for start in session.exec(begun.order_by(col(AuditEvent.id))):
        starts.setdefault(start.subject, []).append(start)
    took: list[tuple[float, int]] = []
    for end in ends:
        before = [start.at for start in starts.get(end.subject, []) if start.id < end.id]
        images = int(end.detail.get("images", 0))
        if before and images:
            took.append((max((end.at - before[-1]) / timedelta(seconds=1), 0.001) / images, images))
    if not took:
        return None
    return Pace(median(seconds for seconds, _ in took), round(median(images for _, images in took)), len(took))


def last_pulls(session: Session) -> dict[str | None, datetime]:
    """By peer (None: the first one of the settings) when a retrieval from it last came to its end."""
    statement = (
        select(SiteCase.peer, func.max(AuditEvent.at))
        .join(AuditEvent, cast(col(SiteCase.id), Text) == AuditEvent.subject)
        .where(AuditEvent.verb == _PULLED, AuditEvent.before == CaseState.RETRIEVING)
    )
    return dict(session.exec(statement.group_by(col(SiteCase.peer))).all())
