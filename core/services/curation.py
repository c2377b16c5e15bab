"""What a curator says of a case: picks, form values and ROIs, each saved under a version of its own object."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session, func, select

from core import audit
from core.curation.beats import beats_of
from core.errors import Conflict, Malformed, NotFound, WrongState
from core.models.curation import Edit, Form, How, MaskState, Pick, Roi
from core.models.heart import FrameMarks
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.permissions import Actor, Verb, check
from core.queries import cases as queries
from core.services import defaults, drawing, heart
from core.services.cases import locked
from core.vocabulary import domain as vocabulary
from core.vocabulary.answers import Problem

REJECT_REASONS: Final = frozenset(
    {"no-lesion", "poor-quality", "duplicate", "not-ultrasound", "identifier-in-picture", "other-organ"}
)
EXCLUDE_REASONS: Final = frozenset(
    {"wrong-patient", "wrong-study", "no-usable-image", "other-organ", "diagnosis-unknown"}
)


class WrongAnswers(Malformed):
    """The form has answers that cannot be taken; nothing was saved."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.reason.en}" for problem in problems))
        self.problems = problems


def editable(session: Session, actor: Actor, case: SiteCase) -> SiteCase:
    """The case, locked, if this actor may curate it now."""
    check(actor, Verb.CURATE, case.domain)
    case = locked(session, case.id)
    check_editable(actor, case)
    return case


def check_editable(actor: Actor, case: SiteCase) -> None:
    """Raise Denied or WrongState unless this actor may curate the case as it was read; nothing is locked."""
    check(actor, Verb.CURATE, case.domain)
    if case.state != CaseState.CURATING:
        raise WrongState(f"A case that is {case.state} cannot be edited.")


def editable_image(session: Session, actor: Actor, image_id: UUID) -> SiteImage:
    """The image, with its case locked, if this actor may curate it now."""
    image, case = queries.readable_image(session, actor, image_id)
    editable(session, actor, case)
    if image.state != ImageState.STAGED or not image.frames:
        raise WrongState("This object has no picture that could be used.")
    return image


@dataclass(frozen=True)
class By:
    """Why a version is saved: something new, or the edit `of` taken back or done again."""

    how: How = How.DO
    of: UUID | None = None


NEW: Final = By()
# Sources of an answer that a person gave.
BY_PEOPLE: Final = frozenset({"manual", "adjudicated"})


def keep_version(
    session: Session,
    actor: Actor,
    case_id: UUID,
    name: tuple[str, UUID, int],
    body: dict[str, Any],
    by: By = NEW,
) -> None:
    """One saved version of one object, for its history and the audit; `name` is (kind, id of the object, version)."""
    if actor.user_id is None:
        raise NotFound
    kind, object_id, version = name
    session.add(
        Edit(case_id=case_id, kind=kind, object_id=object_id, version=version, body=body, by=actor.user_id,
             how=by.how, of=by.of)
    )  # fmt: skip
    audit.record(session, actor, f"{kind}.save", object_id, version=version)


def next_version(known: int, claimed: int) -> int:
    """The next version, if the editor saw the present one. Raises Conflict."""
    if known != claimed:
        raise Conflict(f"Someone else saved version {known} meanwhile; load it and decide.")
    return known + 1


def pick(session: Session, actor: Actor, image_id: UUID, picked: bool, reason: str | None, version: int) -> Pick:
    """Choose an image for registration, or reject it with a coded reason. `version` is the one the editor saw, 0 for none."""
    row = decide(session, actor, image_id, picked, reason, version)
    if row is None:
        raise NotFound
    return row


def decide(
    session: Session, actor: Actor, image_id: UUID, picked: bool | None, reason: str | None, version: int, by: By = NEW
) -> Pick | None:
    """As `pick`; None for `picked` takes the decision away again."""
    image = editable_image(session, actor, image_id)
    if picked is False and reason not in REJECT_REASONS:
        raise Malformed(f"A rejected image needs one of the reasons {', '.join(sorted(REJECT_REASONS))}.")
    row = session.get(Pick, image.id)
    known = next_version(row.version if row else 0, version) - 1
    # An image of which nobody has decided may have been decided before: its versions go on.
    number = max(known, _last_version(session, "pick", image.id)) + 1
    if picked is None:
        if row is not None:
            session.delete(row)
        row = None
    else:
        row = row or Pick(image_id=image.id, picked=picked)
        row.version, row.picked, row.reason = number, picked, None if picked else reason
        session.add(row)
    body = {"picked": picked, "reason": row.reason if row else None}
    keep_version(session, actor, image.case_id, ("pick", image.id, number), body, by)
    return row


def _last_version(session: Session, kind: str, object_id: UUID) -> int:
    same = select(func.max(Edit.version)).where(Edit.kind == kind, Edit.object_id == object_id)
    return session.exec(same).one() or 0


def pick_once(session: Session, actor: Actor, image_id: UUID, picked: bool, reason: str | None, version: int) -> Pick:
    """As `pick`, for a sender that may ask twice: the same decision, if it is there already, is the answer."""
    image = editable_image(session, actor, image_id)
    known = session.get(Pick, image.id)
    if known is not None and (known.picked, known.reason) == (picked, None if picked else reason):
        return known
    return pick(session, actor, image_id, picked, reason, version)


def pick_confirmed(session: Session, actor: Actor, case_id: UUID) -> int:
    """Pick every image whose mask is confirmed and of which nobody has decided yet; returns how many."""
    case = editable(session, actor, queries.readable_case(session, actor, case_id))
    picks, masks = queries.picks_of(session, case.id), queries.masks_of(session, case.id)
    waiting = [
        image_id for image_id, mask in masks.items() if mask.state == MaskState.CONFIRMED and image_id not in picks
    ]
    for image_id in waiting:
        pick(session, actor, image_id, True, None, 0)
    return len(waiting)


def save_form(
    session: Session, actor: Actor, case_id: UUID, values: Mapping[str, Any], version: int, by: By = NEW
) -> Form:
    """Replace the manual values of the form; what tags say and what follows from the values is filled in again.

    Raises WrongAnswers naming each field that is wrong; fields that are missing are gaps, not errors."""
    case = editable(session, actor, queries.readable_case(session, actor, case_id))
    organ = vocabulary.load(case.domain)
    clean, _, problems = organ.check(values)
    if problems:
        raise WrongAnswers(problems)
    row = session.get(Form, case.id) or Form(case_id=case.id, version=0)
    before, _ = present_form(session, case)
    row.version = next_version(row.version, version)
    row.values = keep_settled(row.values, filled(session, case, _by_hand(clean, before)))
    defaults.remember(session, actor, organ, before, row.values)
    session.add(row)
    keep_version(session, actor, case.id, ("form", case.id, row.version), row.values, by)
    return row


def _by_hand(values: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What a person has entered: a value that a tag filled in and that nobody changed is read from the tags again."""
    return {
        field: value
        for field, value in values.items()
        if (before.get(field, {}).get("source"), before.get(field, {}).get("value")) != ("tag", value)
    }


def kept_answers(session: Session, actor: Actor, case_id: UUID, fields: Collection[str]) -> dict[str, Any]:
    """{field: what a person answered} of these fields, as it is saved now."""
    entries, _ = present_form(session, queries.readable_case(session, actor, case_id))
    return {code: entry["value"] for code, entry in entries.items() if code in fields and entry["source"] in BY_PEOPLE}


def keep_settled(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What second readings settled keeps saying so, as long as nobody answers otherwise."""
    kept = {
        code: entry
        for code, entry in before.items()
        if entry["source"] == "adjudicated" and after.get(code, {}).get("value") == entry["value"]
    }
    return {**after, **kept}


def filled(
    session: Session, case: SiteCase, manual: Mapping[str, Any], there: queries.Shown | None = None
) -> dict[str, Any]:
    """{field: {"value", "source", "tag"}}: tags first, manual values over them, then what is derived."""
    organ = vocabulary.load(case.domain)
    entries: dict[str, Any] = {}
    for facts in _facts_of(there or queries.shown_of(session, case.id)):
        for field, found in organ.autofill(facts).items():
            entries.setdefault(field, {"value": found.value, "source": "tag", "tag": found.source_tag})
    for field, value in manual.items():
        if entries.get(field, {}).get("value") != value:
            entries[field] = {"value": value, "source": "manual", "tag": None}
    entries |= heart.from_contours(session, case, manual)
    for field, value in organ.derive({name: entry["value"] for name, entry in entries.items()}).items():
        entries.setdefault(field, {"value": value, "source": "derived", "tag": None})
    return entries


def _facts_of(there: queries.Shown) -> list[dict[str, Any]]:
    """Facts of the usable images, the picked ones first."""
    picked = {image.id for image in there.picked}
    images = [image for image in there.images if image.state == ImageState.STAGED and image.frames]
    images.sort(key=lambda image: (image.id not in picked, image.number))
    return [image.facts for image in images]


def present_form(session: Session, case: SiteCase, there: queries.Shown | None = None) -> tuple[dict[str, Any], int]:
    """(entries, version): what is saved, or what the tags alone would fill (version 0)."""
    row = queries.form_of(session, case.id)
    return (row.values, row.version) if row else (filled(session, case, {}, there), 0)


def add_roi(session: Session, actor: Actor, image_id: UUID, given: Roi) -> Roi:
    """A new object on an image: `given` carries its use, kind, keyframes, label, lesion id and margin in pixels; without
    keyframes it is the rectangle of its frame (from 1), x, y, width, height. Raises Malformed."""
    image = editable_image(session, actor, image_id)
    drawing.settle(image, _domain_of(session, image), given)
    given.image_id, given.version = image.id, 1
    session.add(given)
    session.flush()
    keep_version(session, actor, image.case_id, ("roi", given.id, 1), roi_body(given))
    return given


def change_roi(
    session: Session, actor: Actor, roi_id: UUID, change: Mapping[str, Any], version: int, by: By = NEW
) -> Roi:
    """Change or delete (`{"deleted": True}`) an ROI under its version."""
    roi = session.get(Roi, roi_id)
    if roi is None:
        raise NotFound
    image = editable_image(session, actor, roi.image_id)
    roi.version = next_version(roi.version, version)
    drawing.changed(roi, change)
    drawing.settle(image, _domain_of(session, image), roi)
    session.add(roi)
    keep_version(session, actor, image.case_id, ("roi", roi.id, roi.version), roi_body(roi), by)
    return roi


def roi_body(roi: Roi) -> dict[str, Any]:
    return roi.model_dump(mode="json", exclude={"id", "image_id", "version"})


def _domain_of(session: Session, image: SiteImage) -> str:
    return session.get_one(SiteCase, image.case_id).domain


def mark_frames(
    session: Session, actor: Actor, image_id: UUID, view: str | None, beats: Sequence[Any], version: int, by: By = NEW
) -> FrameMarks:
    """Say which view of the heart a cine shows and which frames end its diastoles and systoles. `version` is the one the
    editor saw, 0 for none; `beats` [[ED, ES], ...] as `core.curation.beats` takes them. Raises Malformed."""
    image = editable_image(session, actor, image_id)
    if view is not None and view not in {option.code for option in heart.views()}:
        raise Malformed("There is no such view of the heart.")
    row = session.get(FrameMarks, image.id) or FrameMarks(image_id=image.id, version=0)
    row.version = next_version(row.version, version)
    row.view, row.beats = view, [list(beat) for beat in beats_of(beats, image.frames)]
    session.add(row)
    body = {"view": row.view, "beats": row.beats}
    keep_version(session, actor, image.case_id, ("marks", image.id, row.version), body, by)
    return row
