"""What was done to a case, newest first: each saved version of its form, picks, ROIs and masks, as what changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session, col, select

from core.models.curation import Edit, ImageMask, Roi
from core.models.people import User
from core.models.sitecase import SiteCase, SiteImage
from core.permissions import Actor
from core.queries import cases as queries
from core.queries.case_words import label_of, words_of
from core.services.drawing import PLACE
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import Label

MOST: Final = 200
_PLACE: Final = (*PLACE, "margin")


@dataclass(frozen=True)
class Change:
    """One field that became something else; an empty list is no answer."""

    label: Label
    before: list[Label]
    after: list[Label]


@dataclass(frozen=True)
class Event:
    """One saved version. `what` is a word for the page: form, picked, rejected, drawn, moved,
    renamed, deleted, marked, masked, confirmed."""

    at: datetime
    by: str | None
    what: str
    image: int | None = None
    version: int = 0
    changes: tuple[Change, ...] = ()
    reason: str | None = None
    label: Label | None = None
    count: int = 0
    id: UUID | None = None
    how: str | None = None
    use: str | None = None


def history_page(session: Session, actor: Actor, case_id: UUID) -> dict[str, Any]:
    """Raises NotFound for a case that is unknown or not the actor's."""
    case = queries.readable_case(session, actor, case_id)
    images = {image.id: image for image in queries.images_of(session, case.id)}
    rois = session.exec(select(Roi).where(col(Roi.image_id).in_(images))).all()
    edits = queries.history(session, [case.id, *images, *(roi.id for roi in rois)])
    masks = session.exec(select(ImageMask).where(col(ImageMask.image_id).in_(images))).all()
    names = _names(session, {edit.by for edit in edits} | {m.confirmed_by for m in masks if m.confirmed_by})
    events = [*_edits(case, images, rois, edits, names), *_masks(images, masks, names)]
    events.sort(key=lambda event: event.at, reverse=True)
    return {"case": case, "events": events[:MOST], "is_cut": len(events) > MOST}


def _names(session: Session, ids: set[UUID]) -> dict[UUID, str]:
    return {user.id: user.name for user in session.exec(select(User).where(col(User.id).in_(ids)))}


def _edits(
    case: SiteCase,
    images: Mapping[UUID, SiteImage],
    rois: Sequence[Roi],
    edits: Sequence[Edit],
    names: Mapping[UUID, str],
) -> list[Event]:
    image_of = {roi.id: images[roi.image_id].number for roi in rois}
    earlier = {(edit.kind, edit.object_id, edit.version): edit.body for edit in edits}
    found = []
    for edit in edits:
        before = earlier.get((edit.kind, edit.object_id, edit.version - 1), {})
        by = names.get(edit.by)
        if edit.kind == "form":
            changes = _changes(case.domain, before, edit.body)
            found.append(Event(edit.at, by, "form", None, edit.version, changes))
        elif edit.kind == "pick":
            what = {True: "picked", False: "rejected", None: "undecided"}[edit.body["picked"]]
            number = images[edit.object_id].number
            found.append(Event(edit.at, by, what, number, edit.version, reason=edit.body.get("reason")))
        elif edit.kind == "marks":
            number, count = images[edit.object_id].number, len(edit.body["beats"])
            found.append(Event(edit.at, by, "marked", number, edit.version, count=count))
        else:
            label = next(iter(words_of(vocabulary.load(case.domain), "diagnosis", edit.body["label"])), None)
            what = _what_of_roi(before, edit.body)
            found.append(
                Event(edit.at, by, what, image_of[edit.object_id], edit.version, label=label, use=edit.body.get("use"))
            )
    return [replace(event, id=edit.id, how=edit.how) for event, edit in zip(found, edits, strict=True)]


def _what_of_roi(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    if after.get("deleted"):
        return "deleted"
    if not before or before.get("deleted"):
        return "drawn"
    # What was saved before there were keyframes says its box alone.
    return "moved" if any(name in before and before[name] != after.get(name) for name in _PLACE) else "renamed"


def _changes(domain: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """What a person changed; what follows from it is not told again, nor what tags filled in at the first save."""
    organ = vocabulary.load(domain)
    found = []
    for code in (spec.code for spec in organ.fields):
        old, new = before.get(code, {}), after.get(code, {})
        is_by_hand = {"manual", "adjudicated"} & {old.get("source"), new.get("source")}
        if is_by_hand and old.get("value") != new.get("value"):
            found.append(
                Change(
                    label_of(organ, code),
                    words_of(organ, code, old.get("value")),
                    words_of(organ, code, new.get("value")),
                )
            )
    return tuple(found)


def _masks(images: Mapping[UUID, SiteImage], masks: Sequence[ImageMask], names: Mapping[UUID, str]) -> list[Event]:
    found = []
    for mask in masks:
        number = images[mask.image_id].number
        found.append(Event(mask.created_at, None, "masked", number, mask.revision, count=len(mask.rects)))
        if mask.confirmed_at is not None:
            by = names.get(mask.confirmed_by) if mask.confirmed_by else None
            found.append(Event(mask.confirmed_at, by, "confirmed", number, mask.revision))
    return found
