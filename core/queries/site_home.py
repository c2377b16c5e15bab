"""What a hospital's first page tells: what came in, what waits for this person, what is stuck, what central said."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_
from sqlalchemy import select as columns
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from core.clock import now_utc
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.models.transfer import Package, PackageState, SignedMessage
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.queries.cases import readable_cases
from core.queries.worklist import open_masks, stuck

SHOWN: Final = 5
SHOWN_STUCK: Final = 3
SILENT: Final = timedelta(hours=24)
STUCK: Final = (PackageState.HELD, PackageState.SEND_FAILED, PackageState.QUARANTINED)
ANSWERED: Final = (PackageState.RECEIVED, PackageState.ACCEPTED, PackageState.QUARANTINED, PackageState.REPLICATED)
_Packages = Select[PackageState, str | None, datetime, int, str]


@dataclass(frozen=True)
class Arrival:
    """A case whose images came since yesterday noon."""

    case_id: UUID
    number: int
    domain: str
    state: CaseState
    images: int
    at: datetime


@dataclass(frozen=True)
class Arrivals:
    since: datetime
    cases: int
    images: int
    newest: Sequence[Arrival]


@dataclass(frozen=True)
class Waiting:
    """Work that only people with this person's rights can do. `kind` names it; `domain` is set where there is only one."""

    kind: str
    count: int
    domain: str | None = None


@dataclass(frozen=True)
class PackageLine:
    """One package with the number of its case."""

    number: int
    domain: str
    state: PackageState
    reason: str | None
    at: datetime


@dataclass(frozen=True)
class StuckCases:
    count: int
    oldest: Sequence[SiteCase]


@dataclass(frozen=True)
class StuckPackages:
    counts: Sequence[tuple[PackageState, int]]
    newest: Sequence[PackageLine]


@dataclass(frozen=True)
class Central:
    """The newest answers about our packages, and when central last said anything at all."""

    counts: Sequence[tuple[PackageState, int]]
    newest: Sequence[PackageLine]
    heard: datetime | None

    @property
    def is_silent(self) -> bool:
        return self.heard is not None and self.heard < now_utc() - SILENT


def last_night(zone: ZoneInfo, now: datetime | None = None) -> datetime:
    """Noon of yesterday on the site's clock: whatever came since came in the last night, or today."""
    yesterday = (now or now_utc()).astimezone(zone).date() - timedelta(days=1)
    return datetime.combine(yesterday, time(12), zone)


def arrivals(session: Session, actor: Actor, since: datetime) -> Arrivals | None:
    if not actor.may(Verb.SEE_CASES):
        return None
    at = func.max(SiteImage.created_at)
    came = select(SiteImage.case_id, func.count().label("images"), at.label("at"))
    grouped = came.where(SiteImage.created_at >= since).group_by(col(SiteImage.case_id)).subquery()
    mine = readable_cases(actor).subquery()
    joined = columns(mine.c.id, mine.c.number, mine.c.domain, mine.c.state, grouped.c.images, grouped.c.at).join(
        grouped, grouped.c.case_id == mine.c.id
    )
    both = joined.subquery()
    cases, images = session.execute(
        select(func.count(), func.coalesce(func.sum(both.c.images), 0)).select_from(both)
    ).one()
    newest = session.execute(joined.order_by(grouped.c.at.desc()).limit(SHOWN))
    return Arrivals(since, cases, images, [Arrival(i, n, d, CaseState(s), c, t) for i, n, d, s, c, t in newest])


def waiting(session: Session, actor: Actor) -> list[Waiting]:
    """In the order in which a day goes; kinds for which the person has no right are left out."""
    state = col(SiteCase.state)
    desks: list[tuple[str, Verb, ColumnElement[bool]]] = [
        ("curate", Verb.CURATE, state == CaseState.CURATING),
        ("confirm", Verb.REGISTER, open_masks()),
        ("release", Verb.REGISTER, and_(state == CaseState.REGISTERED, col(SiteCase.release_at) > now_utc())),
        ("retry", Verb.RETRIEVE, state == CaseState.RETRIEVE_FAILED),
        ("flagged", Verb.FLAG, and_(_tonight(), col(SiteCase.flagged_by) == actor.user_id)),
    ]
    found = []
    for kind, verb, test in desks:
        if actor.may(verb) and actor.may(Verb.SEE_CASES):
            domains = actor.domains(verb)
            if ALL_DOMAINS not in domains:
                test = and_(test, col(SiteCase.domain).in_(domains))
            count = session.exec(select(func.count()).select_from(readable_cases(actor).where(test).subquery())).one()
            found.append(Waiting(kind, count, next(iter(domains)) if _is_one(domains) else None))
    if actor.may(Verb.SEND):
        failed = _packages(actor, Verb.SEND, col(Package.state) == PackageState.SEND_FAILED).subquery()
        found.append(Waiting("send", session.exec(select(func.count()).select_from(failed)).one()))
    return found


def _tonight() -> ColumnElement[bool]:
    return col(SiteCase.state) == CaseState.QUEUED


def _is_one(domains: frozenset[str]) -> bool:
    return len(domains) == 1 and ALL_DOMAINS not in domains


def stuck_cases(session: Session, actor: Actor) -> StuckCases | None:
    """The oldest first: they have waited longest."""
    if not actor.may(Verb.SEE_CASES):
        return None
    mine = readable_cases(actor).where(stuck())
    count = session.exec(select(func.count()).select_from(mine.subquery())).one()
    return StuckCases(count, session.exec(mine.order_by(col(SiteCase.number)).limit(SHOWN_STUCK)).all())


def stuck_packages(session: Session, actor: Actor) -> StuckPackages | None:
    """Of the present version of each case: what was sent again since is not stuck any more."""
    if not actor.may(Verb.SEE_PACKAGES):
        return None
    other = aliased(Package)
    later = select(func.max(other.attempt)).where(other.case_id == SiteCase.id, other.case_version == SiteCase.revision)
    is_present = and_(col(Package.case_version) == SiteCase.revision, col(Package.attempt) == later.scalar_subquery())
    chosen = and_(is_present, col(Package.state).in_(STUCK))
    return StuckPackages(_counts(session, actor, chosen, STUCK), _newest(session, actor, chosen, SHOWN_STUCK))


def central_said(session: Session, actor: Actor) -> Central | None:
    if not actor.may(Verb.SEE_PACKAGES):
        return None
    chosen = col(Package.state).in_(ANSWERED)
    heard = session.exec(select(func.max(SignedMessage.created_at))).one()
    return Central(_counts(session, actor, chosen, ANSWERED), _newest(session, actor, chosen), heard)


def _packages(actor: Actor, verb: Verb, chosen: ColumnElement[bool]) -> _Packages:
    """state, reason, moment, case number and domain of packages of the domains in which the actor has this right."""
    domains = actor.domains(verb)
    statement = columns(
        col(Package.state), col(Package.reason), col(Package.changed_at), col(SiteCase.number), col(SiteCase.domain)
    ).join(SiteCase, col(SiteCase.id) == Package.case_id)
    if ALL_DOMAINS not in domains:
        statement = statement.where(col(SiteCase.domain).in_(domains))
    return statement.where(chosen)


def _newest(session: Session, actor: Actor, chosen: ColumnElement[bool], limit: int = SHOWN) -> list[PackageLine]:
    statement = _packages(actor, Verb.SEE_PACKAGES, chosen).order_by(col(Package.changed_at).desc()).limit(limit)
    return [
        PackageLine(number, domain, PackageState(state), reason, at)
        for state, reason, at, number, domain in session.execute(statement)
    ]


def _counts(
    session: Session, actor: Actor, chosen: ColumnElement[bool], states: Sequence[PackageState]
) -> list[tuple[PackageState, int]]:
    rows = _packages(actor, Verb.SEE_PACKAGES, chosen).subquery()
    counted = session.execute(columns(rows.c.state, func.count()).group_by(rows.c.state))
    found = {PackageState(state): count for state, count in counted}
    return [(state, found.get(state, 0)) for state in states]
