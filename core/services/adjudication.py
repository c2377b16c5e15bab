"""Settle the readings of a case: what is chosen becomes the case's own, as new versions that say where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import Session, select

from core import audit
from core.errors import Malformed, Refused, WrongState
from core.models.curation import Form, Roi
from core.models.reads import OPEN, Read, ReadState
from core.models.sitecase import CaseState, SiteCase
from core.permissions import Actor, Verb
from core.queries import cases as case_queries
from core.queries import reads as queries
from core.services import curation, drawing, reads
from core.services.cases import locked_for
from core.vocabulary import domain as vocabulary

ADJUDICATED = "adjudicated"


@dataclass(frozen=True)
class Decision:
    """`answers` are the settled values by field; `images` name the reading whose ROIs an image takes over.

    A field or an image that is in neither stays as the case has it. `version` is that of the form that was seen."""

    version: int
    answers: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[UUID, UUID] = field(default_factory=dict)


def settle(session: Session, actor: Actor, case_id: UUID, decision: Decision) -> SiteCase:
    """Raises WrongState while readings are open or none is to settle, Refused for a reader, WrongAnswers for bad values."""
    case = locked_for(session, actor, Verb.ASSIGN, case_id)
    if case.state != CaseState.CURATING:
        raise WrongState(f"A case that is {case.state} cannot be edited.")
    every = session.exec(select(Read).where(Read.case_id == case.id).with_for_update()).all()
    waiting = {read.id: read for read in every if read.state == ReadState.SUBMITTED}
    if any(read.state in OPEN for read in every):
        raise WrongState("Some readings are still open; wait for them, or take them back.")
    if not waiting:
        raise WrongState("There is no reading to settle.")
    if any(read.reader_id == actor.user_id for read in every if read.state != ReadState.CANCELLED):
        raise Refused("Somebody who read the case cannot settle its readings.")
    known = {read.id for read in every if read.state in {ReadState.SUBMITTED, ReadState.ADJUDICATED}}
    if not set(decision.images.values()) <= known:
        raise Malformed("An ROI can only be taken over from a reading of this case.")
    _save_answers(session, actor, case, decision)
    for image_id, read_id in decision.images.items():
        _take_over(session, actor, case, image_id, read_id)
    for read in waiting.values():
        reads.move(session, actor, read, ReadState.ADJUDICATED)
    audit.record(
        session, actor, "case.adjudicated", case.id, readings=len(waiting), fields=len(decision.answers),
        images=len(decision.images),
    )  # fmt: skip
    return case


def _save_answers(session: Session, actor: Actor, case: SiteCase, decision: Decision) -> None:
    row = session.get(Form, case.id) or Form(case_id=case.id, version=0)
    before, _ = curation.present_form(session, case)
    organ = vocabulary.load(case.domain)
    manual = {
        spec.code: before[spec.code]["value"] for spec in organ.fields if spec.code in before and not spec.readonly
    }
    clean, _, problems = organ.check(manual | dict(decision.answers))
    if problems:
        raise curation.WrongAnswers(problems)
    row.version = curation.next_version(row.version, decision.version)
    values = curation.keep_settled(before, curation.filled(session, case, clean))
    for code in decision.answers:
        if code in values and values[code]["source"] == "manual":
            values[code] = values[code] | {"source": ADJUDICATED}
    row.values = values
    session.add(row)
    curation.keep_version(session, actor, case.id, ("form", case.id, row.version), row.values)


def _take_over(session: Session, actor: Actor, case: SiteCase, image_id: UUID, read_id: UUID) -> None:
    """The case's own ROIs on the image go, under a version of their own; copies of the reading's come."""
    image = next((one for one in case_queries.images_of(session, case.id) if one.id == image_id), None)
    if image is None:
        raise Malformed("This image is not of this case.")
    for old in case_queries.rois_of(session, case.id):
        if old.image_id == image.id:
            old.deleted, old.version = True, old.version + 1
            session.add(old)
            curation.keep_version(session, actor, case.id, ("roi", old.id, old.version), curation.roi_body(old))
    for roi in queries.rois_of(session, read_id):
        if roi.image_id == image.id:
            copy = Roi(**roi.model_dump(exclude={"id", "version"}) | {"id": uuid4(), "version": 1})
            drawing.settle(image, case.domain, copy)
            session.add(copy)
            session.flush()
            body = curation.roi_body(copy) | {"source": ADJUDICATED, "read_id": str(read_id)}
            curation.keep_version(session, actor, case.id, ("roi", copy.id, 1), body)
