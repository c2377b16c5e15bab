"""What waits after a rule was published: the cases whose masks it made, and how far their pictures are; and the next one."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col

from core.models.curation import MaskState
from core.models.devices import DeviceRule
from core.models.sitecase import CaseState, SiteCase
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.queries import device_rules as queries
from core.queries.cases import readable_cases
from core.queries.worklist import open_masks


@dataclass(frozen=True)
class Waiting:
    """A case with images of the device: how many have their picture ready, are confirmed, and what is still made."""

    case_id: UUID
    number: int
    images: int
    ready: int
    confirmed: int
    preparing: int


@dataclass(frozen=True)
class Queue:
    cases: Sequence[Waiting]
    images: int
    ready: int
    confirmed: int
    preparing: int


def queue_of(session: Session, actor: Actor, rule: DeviceRule) -> Queue:
    """The cases in curation with images of the rule's device, by number."""
    found: dict[UUID, list[queries.HeldImage]] = {}
    for one in queries.held_of(session, [queries.content_of(rule)], actor):
        if one.case.state == CaseState.CURATING:
            found.setdefault(one.case.id, []).append(one)
    cases = [_waiting(held) for held in found.values()]
    totals = (sum(getattr(one, name) for one in cases) for name in ("images", "ready", "confirmed", "preparing"))
    return Queue(cases, *totals)


def _waiting(held: Sequence[queries.HeldImage]) -> Waiting:
    masks = [one.mask for one in held if one.mask is not None]
    confirmed = sum(mask.state == MaskState.CONFIRMED for mask in masks)
    ready = sum(mask.digest is not None and mask.state == MaskState.PROPOSED for mask in masks)
    preparing = sum(mask.digest is None and mask.hold is None for mask in masks)
    case = held[0].case
    return Waiting(case.id, case.number, len(held), ready, confirmed, preparing)


def next_case(session: Session, actor: Actor, after: int) -> UUID | None:
    """The next case by number that waits for this person's confirmation of a mask; round the end to the first."""
    domains = actor.domains(Verb.REGISTER) & actor.domains(Verb.SEE_PIXELS)
    if ALL_DOMAINS in actor.domains(Verb.REGISTER):
        domains = actor.domains(Verb.SEE_PIXELS)
    elif ALL_DOMAINS in actor.domains(Verb.SEE_PIXELS):
        domains = actor.domains(Verb.REGISTER)
    statement = readable_cases(actor).where(open_masks())
    if ALL_DOMAINS not in domains:
        statement = statement.where(col(SiteCase.domain).in_(domains))
    following = statement.where(SiteCase.number > after).order_by(col(SiteCase.number)).limit(1)
    found = session.exec(following).first() or session.exec(statement.order_by(col(SiteCase.number)).limit(1)).first()
    return found.id if found is not None and found.number != after else None
