"""Second readings: assign them, read blind, hand in. A reading is kept apart from the case and from every other reading."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session, col, select

from core import audit
from core.clock import now_utc
from core.errors import Malformed, NotFound, Refused, WrongState
from core.models.curation import Edit, Roi
from core.models.people import User
from core.models.reads import OPEN, READ_MOVES, Read, ReadEdit, ReadRoi, ReadState
from core.models.sitecase import SiteCase, SiteImage
from core.node import SiteNode
from core.permissions import Actor, Verb, check
from core.queries import cases as case_queries
from core.queries import reads as queries
from core.queries.reads import READABLE
from core.services import curation, drawing, frame_runs, masks
from core.services.cases import locked_for
from core.vocabulary import domain as vocabulary

MOST_READERS: Final = 20


def move(session: Session, actor: Actor, read: Read, to: ReadState) -> None:
    """Change the state of a reading. Raises WrongState when the table has no such move."""
    if to not in READ_MOVES[ReadState(read.state)]:
        raise WrongState(f"A reading that is {read.state} cannot become {to}.")
    audit.record(session, actor, f"read.{to.lower()}", read.id, before=read.state, after=to)
    read.state = to
    session.add(read)


def assign(session: Session, actor: Actor, case_id: UUID, reader_ids: Sequence[UUID], due: date | None) -> list[Read]:
    """Ask people to read a case blind. Raises Refused for somebody who cannot read it, or who knows it already."""
    case = locked_for(session, actor, Verb.ASSIGN, case_id)
    if not reader_ids or len(reader_ids) > MOST_READERS:
        raise Malformed("Choose who reads the case.")
    if case.state not in READABLE or case.purged_at is not None:
        raise WrongState(f"A case that is {case.state} is not read.")
    if due is not None and due < now_utc().date():
        raise Malformed("The day by which it is to be read has passed.")
    may = {user.id: user for user in queries.readers_for(session, case.domain)}
    made = []
    for reader_id in dict.fromkeys(reader_ids):
        if reader_id not in may:
            raise Refused("This person may not read cases of this organ.")
        _check_blind(session, case, may[reader_id])
        read = Read(case_id=case.id, reader_id=reader_id, assigned_by=_user(actor), state=ReadState.ASSIGNED, due=due)
        session.add(read)
        session.flush()
        audit.record(session, actor, "read.assigned", read.id, after=ReadState.ASSIGNED, reader=str(reader_id))
        made.append(read)
    return made


def _user(actor: Actor) -> UUID:
    if actor.user_id is None:
        raise NotFound
    return actor.user_id


def _check_blind(session: Session, case: SiteCase, reader: User) -> None:
    """Who worked on the case, or began to read it, cannot read it blind (again)."""
    known = session.exec(select(Read).where(Read.case_id == case.id, Read.reader_id == reader.id)).all()
    if any(read.state != ReadState.CANCELLED or read.began_at is not None for read in known):
        raise Refused(f"{reader.name} reads this case already, or has read it.")
    images = [image.id for image in case_queries.images_of(session, case.id)]
    rois = session.exec(select(Roi.id).where(col(Roi.image_id).in_(images))).all()
    edited = select(Edit.id).where(col(Edit.object_id).in_([case.id, *images, *rois]), Edit.by == reader.id)
    if session.exec(edited.limit(1)).first() is not None:
        raise Refused(f"{reader.name} has worked on this case and cannot read it blind.")


def cancel(session: Session, actor: Actor, case_id: UUID, read_id: UUID) -> Read:
    """Take an assignment back before it is handed in; what was said by then is seen by nobody."""
    case = locked_for(session, actor, Verb.ASSIGN, case_id)
    read = _locked(session, read_id)
    if read.case_id != case.id or read.state == ReadState.CANCELLED:
        raise NotFound
    move(session, actor, read, ReadState.CANCELLED)
    return read


def _locked(session: Session, read_id: UUID) -> Read:
    statement = select(Read).where(Read.id == read_id).with_for_update()
    read = session.exec(statement.execution_options(populate_existing=True)).first()
    if read is None:
        raise NotFound
    return read


def _writable(session: Session, actor: Actor, read_id: UUID) -> tuple[Read, SiteCase]:
    """The reading, locked, if its reader may write in it now; the first save begins it."""
    _, case = queries.own_read(session, actor, read_id)
    read = _locked(session, read_id)
    if read.state not in OPEN:
        raise WrongState("This reading was handed in and does not change any more.")
    if case.state not in READABLE or case.purged_at is not None:
        raise WrongState(f"A case that is {case.state} is not read.")
    if read.state == ReadState.ASSIGNED:
        move(session, actor, read, ReadState.READING)
        read.began_at = now_utc()
    return read, case


def _keep(
    session: Session, actor: Actor, read: Read, kind: str, object_id: UUID, version: int, body: dict[str, Any]
) -> None:
    """One saved version; the audit says that there is one, never what it holds."""
    session.add(ReadEdit(read_id=read.id, kind=kind, object_id=object_id, version=version, body=body))
    audit.record(session, actor, f"{kind}.save", object_id, version=version)


def present_form(session: Session, read: Read, case: SiteCase) -> tuple[dict[str, Any], int]:
    """(entries, version): what this reader has saved, or what the tags alone would fill (version 0)."""
    return (read.values, read.version) if read.version else (curation.filled(session, case, {}), 0)


def save_form(session: Session, actor: Actor, read_id: UUID, values: Mapping[str, Any], version: int) -> Read:
    """As `curation.save_form`, for a reading: raises WrongAnswers for answers that cannot be taken."""
    read, case = _writable(session, actor, read_id)
    clean, _, problems = vocabulary.load(case.domain).check(values)
    if problems:
        raise curation.WrongAnswers(problems)
    read.version = curation.next_version(read.version, version)
    read.values = curation.filled(session, case, clean)
    _keep(session, actor, read, "read", read.id, read.version, read.values)
    return read


def add_roi(session: Session, actor: Actor, read_id: UUID, image_id: UUID, given: Roi) -> Roi:
    """A new ROI of a reading; the same id again is the same ROI, for a sender that may ask twice."""
    read, case = _writable(session, actor, read_id)
    image = queries.picture_in(session, read, case, image_id)
    known = session.get(ReadRoi, given.id)
    if known is not None:
        if known.read_id != read.id or known.image_id != image.id:
            raise NotFound
        return queries.roi_of(known)
    given.image_id = image.id
    drawing.settle(image, case.domain, given)
    row = ReadRoi(id=given.id, read_id=read.id, image_id=image.id, body=_body(given))
    session.add(row)
    session.flush()
    _keep(session, actor, read, "read-roi", row.id, row.version, row.body)
    return queries.roi_of(row)


def change_roi(
    session: Session, actor: Actor, read_id: UUID, roi_id: UUID, change: Mapping[str, Any], version: int
) -> Roi:
    """Change or delete an ROI of a reading under its version."""
    read, case = _writable(session, actor, read_id)
    row = session.get(ReadRoi, roi_id)
    if row is None or row.read_id != read.id:
        raise NotFound
    image = queries.picture_in(session, read, case, row.image_id)
    row.version = curation.next_version(row.version, version)
    roi = queries.roi_of(row)
    drawing.changed(roi, change)
    drawing.settle(image, case.domain, roi)
    row.body, row.deleted = _body(roi), roi.deleted
    session.add(row)
    _keep(session, actor, read, "read-roi", row.id, row.version, row.body | {"deleted": row.deleted})
    return queries.roi_of(row)


def version_of_roi(session: Session, roi_id: UUID) -> int:
    """The present version of an ROI of a reading, after a change of it was refused as old."""
    return session.get_one(ReadRoi, roi_id).version


def _body(roi: Roi) -> dict[str, Any]:
    body = curation.roi_body(roi)
    body.pop("deleted")
    return body


def submit(session: Session, actor: Actor, read_id: UUID) -> Read:
    """Hand a reading in: from now on others see it, and it does not change. It needs a diagnosis, and no more."""
    read, case = queries.own_read(session, actor, read_id)
    organ = vocabulary.load(case.domain)
    if not read.values.get(organ.source, {}).get("value"):
        raise WrongState("Answer the diagnosis before you hand the reading in.")
    read, _ = _writable(session, actor, read_id)
    move(session, actor, read, ReadState.SUBMITTED)
    read.submitted_at = now_utc()
    return read


def picture(
    node: SiteNode, session: Session, actor: Actor, read_id: UUID, image_id: UUID, frame: int, width: int | None = None
) -> tuple[bytes, str]:
    """(PNG of one frame of the candidate, its digest) for the reader; it counts for no confirmation of a mask."""
    png, mask = masks.render(node, session, actor, _seen(session, actor, read_id, image_id), frame, width)
    return png, mask.digest or ""


def pictures(
    node: SiteNode, session: Session, actor: Actor, read_id: UUID, image_id: UUID, first: int, count: int
) -> frame_runs.FrameRun:
    """Frames of the candidate in a row for the reader, as `frame_runs.run_of` gives them."""
    return frame_runs.run_of(node, session, actor, _seen(session, actor, read_id, image_id), first, count)


def _seen(session: Session, actor: Actor, read_id: UUID, image_id: UUID) -> SiteImage:
    read, case = queries.own_read(session, actor, read_id)
    check(actor, Verb.SEE_PIXELS, case.domain)
    return queries.picture_in(session, read, case, image_id)
