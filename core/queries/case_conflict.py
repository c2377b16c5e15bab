"""Two people answered the same form: what differs, field by field, with a proposal from the version both began with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from core.models.curation import Edit
from core.models.people import User
from core.models.sitecase import SiteCase
from core.permissions import Actor
from core.queries import cases as queries
from core.queries.case_form import saved_last
from core.queries.case_words import label_of, words_of
from core.services import curation
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import Label


@dataclass(frozen=True)
class Difference:
    """One field: what is saved and what this person has; `is_theirs` proposes the side that changed it."""

    code: str
    label: Label
    theirs: list[Label]
    yours: list[Label]
    their_value: Any
    is_theirs: bool

    @property
    def their_values(self) -> list[str]:
        """As the fields of a plain form."""
        return plain_values(self.their_value)


def plain_values(value: Any) -> list[str]:  # noqa: ANN401 -- any answer
    """An answer as the values of a plain form's field."""
    if value is None:
        return []
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def conflict_page(session: Session, actor: Actor, case_id: UUID, yours: Mapping[str, Any], seen: int) -> dict[str, Any]:
    """`yours` are the answers of a form that began with the version `seen`. No differences: nothing is to be decided."""
    case = queries.readable_case(session, actor, case_id)
    organ = vocabulary.load(case.domain)
    entries, version = curation.present_form(session, case)
    clean, _, _ = organ.check({code: value for code, value in yours.items() if not _is_read_only(organ, code)})
    mine = curation.filled(session, case, clean)
    began = _version(session, case, seen)
    differences = []
    for spec in organ.fields:
        their, my, old = (_value(side, spec.code) for side in (entries, mine, began))
        if spec.type != "text" and their != my:
            theirs, own = words_of(organ, spec.code, their), words_of(organ, spec.code, my)
            differences.append(
                Difference(spec.code, label_of(organ, spec.code), theirs, own, their, is_theirs=my == old)
            )
    by, at = saved_last(session, case)
    return {"case": case, "version": version, "differences": differences, "by": by, "at": at, "entries": entries}


@dataclass(frozen=True)
class LastSaved:
    """Who saved the present version of an object, and when."""

    user_id: UUID
    name: str
    at: datetime


def last_saved(session: Session, object_id: UUID) -> LastSaved:
    """Of an object that has been saved once at least."""
    statement = select(Edit, User).join(User, col(User.id) == Edit.by).where(Edit.object_id == object_id)
    edit, user = session.exec(statement.order_by(col(Edit.version).desc()).limit(1)).one()
    return LastSaved(user.id, user.name, edit.at)


def _is_read_only(organ: vocabulary.Domain, code: str) -> bool:
    return any(spec.code == code and spec.readonly for spec in organ.fields)


def _value(entries: Mapping[str, Any], code: str) -> Any:  # noqa: ANN401 -- any answer
    return entries.get(code, {}).get("value")


def _version(session: Session, case: SiteCase, version: int) -> Mapping[str, Any]:
    """The form as it was in a version; version 0 is what the tags fill in."""
    statement = select(Edit).where(Edit.kind == "form", Edit.object_id == case.id, Edit.version == version)
    edit = session.exec(statement).first()
    return edit.body if edit else curation.filled(session, case, {})
