"""Central at a glance: what was collected, how it grows, what is wrong with it, and what to look at next."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, col, func, select

from core.clock import now_utc
from core.models.bank import RecordVersion
from core.models.datasets import VersionState
from core.models.transfer import Parcel, ParcelState
from core.package.messages import Reason
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.queries import bank, datasets
from core.queries.bank_facts import Line, lines, moment_of
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import Label

WEEKS: Final = 26
_RECENT: Final = timedelta(weeks=4)
_NEWEST: Final = 5
_WIDEST: Final = 6
_LONGEST: Final = 8


@dataclass(frozen=True)
class CaseTable:
    """Accepted cases, a row a site and a column an organ domain."""

    domains: Sequence[str]
    rows: Sequence[tuple[str, Sequence[int]]]

    @property
    def totals(self) -> list[int]:
        return [sum(column) for column in zip(*(counts for _, counts in self.rows), strict=True)]


@dataclass(frozen=True)
class Crossing:
    """Cases by diagnosis (rows) and by one other thing (columns), the largest first.

    What does not fit is summed under None; a case with two makers counts under each."""

    columns: Sequence[str | None]
    rows: Sequence[tuple[str | None, Sequence[int]]]

    @property
    def most(self) -> int:
        return max((count for _, counts in self.rows for count in counts), default=0)


@dataclass(frozen=True)
class Multiple:
    """One organ domain: its cases by diagnosis and site, and by diagnosis and maker, and how it grew."""

    domain: str
    cases: int
    patients: int
    images: int
    by_site: Crossing
    by_vendor: Crossing
    weeks: Sequence[int]
    recent: int


@dataclass(frozen=True)
class Quality:
    """What is not right. Parcels have no organ domain, so they are told to those only who see all domains."""

    images: int
    unscaled: int
    without_roi: int
    weak: int
    waiting: int
    quarantined: int | None
    unreadable: int | None


@dataclass(frozen=True)
class Stopped:
    """A package that was not taken in, with its reasons as codes."""

    site: str
    at: datetime
    reasons: Sequence[Reason]


@dataclass(frozen=True)
class DatasetLine:
    """A dataset with the number of its newest frozen version, and its newest version of all."""

    name: str
    domain: str
    frozen: int | None
    newest: int | None
    state: VersionState | None


@dataclass(frozen=True)
class Overview:
    """`names` are the words of the diagnoses by their codes."""

    multiples: Sequence[Multiple]
    names: Mapping[str, Label]
    quality: Quality
    newest: Sequence[Line]
    stopped: Sequence[Stopped]


def overview(session: Session, actor: Actor) -> Mapping[str, object]:
    """The values of home/central.html; each is None where the actor may see nothing of the kind."""
    found = lines(session, bank.readable_bank_cases(actor)) if actor.may(Verb.SEE_BANK) else None
    return {
        "accepted": _by_site(found) if found is not None else None,
        "bank": _overview(session, actor, found) if found is not None else None,
        "datasets": _datasets(session, actor),
    }


def _by_site(found: Sequence[Line]) -> CaseTable:
    counted = Counter((line.site, line.domain) for line in found)
    sites, domains = sorted({site for site, _ in counted}), sorted({domain for _, domain in counted})
    return CaseTable(domains, [(site, [counted[site, domain] for domain in domains]) for site in sites])


def _overview(session: Session, actor: Actor, found: Sequence[Line]) -> Overview:
    first = _first_accepted(session, actor)
    domains = sorted({line.domain for line in found})
    multiples = [_multiple(domain, [line for line in found if line.domain == domain], first) for domain in domains]
    dated = [line for line in found if line.accepted_at is not None]
    newest = sorted(dated, key=lambda line: str(line.accepted_at), reverse=True)[:_NEWEST]
    sees_all = ALL_DOMAINS in actor.domains(Verb.SEE_BANK)
    reasons = _reasons(session) if sees_all else None
    return Overview(multiples, _names(domains), _quality(found, reasons), newest, _stopped(session) if sees_all else ())


def _first_accepted(session: Session, actor: Actor) -> dict[object, datetime | None]:
    """When the first version of each case was taken in."""
    readable = bank.readable_bank_cases(actor).subquery()
    statement = (
        select(RecordVersion.case_id, RecordVersion.id)
        .where(col(RecordVersion.case_id).in_(select(readable.c.id)))
        .order_by(col(RecordVersion.version).desc())
    )
    return {case_id: moment_of(key) for case_id, key in session.exec(statement)}  # the lowest version is the last


def _multiple(domain: str, own: Sequence[Line], first: Mapping[object, datetime | None]) -> Multiple:
    now = now_utc()
    moments = [at for line in own if (at := first.get(line.id)) is not None]
    ends = [now - timedelta(weeks=back) for back in range(WEEKS, -1, -1)]
    return Multiple(
        domain=domain,
        cases=len(own),
        patients=len({(line.site, line.research_id) for line in own}),
        images=sum(line.facts.images for line in own),
        by_site=crossing(own, lambda line: (line.site,)),
        by_vendor=crossing(own, lambda line: line.facts.vendors),
        weeks=[sum(at <= end for at in moments) for end in ends],
        recent=sum(at > now - _RECENT for at in moments),
    )


def crossing(own: Iterable[Line], across: Callable[[Line], Sequence[str]]) -> Crossing:
    """Diagnosis by whatever `across` says of a case."""
    counted: Counter[tuple[str | None, str | None]] = Counter()
    columns: Counter[str | None] = Counter()
    rows: Counter[str | None] = Counter()
    for line in own:
        rows[line.facts.diagnosis] += 1
        for name in across(line) or (None,):
            counted[line.facts.diagnosis, name] += 1
            columns[name] += 1
    wide, long = _largest(columns, _WIDEST), _largest(rows, _LONGEST)
    summed: Counter[tuple[str | None, str | None]] = Counter()
    for (row, column), count in counted.items():
        summed[row if row in long else None, column if column in wide else None] += count
    return Crossing(wide, [(row, [summed[row, column] for column in wide]) for row in long])


def _largest(counts: Counter[str | None], most: int) -> list[str | None]:
    """The largest by name; None at the end stands for those not stated and for those that found no room."""
    names: list[str | None] = [name for name, _ in sorted(counts.items(), key=lambda n: (-n[1], str(n[0]))) if name]
    has_rest = None in counts or len(names) > most
    return [*names[:most], *([None] if has_rest else [])]


def _quality(found: Sequence[Line], reasons: Counter[str] | None) -> Quality:
    return Quality(
        images=sum(line.facts.images for line in found),
        unscaled=sum(line.facts.unscaled for line in found),
        without_roi=sum(not line.facts.rois for line in found),
        weak=sum((line.facts.truth_rank or 0) == 5 for line in found),
        waiting=sum(not line.is_replicated for line in found),
        quarantined=reasons.total() if reasons is not None else None,
        unreadable=reasons[Reason.UNREADABLE_IMAGE] if reasons is not None else None,
    )


def _reasons(session: Session) -> Counter[str]:
    """Quarantined packages by their first reason."""
    first = col(Parcel.reasons)[0].astext
    statement = select(first, func.count()).where(Parcel.state == ParcelState.QUARANTINED).group_by(first)
    return Counter({reason or "": count for reason, count in session.exec(statement)})


def _stopped(session: Session) -> list[Stopped]:
    statement = select(Parcel).where(Parcel.state == ParcelState.QUARANTINED)
    rows = session.exec(statement.order_by(col(Parcel.created_at).desc()).limit(_NEWEST))
    return [Stopped(row.site, row.created_at, [Reason(reason) for reason in row.reasons]) for row in rows]


def _names(domains: Iterable[str]) -> dict[str, Label]:
    known = vocabulary.domains()
    organs = [vocabulary.load(domain) for domain in domains if domain in known]
    return {option.code: option.label for organ in organs for option in organ.options["diagnosis"]}


def _datasets(session: Session, actor: Actor) -> Sequence[DatasetLine] | None:
    """The actor's datasets, those with the newest version first."""
    if not (actor.may(Verb.PULL) or actor.may(Verb.FREEZE)):
        return None
    found = datasets.timelines(session, datasets.readable_datasets(session, actor))

    def age(line: datasets.DatasetLine) -> datetime:
        return line.newest.version.created_at if line.newest else line.dataset.created_at

    return [_dataset(line) for line in sorted(found, key=age, reverse=True)]


def _dataset(line: datasets.DatasetLine) -> DatasetLine:
    frozen = line.frozen.version.n if line.frozen else None
    newest = line.newest.version if line.newest else None
    state = VersionState(newest.state) if newest else None
    return DatasetLine(line.dataset.name, line.dataset.domain, frozen, newest.n if newest else None, state)
