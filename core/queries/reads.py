"""Reads of second readings. One's own is open to its reader alone; those of others only once they are handed in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from core.errors import NotFound
from core.models.curation import ImageMask, Roi
from core.models.people import Grant, User
from core.models.reads import HANDED_IN, OPEN, Read, ReadRoi, ReadState
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.permissions import ALL_DOMAINS, ROLES, Actor, Verb, check
from core.queries import cases as queries

# A case that is on its way in, or was taken out, is not read.
READABLE = frozenset({CaseState.CURATING, CaseState.REGISTERED})


@dataclass(frozen=True)
class Assignment:
    """One reading in a list, with the number of its case; nothing of what it says."""

    read: Read
    number: int
    domain: str
    reader: str
    is_closed: bool

    @property
    def is_open(self) -> bool:
        return self.read.state in OPEN


@dataclass(frozen=True)
class HandedIn:
    """A reading that others may see: who read, the answers in the read's values, and the ROIs as those of a case."""

    read: Read
    reader: str
    rois: tuple[Roi, ...]


@dataclass(frozen=True)
class ReadPage:
    """What a reader is given: the pictures with their masks' candidates, and their own marks alone."""

    read: Read
    case: SiteCase
    images: tuple[tuple[SiteImage, ImageMask | None], ...]
    rois: tuple[Roi, ...]


def own_reads(session: Session, actor: Actor) -> list[Assignment]:
    """This person's readings: what is open and due first comes first."""
    statement = _read_rows().where(col(Read.reader_id) == actor.user_id)
    found = _assignments(session, _in_domains(statement, actor, Verb.READ))
    return sorted(found, key=lambda one: (not one.is_open, one.read.due or date.max, one.number))


def all_reads(session: Session, actor: Actor) -> list[Assignment]:
    """Every reading where this person assigns them: who, until when, how far; never what was said."""
    statement = _read_rows().where(col(Read.state) != ReadState.CANCELLED)
    found = _assignments(session, _in_domains(statement, actor, Verb.ASSIGN))
    return sorted(found, key=lambda one: (not one.is_open, -one.number, one.reader))


def _read_rows() -> Select[Read, SiteCase, str]:
    joined = columns(Read, SiteCase, col(User.name)).join(SiteCase, col(SiteCase.id) == Read.case_id)
    return joined.join(User, col(User.id) == Read.reader_id)


def _in_domains(statement: Select[Read, SiteCase, str], actor: Actor, verb: Verb) -> Select[Read, SiteCase, str]:
    domains = actor.domains(verb)
    return statement if ALL_DOMAINS in domains else statement.where(col(SiteCase.domain).in_(domains))


def _assignments(session: Session, statement: Select[Read, SiteCase, str]) -> list[Assignment]:
    return [
        Assignment(read, case.number, case.domain, name, case.state not in READABLE or case.purged_at is not None)
        for read, case, name in session.execute(statement)
    ]


def own_read(session: Session, actor: Actor, read_id: UUID) -> tuple[Read, SiteCase]:
    """The gate of a reading: its reader, and nobody else. Raises NotFound."""
    read = session.get(Read, read_id)
    case = session.get(SiteCase, read.case_id) if read else None
    if read is None or case is None or read.state == ReadState.CANCELLED or read.reader_id != actor.user_id:
        raise NotFound
    if not actor.may(Verb.READ, case.domain):
        raise NotFound
    return read, case


def blind_read(session: Session, actor: Actor, case_id: UUID) -> UUID | None:
    """The reading of this case that this person has still to hand in: as long as there is one, it is all they see."""
    open_one = select(Read.id).where(
        Read.case_id == case_id, Read.reader_id == actor.user_id, col(Read.state).in_(OPEN)
    )
    return session.exec(open_one).first()


def read_page(session: Session, actor: Actor, read_id: UUID) -> ReadPage:
    """Raises NotFound for a reading that is not this person's."""
    read, case = own_read(session, actor, read_id)
    masks = queries.masks_of(session, case.id)
    images = tuple((image, masks.get(image.id)) for image in _pictures(session, case))
    return ReadPage(read, case, images, rois_of(session, read.id))


def _pictures(session: Session, case: SiteCase) -> list[SiteImage]:
    """The images of a case that have a picture and that nobody has rejected."""
    picks = queries.picks_of(session, case.id)
    rejected = {image_id for image_id, pick in picks.items() if not pick.picked}
    found = queries.images_of(session, case.id)
    return [one for one in found if one.state == ImageState.STAGED and one.frames and one.id not in rejected]


def picture_in(session: Session, read: Read, case: SiteCase, image_id: UUID) -> SiteImage:
    """The image if it is one of this reading's. Raises NotFound."""
    for image in _pictures(session, case):
        if image.id == image_id:
            return image
    raise NotFound


def rois_of(session: Session, read_id: UUID) -> tuple[Roi, ...]:
    """The ROIs of one reading, made like those of a case but never of its table."""
    statement = select(ReadRoi).where(ReadRoi.read_id == read_id, col(ReadRoi.deleted).is_(False))
    return tuple(roi_of(row) for row in session.exec(statement.order_by(col(ReadRoi.id))))


def roi_of(row: ReadRoi) -> Roi:
    """What a row of a reading says, as an ROI that no session knows."""
    known = row.body | {"lesion_id": UUID(row.body["lesion_id"]), "deleted": row.deleted}
    return Roi(id=row.id, image_id=row.image_id, version=row.version, **known)


def led_case(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """The gate of what readers said of a case: who assigns readings in its domain.

    Raises NotFound, and Denied for somebody who reads the case blind or may not assign."""
    case = queries.readable_case(session, actor, case_id)
    check(actor, Verb.ASSIGN, case.domain)
    return case


def handed_in(session: Session, actor: Actor, case_id: UUID) -> list[HandedIn]:
    """The readings of a case that were handed in, the first one first. Raises as `led_case`."""
    case = led_case(session, actor, case_id)
    statement = select(Read, User.name).join(User, col(User.id) == Read.reader_id)
    chosen = statement.where(Read.case_id == case.id, col(Read.state).in_(HANDED_IN))
    rows = session.exec(chosen.order_by(col(Read.submitted_at), col(Read.id))).all()
    return [HandedIn(read, name, rois_of(session, read.id)) for read, name in rows]


def reads_of(session: Session, actor: Actor, case_id: UUID) -> list[Assignment]:
    """Who reads a case and how far they are. Raises as `led_case`."""
    case = led_case(session, actor, case_id)
    statement = _read_rows().where(col(Read.case_id) == case.id, col(Read.state) != ReadState.CANCELLED)
    return sorted(_assignments(session, statement), key=lambda one: one.read.created_at)


def readers_for(session: Session, domain: str) -> Sequence[User]:
    """Who may be asked to read a case of this domain, by name."""
    may = select(Grant.user_id).where(
        col(Grant.role).in_(ROLES[Verb.READ]), col(Grant.domain).in_([ALL_DOMAINS, domain])
    )
    people = select(User).where(col(User.id).in_(may), col(User.disabled_at).is_(None))
    return session.exec(people.order_by(col(User.name))).all()
