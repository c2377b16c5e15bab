"""Reads of datasets: which cases a new version would take, the versions of a dataset, and the files of one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self
from uuid import UUID

from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from core.errors import NotFound
from core.models.bank import BankCase
from core.models.datasets import Dataset, DatasetFile, DatasetVersion, PatientSplit, Split, VersionState
from core.models.people import User
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.queries.bank_facts import Line, lines

CHOICE: Final = "choice"
"""Where a version's counts keep what it was chosen by."""


@dataclass(frozen=True)
class Choice:
    """Which cases of its domain a version takes; what is empty asks for nothing. `truth_rank` is the worst that will do."""

    sites: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()
    diagnoses: tuple[str, ...] = ()
    truth_rank: int | None = None
    with_roi: bool = False

    @classmethod
    def of(cls, counts: Mapping[str, Any]) -> Self:
        """The choice that a version's counts keep; everything for a version from before there were choices."""
        kept: dict[str, Any] = counts.get(CHOICE) or {}
        lists = {name: tuple(kept.get(name, ())) for name in ("sites", "vendors", "diagnoses")}
        return cls(**lists, truth_rank=kept.get("truth_rank"), with_roi=bool(kept.get("with_roi")))

    def record(self) -> dict[str, Any]:
        """As it is kept: the same choice is always the same record."""
        return {name: sorted(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def takes(self, line: Line) -> bool:
        facts = line.facts
        return (
            (not self.sites or line.site in self.sites)
            and (not self.vendors or not set(self.vendors).isdisjoint(facts.vendors))
            and (not self.diagnoses or facts.diagnosis in self.diagnoses)
            and (self.truth_rank is None or (facts.truth_rank is not None and facts.truth_rank <= self.truth_rank))
            and (not self.with_roi or facts.rois > 0)
        )


def readable_datasets(session: Session, actor: Actor) -> list[Dataset]:
    """Datasets of the domains that the actor may pull or freeze."""
    domains = actor.domains(Verb.PULL) | actor.domains(Verb.FREEZE)
    statement = select(Dataset).order_by(col(Dataset.name))
    return list(
        session.exec(statement if ALL_DOMAINS in domains else statement.where(col(Dataset.domain).in_(domains)))
    )


def readable_dataset(session: Session, actor: Actor, name: str) -> Dataset:
    """Raises NotFound for a dataset that is unknown or not the actor's."""
    found = next((dataset for dataset in readable_datasets(session, actor) if dataset.name == name), None)
    if found is None:
        raise NotFound
    return found


def ready_cases(domain: str) -> SelectOfScalar[BankCase]:
    """What a version of now may take: the domain's cases that are replicated and not hidden."""
    return select(BankCase).where(
        BankCase.domain == domain, col(BankCase.hidden).is_(False), col(BankCase.replicated_at).is_not(None)
    )


def fitting(session: Session, domain: str, choice: Choice) -> list[Line]:
    """The cases that a version of now would take, in the order of their ids."""
    return [line for line in lines(session, ready_cases(domain)) if choice.takes(line)]


def unknown(session: Session, domain: str, choice: Choice) -> set[str]:
    """What the choice names and no ready case has."""
    ready = lines(session, ready_cases(domain))
    named = {*choice.sites, *choice.vendors, *choice.diagnoses}
    there = {name for line in ready for name in (line.site, line.facts.diagnosis, *line.facts.vendors)}
    return named - there


@dataclass(frozen=True)
class Cohort:
    """What a version of now would hold, and what there is to choose from. `new` patients still have no split."""

    ready: int
    cases: int
    patients: int
    images: int
    rois: int
    splits: Mapping[Split, int]
    new: int
    by_diagnosis: Mapping[str, int]
    options: Mapping[str, Mapping[str, int]]


def cohort(session: Session, domain: str, choice: Choice) -> Cohort:
    ready = lines(session, ready_cases(domain))
    taken = [line for line in ready if choice.takes(line)]
    patients = {(line.site, line.research_id) for line in taken}
    splits = _splits(session, patients)
    return Cohort(
        ready=len(ready),
        cases=len(taken),
        patients=len(patients),
        images=sum(line.facts.images for line in taken),
        rois=sum(line.facts.rois for line in taken),
        splits=splits,
        new=len(patients) - sum(splits.values()),
        by_diagnosis=Counter(line.facts.diagnosis or "" for line in taken),
        options={
            "sites": Counter(line.site for line in ready),
            "vendors": Counter(vendor for line in ready for vendor in line.facts.vendors),
            "diagnoses": Counter(line.facts.diagnosis for line in ready if line.facts.diagnosis),
            "ranks": Counter(str(line.facts.truth_rank) for line in ready if line.facts.truth_rank is not None),
        },
    )


def _splits(session: Session, patients: set[tuple[str, UUID]]) -> dict[Split, int]:
    sites = {site for site, _ in patients}
    statement = select(PatientSplit.site, PatientSplit.research_id, PatientSplit.split)
    rows = session.exec(statement.where(col(PatientSplit.site).in_(sites)))
    found = Counter(Split(split) for site, research_id, split in rows if (site, research_id) in patients)
    return {split: found[split] for split in Split}


@dataclass(frozen=True)
class VersionLine:
    """One version in the timeline: what it holds, who began it, and how many cases more than the frozen one before."""

    version: DatasetVersion
    by: str
    choice: Choice
    grown: int | None

    @property
    def cases(self) -> int:
        return len(self.version.cases)


@dataclass(frozen=True)
class DatasetLine:
    """A dataset with its versions, the newest first."""

    dataset: Dataset
    versions: Sequence[VersionLine]

    @property
    def newest(self) -> VersionLine | None:
        return self.versions[0] if self.versions else None

    @property
    def frozen(self) -> VersionLine | None:
        """The newest version that can be pulled."""
        return next((line for line in self.versions if line.version.state == VersionState.FROZEN), None)

    @property
    def is_building(self) -> bool:
        return any(line.version.state == VersionState.BUILDING for line in self.versions)


def timelines(session: Session, datasets: Sequence[Dataset]) -> list[DatasetLine]:
    """These datasets, which the actor may read, with their versions."""
    statement = (
        select(DatasetVersion, User.name)
        .outerjoin(User, col(User.id) == DatasetVersion.created_by)
        .where(col(DatasetVersion.dataset_id).in_([dataset.id for dataset in datasets]))
        .order_by(col(DatasetVersion.n))
    )
    found: dict[UUID, list[VersionLine]] = {dataset.id: [] for dataset in datasets}
    before: dict[UUID, int] = {}
    for version, name in session.exec(statement):
        known = before.get(version.dataset_id)
        grown = len(version.cases) - known if known is not None else None
        found[version.dataset_id].append(VersionLine(version, name or "", Choice.of(version.counts), grown))
        if version.state == VersionState.FROZEN:
            before[version.dataset_id] = len(version.cases)
    return [DatasetLine(dataset, found[dataset.id][::-1]) for dataset in datasets]


@dataclass(frozen=True)
class Files:
    """The files of a frozen version: all of them in numbers, and one page of them."""

    count: int
    size: int
    page: Sequence[DatasetFile]


def files(session: Session, version: DatasetVersion, offset: int, limit: int) -> Files:
    own = DatasetFile.version_id == version.id
    count, size = session.exec(select(func.count(), func.coalesce(func.sum(DatasetFile.size), 0)).where(own)).one()
    rows = session.exec(select(DatasetFile).where(own).order_by(col(DatasetFile.path)).offset(offset).limit(limit))
    return Files(count, int(size), rows.all())


@dataclass(frozen=True)
class Opened:
    """A dataset with one version of it (None while there is none), and what a version of now would take."""

    line: DatasetLine
    shown: VersionLine | None
    files: Files | None
    cohort: Cohort | None
    choice: Choice


def opened(
    session: Session, actor: Actor, name: str, n: int | None, choice: Choice | None, offset: int, limit: int
) -> Opened:
    """Version `n`, else the newest frozen one, else the newest; the cohort for those who may freeze.

    Without a choice the newest version's holds. Raises NotFound."""
    dataset = readable_dataset(session, actor, name)
    line = timelines(session, [dataset])[0]
    shown = next((known for known in line.versions if known.version.n == n), None)
    if n is None:
        shown = line.frozen or line.newest
    elif shown is None:
        raise NotFound
    if choice is None:
        choice = line.newest.choice if line.newest else Choice()
    is_frozen = shown is not None and shown.version.state == VersionState.FROZEN
    return Opened(
        line=line,
        shown=shown,
        files=files(session, shown.version, offset, limit) if shown and is_frozen else None,
        cohort=cohort(session, dataset.domain, choice) if actor.may(Verb.FREEZE, dataset.domain) else None,
        choice=choice,
    )
