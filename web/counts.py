"""The counts of the home page; each is of what the person may see, and None where they may see nothing of the kind."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from core.models.archive import Study
from core.models.datasets import DatasetVersion, VersionState
from core.models.sitecase import CaseState, SiteCase
from core.models.transfer import Package, PackageState
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.queries import bank
from core.queries.cases import readable_cases
from core.services import datasets


@dataclass(frozen=True)
class CaseTable:
    """Accepted cases, a row a site and a column an organ domain."""

    domains: Sequence[str]
    rows: Sequence[tuple[str, Sequence[int]]]

    @property
    def totals(self) -> list[int]:
        return [sum(column) for column in zip(*(counts for _, counts in self.rows), strict=True)]


@dataclass(frozen=True)
class DatasetLine:
    """A dataset with the number of its newest frozen version, and its newest version of all."""

    name: str
    domain: str
    frozen: int | None
    newest: int | None
    state: VersionState | None


def cases_by_state(session: Session, actor: Actor) -> list[tuple[CaseState, int]] | None:
    """In the order of a case's life; a state without a case counts 0."""
    if not actor.may(Verb.SEE_CASES):
        return None
    readable = readable_cases(actor).subquery()
    found = {
        CaseState(s): n for s, n in session.exec(select(readable.c.state, func.count()).group_by(readable.c.state))
    }
    return [(state, found.get(state, 0)) for state in CaseState]


def packages_by_state(session: Session, actor: Actor) -> list[tuple[PackageState, int]] | None:
    """In the order of a package's life; a state without a package counts 0."""
    if not actor.may(Verb.SEE_PACKAGES):
        return None
    domains = actor.domains(Verb.SEE_PACKAGES)
    statement = select(Package.state, func.count()).join(SiteCase, col(SiteCase.id) == Package.case_id)
    if ALL_DOMAINS not in domains:
        statement = statement.where(col(SiteCase.domain).in_(domains))
    found = {PackageState(state): n for state, n in session.exec(statement.group_by(col(Package.state)))}
    return [(state, found.get(state, 0)) for state in PackageState]


def accepted_cases(session: Session, actor: Actor) -> CaseTable | None:
    if not actor.may(Verb.SEE_BANK):
        return None
    found = {(site, domain): n for domain, site, n in bank.counts(session, actor)}
    domains = sorted({domain for _, domain in found})
    sites = sorted({site for site, _ in found})
    return CaseTable(domains, [(site, [found.get((site, domain), 0) for domain in domains]) for site in sites])


def dataset_lines(session: Session, actor: Actor) -> list[DatasetLine] | None:
    if not (actor.may(Verb.PULL) or actor.may(Verb.FREEZE)):
        return None
    readable = datasets.readable_datasets(session, actor)
    chosen = col(DatasetVersion.dataset_id).in_([dataset.id for dataset in readable])
    statement = select(DatasetVersion.dataset_id, DatasetVersion.n, DatasetVersion.state).where(chosen)
    newest: dict[object, tuple[int, VersionState]] = {}
    frozen: dict[object, int] = {}
    for dataset_id, n, state in session.exec(statement.order_by(col(DatasetVersion.n))):
        newest[dataset_id] = (n, VersionState(state))
        if state == VersionState.FROZEN:
            frozen[dataset_id] = n
    nothing = (None, None)
    return [DatasetLine(d.name, d.domain, frozen.get(d.id), *newest.get(d.id, nothing)) for d in readable]


def studies(session: Session, actor: Actor) -> int | None:
    """Studies in the archive of a `pacs`, which has no organ domains."""
    if not actor.may(Verb.DICOM_READ):
        return None
    return session.exec(select(func.count()).select_from(Study)).one()
