"""One saved version beside the present one: fields of the form, the decision on an image, or an ROI with its outlines."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session

from core.curation.shapes import Shape
from core.curation.tracks import Track, interpolate
from core.models.curation import Edit, Roi
from core.models.people import User
from core.models.sitecase import CaseState, SiteImage
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.queries.case_words import label_of, words_of
from core.services import drawing, heart, steps_back
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import Label

Body = Mapping[str, Any]
_VIEW: Final = Label(ja="断面", en="View")
_BEATS: Final = Label(ja="心拍", en="Beats")


@dataclass(frozen=True)
class Row:
    """One field of the form, as it was and as it is; an empty list is no answer."""

    label: Label
    then: list[Label]
    now: list[Label]

    @property
    def differs(self) -> bool:
        return self.then != self.now


@dataclass(frozen=True)
class Drawn:
    """An ROI in one of the versions; `track` is None where it was deleted."""

    track: Track | None
    words: Label | None
    body: Body

    def on(self, frame: int) -> Shape | None:
        return interpolate(self.track, frame) if self.track else None


@dataclass(frozen=True)
class Saved:
    """A version: its number, who saved it and when."""

    version: int
    by: str
    at: datetime


def version_page(session: Session, actor: Actor, case_id: UUID, edit_id: UUID) -> dict[str, Any]:
    """Raises NotFound for a case that is not the actor's and for an edit that is not of this case."""
    case = queries.readable_case(session, actor, case_id)
    edit = steps_back.edit_in(session, case.id, edit_id)
    present = steps_back.newest(session, edit)
    is_open = case.state == CaseState.CURATING and actor.may(Verb.CURATE, case.domain)
    found = {
        "case": case,
        "edit": edit,
        "then": _saved(session, edit),
        "now": _saved(session, present),
        "may_restore": is_open and present.id != edit.id,
        "may_see_pixels": actor.may(Verb.SEE_PIXELS, case.domain),
    }
    if edit.kind == "form":
        return found | {"rows": rows_of(case.domain, edit.body, present.body)}
    if edit.kind == "pick":
        image = session.get_one(SiteImage, edit.object_id)
        return found | {"image": image, "decisions": (edit.body, present.body)}
    if edit.kind == "marks":
        image = session.get_one(SiteImage, edit.object_id)
        return found | {"image": image, "rows": marks_of(edit.body, present.body)}
    image = session.get_one(SiteImage, session.get_one(Roi, edit.object_id).image_id)
    return found | {"image": image, "drawn": tuple(_drawn(case.domain, one) for one in (edit, present))}


def _saved(session: Session, edit: Edit) -> Saved:
    return Saved(edit.version, session.get_one(User, edit.by).name, edit.at)


def rows_of(domain: str, then: Body, now: Body) -> list[Row]:
    """Every field with an answer in one of the versions, those that differ first."""
    organ = vocabulary.load(domain)
    found = []
    for spec in organ.fields:
        old, new = (side.get(spec.code, {}).get("value") for side in (then, now))
        row = Row(label_of(organ, spec.code), words_of(organ, spec.code, old), words_of(organ, spec.code, new))
        if row.then or row.now:
            found.append(row)
    return sorted(found, key=lambda row: not row.differs)


def marks_of(then: Body, now: Body) -> list[Row]:
    """The view of the heart and the beats, each as its frames of end diastole and end systole."""
    names = {option.code: option.label for option in heart.views()}
    views = [[names[side["view"]]] if side["view"] else [] for side in (then, now)]
    beats = [[_beat(*beat) for beat in side["beats"]] for side in (then, now)]
    return [Row(_VIEW, *views), Row(_BEATS, *beats)]


def _beat(diastole: int | None, systole: int | None) -> Label:
    words = f"ED {diastole or '–'} · ES {systole or '–'}"
    return Label(ja=words, en=words)


def _drawn(domain: str, edit: Edit) -> Drawn:
    body = edit.body
    if body.get("deleted"):
        return Drawn(None, None, body)
    known = {name: body[name] for name in drawing.PLACE if name in body}
    roi = Roi(image_id=edit.object_id, lesion_id=UUID(str(body["lesion_id"])), label=body["label"], margin=0, **known)
    words = next(iter(words_of(vocabulary.load(domain), "diagnosis", body["label"])), None)
    return Drawn(drawing.track_of(roi), words, body)
