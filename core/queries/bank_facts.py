"""What an accepted case says of itself, for filters and counts: read once from its record, which never changes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, select
from sqlmodel import Session, col
from sqlmodel.sql.expression import SelectOfScalar

from core.models.bank import BankCase, RecordVersion

_BATCH: Final = 400
_MOST_REMEMBERED: Final = 200_000
_remembered: dict[UUID, "Facts"] = {}


@dataclass(frozen=True, slots=True)
class Picture:
    """Where the first image of a case stands in the archive."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Facts:
    """One version of a case; a fact that its record does not state is None or empty."""

    diagnosis: str | None = None
    malignancy: str | None = None
    truth_rank: int | None = None
    bases: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    stills: int = 0
    cines: int = 0
    rois: int = 0
    unscaled: int = 0
    picture: Picture | None = None

    @property
    def images(self) -> int:
        return self.stills + self.cines


@dataclass(frozen=True, slots=True)
class Line:
    """A case of the bank as a list shows it. `accepted_at` is when its newest version was taken in."""

    id: UUID
    site: str
    research_id: UUID
    domain: str
    version: int
    is_replicated: bool
    accepted_at: datetime | None
    facts: Facts = field(default_factory=Facts)


def lines(session: Session, readable: SelectOfScalar[BankCase]) -> list[Line]:
    """These cases in the order of their ids, each with the facts of its newest version."""
    known = readable.subquery()
    newest = (col(RecordVersion.case_id) == known.c.id) & (col(RecordVersion.version) == known.c.version)
    columns = (known.c.id, known.c.site, known.c.research_id, known.c.domain, known.c.version, known.c.replicated_at)
    statement: Select[Any] = (
        select(*columns, col(RecordVersion.id)).outerjoin_from(known, RecordVersion, newest).order_by(known.c.id)
    )
    rows = session.execute(statement).all()
    facts = facts_of(session, [row[6] for row in rows if row[6] is not None])
    nothing = Facts()
    return [
        Line(row[0], row[1], row[2], row[3], row[4], row[5] is not None, moment_of(row[6]), facts.get(row[6], nothing))
        for row in rows
    ]


def facts_of(session: Session, record_ids: Sequence[UUID]) -> dict[UUID, Facts]:
    """The facts of these records. A record is never changed, so what was read once stays right."""
    missing = [key for key in record_ids if key not in _remembered]
    if len(_remembered) + len(missing) > _MOST_REMEMBERED:
        _remembered.clear()
        missing = list(record_ids)
    found: dict[UUID, Facts] = {}
    for start in range(0, len(missing), _BATCH):
        batch = missing[start : start + _BATCH]
        statement = select(col(RecordVersion.id), col(RecordVersion.record)).where(col(RecordVersion.id).in_(batch))
        found |= {row[0]: read(row[1]) for row in session.execute(statement)}
    _remembered.update(found)
    return {key: _remembered[key] for key in record_ids if key in _remembered}


def moment_of(key: UUID | None) -> datetime | None:
    """When a row with a time-ordered id was made (RFC 9562, version 7)."""
    if key is None or key.version != 7:
        return None
    return datetime.fromtimestamp((key.int >> 80) / 1000, UTC)


def read(record: Mapping[str, Any]) -> Facts:
    """The facts of one record of the contract."""
    values, images = record.get("values") or {}, record.get("images") or []
    rank = (values.get("truth_rank") or {}).get("value")
    devices = [image.get("device") or {} for image in images]
    return Facts(
        diagnosis=_code(values, "diagnosis"),
        malignancy=_code(values, "malignancy"),
        truth_rank=int(rank) if rank is not None else None,
        bases=tuple(record.get("basis") or ()),
        vendors=_once(device.get("manufacturer") for device in devices),
        models=_once(device.get("model") for device in devices),
        stills=sum(image["frames"] == 1 for image in images),
        cines=sum(image["frames"] > 1 for image in images),
        rois=len(record.get("rois") or ()),
        unscaled=sum(image.get("mm_per_px") is None for image in images),
        picture=_picture(images),
    )


def _picture(images: Sequence[Mapping[str, Any]]) -> Picture | None:
    if not images:
        return None
    first = images[0]
    return Picture(first["study_uid"], first["series_uid"], first["sop_instance_uid"])


def _code(values: Mapping[str, Any], name: str) -> str | None:
    codes = (values.get(name) or {}).get("codes") or ()
    return str(codes[0]) if codes else None


def _once(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name}))
