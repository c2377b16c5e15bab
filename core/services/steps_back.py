"""Undo and redo of what a person saved in a case, from its saved versions; and any earlier version as a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session, col, select

from core.errors import Conflict, NotFound, WrongState
from core.models.curation import Edit, How, Pick, Roi
from core.models.heart import FrameMarks
from core.models.sitecase import SiteCase
from core.permissions import Actor
from core.queries import cases as queries
from core.services import curation, drawing
from core.services.curation import By

_OF_ROI: Final = (*drawing.PLACE, "label", "margin", "deleted")


@dataclass(frozen=True)
class Step:
    """What was done: the new version, and whether this person has more to undo or redo."""

    edit: Edit
    can_undo: bool
    can_redo: bool


def undo(session: Session, actor: Actor, case_id: UUID) -> Step:
    """Take back this person's latest edit of the case: its object gets the body of before, as a new version.

    Raises WrongState where there is none, and Conflict where somebody else changed the same object since."""
    case = _open(session, actor, case_id)
    done, _ = stacks(own_edits(session, actor, case.id))
    if not done:
        raise WrongState("There is nothing to undo.")
    last = done[-1]
    _still(session, last)
    return _apply(session, actor, case, last, _before(session, last), By(How.UNDO, last.id))


def redo(session: Session, actor: Actor, case_id: UUID) -> Step:
    """Do again what this person undid last, as long as they have saved nothing else. Raises as `undo`."""
    case = _open(session, actor, case_id)
    _, undone = stacks(own_edits(session, actor, case.id))
    if not undone:
        raise WrongState("There is nothing to redo.")
    last = undone[-1]
    taken_back = session.exec(
        select(Edit).where(Edit.of == last.id, Edit.how == How.UNDO).order_by(col(Edit.id).desc()).limit(1)
    ).one()
    _still(session, taken_back)
    return _apply(session, actor, case, last, last.body, By(How.REDO, last.id))


def restore(session: Session, actor: Actor, case_id: UUID, edit_id: UUID, seen: int) -> Step:
    """The object as it was in an earlier version, as a new one. `seen` is the version that the person saw as present.

    Raises Conflict where there is a newer one."""
    case = _open(session, actor, case_id)
    edit = edit_in(session, case.id, edit_id)
    if newest(session, edit).version != seen:
        raise Conflict("Somebody else saved this meanwhile; look at it again.")
    return _apply(session, actor, case, edit, edit.body, By())


def can(session: Session, actor: Actor, case_id: UUID) -> tuple[bool, bool]:
    """Whether this person has something to (undo, redo) in the case."""
    done, undone = stacks(own_edits(session, actor, case_id))
    return bool(done), bool(undone)


def own_edits(session: Session, actor: Actor, case_id: UUID) -> Sequence[Edit]:
    """What this person saved in the case, in its order."""
    statement = select(Edit).where(Edit.case_id == case_id, Edit.by == actor.user_id)
    return session.exec(statement.order_by(col(Edit.at), col(Edit.id))).all()


def stacks(edits: Sequence[Edit]) -> tuple[list[Edit], list[Edit]]:
    """(what can be undone, what can be redone), the next one last. A new edit leaves nothing to redo."""
    known = {edit.id: edit for edit in edits}
    done: list[Edit] = []
    undone: list[Edit] = []
    for edit in edits:
        of = known.get(edit.of) if edit.of else None
        if edit.how == How.UNDO and of in done:
            done.remove(of)
            undone.append(of)
        elif edit.how == How.REDO and of in undone:
            undone.remove(of)
            done.append(of)
        elif edit.how == How.DO:
            done.append(edit)
            undone.clear()
    return done, undone


def edit_in(session: Session, case_id: UUID, edit_id: UUID) -> Edit:
    """The saved version, if it is one of this case. Raises NotFound."""
    edit = session.get(Edit, edit_id)
    if edit is None or edit.case_id != case_id:
        raise NotFound
    return edit


def newest(session: Session, edit: Edit) -> Edit:
    """The present version of the object that this one is a version of."""
    same = select(Edit).where(Edit.kind == edit.kind, Edit.object_id == edit.object_id)
    return session.exec(same.order_by(col(Edit.version).desc()).limit(1)).one()


def _open(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    return curation.editable(session, actor, queries.readable_case(session, actor, case_id))


def _before(session: Session, edit: Edit) -> Mapping[str, Any] | None:
    """The body that the object had before; None where it was not there."""
    earlier = select(Edit).where(
        Edit.kind == edit.kind, Edit.object_id == edit.object_id, col(Edit.version) < edit.version
    )
    found = session.exec(earlier.order_by(col(Edit.version).desc()).limit(1)).first()
    return found.body if found else None


def _still(session: Session, edit: Edit) -> None:
    """Raise Conflict unless the object is as this version left it."""
    if not _alike(edit.kind, edit.body, newest(session, edit).body):
        raise Conflict("Somebody else changed the same thing after you; look at the history of the case.")


def _alike(kind: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if kind == "form":
        return _answers(one) == _answers(other)
    # A version of before says less: what it does not say cannot differ.
    return all(other.get(name) == value for name, value in one.items())


def _answers(body: Mapping[str, Any]) -> dict[str, Any]:
    return {code: entry["value"] for code, entry in body.items() if entry["value"] is not None}


def _apply(session: Session, actor: Actor, case: SiteCase, edit: Edit, body: Mapping[str, Any] | None, by: By) -> Step:
    """The object of this edit with that body, as a new version."""
    if edit.kind == "form":
        entries = (body or {}).items()
        manual = {code: entry["value"] for code, entry in entries if entry["source"] in curation.BY_PEOPLE}
        _, present = curation.present_form(session, case)
        curation.save_form(session, actor, case.id, manual, present, by)
    elif edit.kind == "pick":
        row = session.get(Pick, edit.object_id)
        picked = body["picked"] if body else None
        reason = body["reason"] if body else None
        curation.decide(session, actor, edit.object_id, picked, reason, row.version if row else 0, by)
    elif edit.kind == "marks":
        marks, then = session.get_one(FrameMarks, edit.object_id), body or {"view": None, "beats": []}
        curation.mark_frames(session, actor, edit.object_id, then["view"], then["beats"], marks.version, by)
    else:
        roi = session.get_one(Roi, edit.object_id)
        change = {"deleted": True} if body is None else _change(body)
        curation.change_roi(session, actor, roi.id, change, roi.version, by)
    session.flush()
    return Step(newest(session, edit), *can(session, actor, case.id))


def _change(body: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: body[name] for name in _OF_ROI if name in body}
    return kept | {"lesion_id": UUID(str(body["lesion_id"]))}
