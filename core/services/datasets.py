"""Datasets: one patient split for ever, versions that freeze and never change."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session, col, func, select

from core import audit, jobs
from core.clock import now_utc
from core.errors import Conflict, Denied, Malformed, NotFound, WrongState
from core.models.bank import BankCase, BankImage, BankRoi
from core.models.datasets import VERSION_MOVES, Dataset, DatasetFile, DatasetVersion, PatientSplit, Split, VersionState
from core.permissions import SYSTEM, Actor, Verb, check
from core.queries.datasets import CHOICE, Choice, fitting, unknown
from core.queries.datasets import readable_dataset as readable_dataset
from core.queries.datasets import readable_datasets as readable_datasets

_NOTHING: Final = "No case that fits is replicated yet; a version needs at least one."
SHARES: Final = {Split.TRAIN: 0.8, Split.TUNE: 0.1, Split.TEST: 0.1}


@dataclass(frozen=True)
class StoredFile:
    """One file of a version: its path in the dataset folder, and the blob that holds it."""

    path: str
    kind: str
    sha256: str
    size: int


@dataclass(frozen=True)
class ChosenCase:
    """A case as it was when the version was begun, with its patient's split."""

    case: BankCase
    images: list[BankImage]
    rois: list[BankRoi]
    split: Split


def readable_version(session: Session, actor: Actor, name: str, n: int | None) -> tuple[Dataset, DatasetVersion]:
    """One version, the newest frozen one when `n` is None."""
    dataset = readable_dataset(session, actor, name)
    statement = select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    if n is None:
        statement = statement.where(DatasetVersion.state == VersionState.FROZEN).order_by(col(DatasetVersion.n).desc())
    else:
        statement = statement.where(DatasetVersion.n == n)
    version = session.exec(statement.limit(1)).first()
    if version is None:
        raise NotFound
    return dataset, version


def create(session: Session, actor: Actor, name: str, domain: str) -> Dataset:
    """A named dataset of one organ domain, still without a version."""
    check(actor, Verb.FREEZE, domain)
    if session.exec(select(Dataset.id).where(Dataset.name == name)).first():
        raise Conflict("There is a dataset of that name already.")
    dataset = Dataset(name=name, domain=domain)
    session.add(dataset)
    session.flush()
    audit.record(session, actor, "dataset.create", dataset.id)
    return dataset


def start(session: Session, actor: Actor, name: str, domain: str, choice: Choice) -> DatasetVersion:
    """A new dataset with its first version; neither when no case fits."""
    check(actor, Verb.FREEZE, domain)
    _check_choice(session, domain, choice)
    if not fitting(session, domain, choice):
        raise WrongState(_NOTHING)
    create(session, actor, name, domain)
    return begin_version(session, actor, name, choice)


def begin_version(session: Session, actor: Actor, name: str, choice: Choice | None = None) -> DatasetVersion:
    """Choose the replicated cases of now, draw the split of new patients, and queue the build.

    Without a choice the newest version's holds, and for the first version every case of the domain fits."""
    dataset = readable_dataset(session, actor, name)
    check(actor, Verb.FREEZE, dataset.domain)
    if actor.user_id is None:
        raise Denied
    session.exec(select(Dataset).where(Dataset.id == dataset.id).with_for_update()).one()
    last = session.exec(
        select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id).order_by(col(DatasetVersion.n).desc())
    ).first()
    if choice is None:
        choice = Choice.of(last.counts) if last else Choice()
    else:
        _check_choice(session, dataset.domain, choice)
    cases = fitting(session, dataset.domain, choice)
    if not cases:
        raise WrongState(_NOTHING)
    assign_splits(session, dataset.domain, {(case.site, case.research_id) for case in cases})
    version = DatasetVersion(
        dataset_id=dataset.id,
        n=last.n + 1 if last else 1,
        state=VersionState.BUILDING,
        cases=[[str(case.id), case.version] for case in cases],
        counts={CHOICE: choice.record()},
        created_by=actor.user_id,
    )
    session.add(version)
    session.flush()
    audit.record(session, actor, "dataset.begin", version.id, after=version.state, n=version.n, cases=len(cases))
    jobs.enqueue(session, "freeze", "central", key=f"version:{version.id}", version_id=str(version.id))
    return version


def _check_choice(session: Session, domain: str, choice: Choice) -> None:
    """Raise Malformed for a choice that names what no case has."""
    if unknown(session, domain, choice):
        raise Malformed("No case has one of the hospitals, makers or diagnoses that were chosen.")


def assign_splits(session: Session, domain: str, patients: Iterable[tuple[str, UUID]]) -> None:
    """Give each new patient the split that lags most behind its share in this domain. A split once given never moves."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext("patient_split"))))
    in_domain = (
        select(PatientSplit.site, PatientSplit.research_id, PatientSplit.split)
        .join(BankCase, (col(BankCase.site) == PatientSplit.site) & (BankCase.research_id == PatientSplit.research_id))
        .where(BankCase.domain == domain)
        .distinct()
    )
    counts = Counter(Split(split) for _, _, split in session.exec(in_domain))
    for site, research_id in sorted(patients, key=str):
        if session.get(PatientSplit, (site, research_id)) is None:
            total = counts.total() + 1
            split = max(SHARES, key=lambda candidate: SHARES[candidate] * total - counts[candidate])
            session.add(PatientSplit(site=site, research_id=research_id, split=split))
            counts[split] += 1


def chosen_cases(session: Session, version: DatasetVersion) -> list[ChosenCase]:
    """The cases of a version. Raises WrongState when one was corrected or hidden since: begin a new version then."""
    found = []
    for case_id, case_version in version.cases:
        case = session.get_one(BankCase, UUID(case_id))
        if case.version != case_version or case.hidden:
            raise WrongState("A case was corrected or withdrawn while the version was built; begin a new one.")
        images = session.exec(
            select(BankImage).where(BankImage.case_id == case.id).order_by(col(BankImage.sop_instance_uid))
        ).all()
        rois = session.exec(
            select(BankRoi).where(col(BankRoi.image_id).in_([i.id for i in images])).order_by(col(BankRoi.id))
        ).all()
        split = session.get_one(PatientSplit, (case.site, case.research_id)).split
        found.append(ChosenCase(case, list(images), list(rois), Split(split)))
    return found


def freeze(
    session: Session, version_id: UUID, files: Iterable[StoredFile], digest: str, counts: Mapping[str, Any]
) -> None:
    """BUILDING -> FROZEN with all its files. A version that is frozen already is left as it is."""
    version = session.get_one(DatasetVersion, version_id, with_for_update=True)
    if version.state != VersionState.BUILDING:
        return
    session.add_all(
        DatasetFile(version_id=version.id, path=file.path, kind=file.kind, sha256=file.sha256, size=file.size)
        for file in files
    )
    version.hash, version.counts, version.frozen_at = digest, {**version.counts, **counts}, now_utc()
    _move(session, version, VersionState.FROZEN)


def fail(session: Session, version_id: UUID, reason: str) -> None:
    version = session.get_one(DatasetVersion, version_id, with_for_update=True)
    if version.state == VersionState.BUILDING:
        version.reason = reason
        _move(session, version, VersionState.FAILED)


def _move(session: Session, version: DatasetVersion, to: VersionState) -> None:
    if to not in VERSION_MOVES[VersionState(version.state)]:
        raise WrongState(f"A version that is {version.state} cannot become {to}.")
    audit.record(session, SYSTEM, f"dataset.{to.lower()}", version.id, before=version.state, after=to, n=version.n)
    version.state = to


def files_of(session: Session, version: DatasetVersion) -> list[DatasetFile]:
    if version.state != VersionState.FROZEN:
        raise WrongState("This version is not frozen yet.")
    return list(
        session.exec(select(DatasetFile).where(DatasetFile.version_id == version.id).order_by(col(DatasetFile.path)))
    )


def file_of(session: Session, version: DatasetVersion, sha256: str) -> DatasetFile:
    """Row -> permission -> bytes: a blob is only given through a version that names it."""
    statement = select(DatasetFile).where(DatasetFile.version_id == version.id, DatasetFile.sha256 == sha256)
    found = session.exec(statement.limit(1)).first()
    if found is None:
        raise NotFound
    return found
