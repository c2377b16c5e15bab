"""What the vault takes in and gives out: plain values whose repr shows nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

Extra = Mapping[str, object]


@dataclass(frozen=True, repr=False)
class Identity:
    """Who and which study a case is, in the clear.

    names: person names as they were written (PN, PS3.5 section 6.2), each whole or one component group.
    birth_date: as it was written, DA or ISO. extra: what else identifies, as JSON values; every text in it is taken for
    an identifying value by `needles`."""

    chart_id: str
    issuer: str | None = None
    accession: str | None = None
    study_uid: str | None = None
    names: tuple[str, ...] = ()
    birth_date: str | None = None
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class InstanceIdentityIn:
    """What one retrieved instance was called. sha256 and size are those of the original bytes."""

    sop_uid: str
    series_uid: str
    extra: Extra = field(default_factory=dict)
    sha256: bytes | None = None
    size: int | None = None
    file_name: str | None = None


@dataclass(frozen=True, repr=False)
class Link:
    """What a case becomes outside. date_offset_days is negative and whole weeks; uid_secret is 32 bytes."""

    research_id: UUID
    outward_case_id: UUID
    date_offset_days: int
    uid_secret: bytes


@dataclass(frozen=True, repr=False)
class Origin:
    """The way back from a research ID."""

    chart_id: str
    issuer: str | None
    case_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class OptOut:
    """One entry of the opt-out list, without the patient: its cases are all that a page needs."""

    id: UUID
    since: datetime
    case_ids: tuple[UUID, ...]
