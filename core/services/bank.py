"""Central's accepted cases as people open and take them away; both are written into the audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from core import audit
from core.models.bank import BankCase, BankImage, BankRoi, RecordVersion
from core.permissions import Actor, Verb, check
from core.queries import bank
from core.queries.bank_facets import Choices, ordered
from core.queries.bank_facts import Line


@dataclass(frozen=True)
class OpenCase:
    """A case as it is now, its images in the order of the record."""

    case: BankCase
    record: dict[str, Any]
    images: Sequence[BankImage]
    rois: Sequence[BankRoi]
    versions: list[tuple[int, datetime | None, RecordVersion]]
    arrival: bank.Arrival


def open_case(session: Session, actor: Actor, case_id: UUID) -> OpenCase:
    """Raises NotFound for a case that is unknown, hidden or not the actor's."""
    case = bank.one(session, actor, case_id)
    audit.record_read(session, actor, "bank.read", case.id)
    record = bank.record_of(session, case).record
    order = {entry["image_id"]: place for place, entry in enumerate(record["images"])}
    images = sorted(bank.images_of(session, case.id), key=lambda image: order.get(str(image.id), len(order)))
    versions = bank.versions_of(session, case)
    return OpenCase(case, record, images, bank.rois_of(session, case.id), versions, bank.arrival_of(session, case))


def export_cases(session: Session, actor: Actor, choices: Choices, sort: str) -> list[Line]:
    """What the list shows for these choices, all of it."""
    check(actor, Verb.SEE_BANK)
    found = ordered(bank.browse(session, actor, choices).lines, sort)
    audit.record(session, actor, "bank.export", cases=len(found))
    return found
