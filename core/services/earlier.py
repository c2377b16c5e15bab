"""The other cases of a patient at this site, found through the vault: case numbers and codes, never a name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from core import audit
from core.errors import NotFound
from core.models.curation import Form
from core.models.sitecase import SiteCase
from core.node import SiteNode
from core.permissions import Actor
from core.queries.case_words import words_of
from core.queries.cases import readable_case, readable_cases
from core.queries.worklist import one_of
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import Label


@dataclass(frozen=True)
class EarlierCase:
    """One other case; `diagnosis` is what its form says so far."""

    case: SiteCase
    diagnosis: tuple[Label, ...]


def earlier_cases(node: SiteNode, session: Session, actor: Actor, case_id: UUID) -> tuple[SiteCase, list[EarlierCase]]:
    """(the case, the same person's other cases that this actor may read, newest first).

    Raises NotFound for a case that is unknown or not the actor's. A person whom the vault has forgotten has none."""
    case = readable_case(session, actor, case_id)
    try:
        same = [one for one in node.vault.same_person(case.id) if one != case.id]
    except NotFound:
        same = []
    others = session.exec(readable_cases(actor).where(one_of(same)).order_by(col(SiteCase.number).desc())).all()
    answers = _answers(session, [other.id for other in others])
    audit.record_read(session, actor, "case.earlier", case.id)
    return case, [EarlierCase(other, _diagnosis(other, answers.get(other.id, {}))) for other in others]


def _answers(session: Session, case_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    return {form.case_id: form.values for form in session.exec(select(Form).where(col(Form.case_id).in_(case_ids)))}


def _diagnosis(case: SiteCase, entries: dict[str, Any]) -> tuple[Label, ...]:
    try:
        organ = vocabulary.load(case.domain)
    except NotFound:  # an organ that this site once had
        return ()
    return tuple(words_of(organ, organ.source, entries.get(organ.source, {}).get("value")))
