"""How curation gets on: a person's queue and day, the site's counts against its targets, and what waits for a result."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Subquery, func
from sqlalchemy import select as columns
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from core.curation.working_time import middle, working_time
from core.models.audit import AuditEvent
from core.models.curation import Edit, Form, ImageMask, Roi
from core.models.people import User
from core.models.progress import CaseWait, Target
from core.models.reads import Read
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.permissions import Actor
from core.queries.cases import readable_cases
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import Label

DAYS: Final = 14
# Work older than this is no draft that anybody still means.
DRAFTS: Final = timedelta(days=90)
MOST: Final = 50
_REGISTERED: Final = "case.registered"


@dataclass(frozen=True)
class Waiting:
    """A case that waits for a result until a day; `by` is who said so."""

    case: SiteCase
    until: date
    reason: str
    by: str


@dataclass(frozen=True)
class Queue:
    """What lies with a person: cases they began, those that came back to them first."""

    given_back: Sequence[SiteCase]
    drafts: Sequence[SiteCase]


@dataclass(frozen=True)
class Day:
    """A person's day on the site's clock, and how many cases they finished on each of the last days, oldest first."""

    registered: int
    read: int
    masks: int
    cases: int
    typical: timedelta | None
    worked: timedelta
    recent: tuple[tuple[date, int], ...]


@dataclass(frozen=True)
class Count:
    """Registered cases of one diagnosis (or of the organ: code "") beside the target; None where none is set."""

    code: str
    label: Label | None
    count: int
    target: int | None

    @property
    def part(self) -> float:
        """0 to 1 of the target."""
        return min(1.0, self.count / self.target) if self.target else 0.0


@dataclass(frozen=True)
class OrganCounts:
    domain: str
    total: Count
    lines: tuple[Count, ...]


def queue(session: Session, actor: Actor, now: datetime) -> Queue:
    """Cases in curation that this person has worked on, the newest first."""
    worked = _work(actor, now - DRAFTS)
    mine = readable_cases(actor).where(
        SiteCase.state == CaseState.CURATING, col(SiteCase.id).in_(select(worked.c.case_id))
    )
    cases = session.exec(mine.order_by(col(SiteCase.number).desc()).limit(MOST)).all()
    back = [case for case in cases if case.reason or case.revision > 1]
    return Queue(back, [case for case in cases if case not in back])


def _work(actor: Actor, since: datetime) -> Subquery:
    """(at, case_id) of everything that this person saved: forms, picks and ROIs."""
    image, drawn = aliased(SiteImage), aliased(SiteImage)
    case_id = func.coalesce(SiteCase.id, image.case_id, drawn.case_id)
    statement = (
        columns(col(Edit.at), case_id.label("case_id"))
        .outerjoin(SiteCase, col(SiteCase.id) == Edit.object_id)
        .outerjoin(image, col(image.id) == Edit.object_id)
        .outerjoin(Roi, col(Roi.id) == Edit.object_id)
        .outerjoin(drawn, col(drawn.id) == Roi.image_id)
        .where(col(Edit.by) == actor.user_id, col(Edit.at) >= since, case_id.is_not(None))
    )
    return statement.subquery()


def day(session: Session, actor: Actor, zone: ZoneInfo, now: datetime) -> Day:
    """What this person did since midnight. Time is counted between things that they saved, long pauses left out."""
    today = now.astimezone(zone).date()
    since = datetime.combine(today, time(), zone)
    work = _work(actor, since)
    moments: list[tuple[datetime, UUID]] = [(at, case_id) for at, case_id in session.execute(columns(work))]
    confirmed = columns(col(ImageMask.confirmed_at), col(SiteImage.case_id)).join(
        SiteImage, col(SiteImage.id) == ImageMask.image_id
    )
    masks = session.execute(
        confirmed.where(col(ImageMask.confirmed_by) == actor.user_id, col(ImageMask.confirmed_at) >= since)
    ).all()
    moments += [(at, case_id) for at, case_id in masks]
    finished = _finished(session, actor, since - timedelta(days=DAYS - 1))
    done = [(at, UUID(subject)) for at, subject in finished if at >= since]
    times = working_time([*moments, *done])
    counted = Counter(at.astimezone(zone).date() for at, _ in finished)
    read = session.exec(
        select(func.count()).select_from(Read).where(Read.reader_id == actor.user_id, col(Read.submitted_at) >= since)
    ).one()
    return Day(
        registered=len({case_id for _, case_id in done}),
        read=read,
        masks=len(masks),
        cases=len(times),
        typical=middle(times[case_id] for case_id in {case_id for _, case_id in done}),
        worked=sum(times.values(), timedelta()),
        recent=tuple((one, counted[one]) for one in (today - timedelta(days=n) for n in range(DAYS - 1, -1, -1))),
    )


def _finished(session: Session, actor: Actor, since: datetime) -> list[tuple[datetime, str]]:
    """(moment, case) of every case that this person registered."""
    statement = columns(col(AuditEvent.at), col(AuditEvent.subject)).where(
        col(AuditEvent.user_id) == actor.user_id, col(AuditEvent.verb) == _REGISTERED, col(AuditEvent.at) >= since
    )
    return [(at, subject) for at, subject in session.execute(statement)]


def counts(session: Session, actor: Actor, domains: Sequence[str]) -> list[OrganCounts]:
    """Registered cases by organ and diagnosis, beside the targets; of the cases that this person may see."""
    targets: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for target in session.exec(select(Target)):
        targets[target.domain][target.code] = target.amount
    return [_organ(session, actor, domain, targets[domain]) for domain in domains]


def _organ(session: Session, actor: Actor, domain: str, targets: dict[str, int]) -> OrganCounts:
    organ = vocabulary.load(domain)
    mine = readable_cases(actor).where(SiteCase.state == CaseState.REGISTERED, SiteCase.domain == domain).subquery()
    answer = col(Form.values)[organ.source]["value"].astext
    counted = columns(answer, func.count()).select_from(mine).outerjoin(Form, col(Form.case_id) == mine.c.id)
    found: dict[str | None, int] = {row[0]: row[1] for row in session.execute(counted.group_by(answer))}
    labels = {option.code: option.label for option in organ.options[organ.source]}
    shown = [code for code in labels if code in found or code in targets]
    lines = tuple(Count(code, labels[code], found.get(code, 0), targets.get(code)) for code in shown)
    return OrganCounts(domain, Count("", None, sum(found.values()), targets.get("")), lines)


def waiting(session: Session, actor: Actor) -> list[Waiting]:
    """The cases in curation that wait for a result, what is due first comes first."""
    mine = readable_cases(actor).where(SiteCase.state == CaseState.CURATING).subquery()
    case = aliased(SiteCase, mine)
    statement = (
        columns(case, CaseWait, col(User.name))
        .join(CaseWait, col(CaseWait.case_id) == case.id)
        .join(User, col(User.id) == CaseWait.by)
        .order_by(col(CaseWait.until), col(case.number))
    )
    return [Waiting(found, wait.until, wait.reason, name) for found, wait, name in session.execute(statement)]


def wait_of(session: Session, case_id: UUID) -> CaseWait | None:
    return session.get(CaseWait, case_id)


def targets(session: Session, domains: Sequence[str]) -> list[OrganCounts]:
    """Every diagnosis of these organs with its target, for who sets them; nothing is counted."""
    known = {(target.domain, target.code): target.amount for target in session.exec(select(Target))}
    found = []
    for domain in domains:
        organ = vocabulary.load(domain)
        options = organ.options[organ.source]
        lines = tuple(Count(one.code, one.label, 0, known.get((domain, one.code))) for one in options)
        found.append(OrganCounts(domain, Count("", None, 0, known.get((domain, ""))), lines))
    return found
