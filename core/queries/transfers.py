"""Reads of the site's packages on their way out: who may see which, what moves, what a person must look at."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from core.clock import now_utc
from core.errors import NotFound
from core.models.audit import AuditEvent
from core.models.sitecase import CaseState, SiteCase
from core.models.transfer import Package, PackagedImage, PackageState
from core.permissions import ALL_DOMAINS, Actor, Verb

PAGE: Final = 50
MOST: Final = 20_000
# Without an answer of central for so long, somebody should ask.
SILENCE: Final = timedelta(hours=24)
ATTENTION: Final = "attention"
_S = PackageState
MOVING: Final = frozenset({_S.BUILDING, _S.DEIDENTIFIED, _S.STAGED, _S.SEND_FAILED, _S.SENT, _S.RECEIVED, _S.ACCEPTED})
RETRIED: Final = frozenset({_S.STAGED, _S.SEND_FAILED})


@dataclass(frozen=True)
class Chosen:
    """What the list is narrowed to: everything, what needs attention, or one state; and one case by its own number."""

    show: str = ""
    number: int | None = None
    page: int = 1


@dataclass(frozen=True)
class Step:
    """One place on the way. `status`: done, now, wait, stop or off; `at`: when that was reached."""

    place: str
    status: str
    at: datetime | None = None


@dataclass(frozen=True)
class Line:
    """A package with its case's own number; nothing of the patient."""

    package: Package
    number: int
    domain: str
    images: int
    needs: bool
    steps: tuple[Step, ...]
    times: dict[str, datetime]

    @property
    def is_sending(self) -> bool:
        return self.package.state in RETRIED and self.package.sent_bytes > 0

    @property
    def moves(self) -> bool:
        """Whether something may happen by itself soon; what has been still for a day is not asked for every two seconds."""
        return self.package.state in MOVING and now_utc() - self.package.changed_at < SILENCE


@dataclass(frozen=True)
class Listing:
    """One page of the list, what needs attention first; `counts` are of every state, whatever is chosen."""

    lines: Sequence[Line]
    total: int
    counts: dict[str, int]
    attention: int
    has_more: bool

    @property
    def moves(self) -> bool:
        return any(line.moves for line in self.lines)

    @property
    def all(self) -> int:
        return sum(self.counts.values())


def readable_package(session: Session, actor: Actor, package_id: UUID, verb: Verb = Verb.SEE_PACKAGES) -> Package:
    """Raises NotFound for a package that is unknown or of a domain in which the actor may not do `verb`."""
    statement = select(Package).join(SiteCase, col(SiteCase.id) == Package.case_id)
    found = session.exec(statement.where(Package.id == package_id, _of(actor, verb))).first()
    if found is None:
        raise NotFound
    return found


def listing(session: Session, actor: Actor, chosen: Chosen) -> Listing:
    of_actor = _joined(func.count()).where(_of(actor))
    by_state = session.execute(of_actor.add_columns(col(Package.state)).group_by(col(Package.state)))
    narrowed = [_of(actor), *_narrowed(chosen)]
    lines = lines_of(session, narrowed, limit=PAGE + 1, offset=(chosen.page - 1) * PAGE)
    return Listing(
        lines=lines[:PAGE],
        total=session.execute(_joined(func.count()).where(*narrowed)).scalar_one(),
        counts={state: count for count, state in by_state},
        attention=session.execute(of_actor.where(_needs())).scalar_one(),
        has_more=len(lines) > PAGE,
    )


def all_lines(session: Session, actor: Actor, chosen: Chosen) -> Sequence[Line]:
    """The whole list, for a file."""
    return lines_of(session, [_of(actor), *_narrowed(chosen)], limit=MOST)


def line_of(session: Session, actor: Actor, package_id: UUID) -> Line:
    package = readable_package(session, actor, package_id)
    return lines_of(session, [col(Package.id) == package.id], limit=1)[0]


def lines_of(session: Session, where: Sequence[ColumnElement[bool]], limit: int, offset: int = 0) -> list[Line]:
    images = (
        select(func.count()).select_from(PackagedImage).where(PackagedImage.package_id == Package.id).scalar_subquery()
    )
    needs = _needs().label("needs")
    statement = _joined(Package, col(SiteCase.number), col(SiteCase.domain), images, needs).where(*where)
    ordered = statement.order_by(needs.desc(), col(Package.created_at).desc(), col(Package.id))
    rows = session.execute(ordered.limit(limit).offset(offset)).all()
    times = _times(session, [row[0].id for row in rows])
    return [
        Line(package, number, domain, count, needs, way(package, times[package.id]), times[package.id])
        for package, number, domain, count, needs in rows
    ]


def way(package: Package, times: dict[str, datetime]) -> tuple[Step, ...]:
    """Site, relay, central, cloud: what each has done with this package, as far as the site knows."""
    done_at = [times.get(state) for state in (_S.STAGED, _S.SENT, _S.ACCEPTED, _S.REPLICATED)]
    reached = {
        _S.BUILDING: 0, _S.DEIDENTIFIED: 0, _S.STAGED: 1, _S.SEND_FAILED: 1, _S.SENT: 2, _S.RECEIVED: 2,
        _S.QUARANTINED: 2, _S.ACCEPTED: 3, _S.REPLICATED: 4,
    }  # fmt: skip
    # What was held or taken back stays where it was: sealed already, or not yet.
    here = reached.get(_S(package.state), 1 if done_at[0] else 0)
    status = {
        _S.SEND_FAILED: "stop", _S.QUARANTINED: "stop", _S.HELD: "stop", _S.TAKEN_BACK: "off",
    }.get(_S(package.state), "now")  # fmt: skip
    steps = []
    for place, name in enumerate(("site", "relay", "central", "cloud")):
        if place < here:
            steps.append(Step(name, "done", done_at[place]))
        elif place == here:
            steps.append(Step(name, status, times.get(package.state) if status in {"stop", "off"} else None))
        else:
            steps.append(Step(name, "wait"))
    return tuple(steps)


def trail(session: Session, package_id: UUID) -> Sequence[AuditEvent]:
    """Everything that happened to a package here, oldest first."""
    statement = select(AuditEvent).where(AuditEvent.subject == str(package_id))
    return session.exec(statement.order_by(col(AuditEvent.at), col(AuditEvent.id)).limit(500)).all()


def _times(session: Session, ids: Sequence[UUID]) -> dict[UUID, dict[str, datetime]]:
    """When each package came into each of its states last."""
    found: dict[UUID, dict[str, datetime]] = defaultdict(dict)
    statement = select(AuditEvent.subject, AuditEvent.after, AuditEvent.at)
    named = statement.where(col(AuditEvent.subject).in_([str(one) for one in ids]), col(AuditEvent.after).is_not(None))
    for subject, state, at in session.exec(named.order_by(col(AuditEvent.at))):
        found[UUID(subject)][str(state)] = at
    return found


def _joined(*columns: Any) -> Any:  # noqa: ANN401 - a select of what the caller names
    return select(*columns).select_from(Package).join(SiteCase, col(SiteCase.id) == Package.case_id)


def _of(actor: Actor, verb: Verb = Verb.SEE_PACKAGES) -> ColumnElement[bool]:
    domains = actor.domains(verb)
    return col(SiteCase.id).is_not(None) if ALL_DOMAINS in domains else col(SiteCase.domain).in_(domains)


def _narrowed(chosen: Chosen) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if chosen.show == ATTENTION:
        found.append(_needs())
    elif chosen.show:
        found.append(col(Package.state) == chosen.show)
    if chosen.number is not None:
        found.append(col(SiteCase.number) == chosen.number)
    return found


def _needs() -> ColumnElement[bool]:
    """What goes wrong and nobody has taken up yet: a newer package or version of the same case is somebody's answer."""
    later = aliased(Package)
    is_newest = (
        ~select(later.id)
        .where(
            later.case_id == Package.case_id,
            or_(
                col(later.case_version) > col(Package.case_version),
                and_(col(later.case_version) == col(Package.case_version), col(later.attempt) > col(Package.attempt)),
            ),
        )
        .exists()
    )
    state = col(Package.state)
    is_open = and_(is_newest, col(SiteCase.revision) == col(Package.case_version))
    return or_(
        state == _S.SEND_FAILED,
        and_(state == _S.HELD, is_open, col(SiteCase.state) == CaseState.CURATING),
        and_(state == _S.QUARANTINED, is_open, col(SiteCase.state) == CaseState.REGISTERED),
        and_(state == _S.SENT, col(Package.changed_at) < now_utc() - SILENCE),
    )
