"""One step with many cases: each is taken or refused by itself, and what was refused says why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlmodel import Session, col

from core.errors import AppError, Malformed
from core.models.sitecase import SiteCase
from core.node import SiteNode
from core.permissions import Actor, Verb
from core.queries.cases import readable_cases
from core.services import curation, steps

STEPS: Final[dict[str, steps.Step]] = {"retry": "retry", "cancel": "cancel", "exclude": "exclude", "unflag": "unflag"}
RIGHTS: Final[dict[str, Verb]] = {
    "retry": Verb.RETRIEVE,
    "cancel": Verb.RETRIEVE,
    "exclude": Verb.CURATE,
    "unflag": Verb.FLAG,
}
MOST: Final = 200


@dataclass(frozen=True)
class Outcome:
    """The numbers of the cases that took the step; of the others (number, reason), without a number if it is not known."""

    step: str
    done: Sequence[int]
    refused: Sequence[tuple[int | None, str]]


def take(
    node: SiteNode, session: Session, actor: Actor, step: str, case_ids: Iterable[UUID], reason: str | None = None
) -> Outcome:
    """Raises Malformed for a step or reason that is none, and for no case at all."""
    chosen = sorted(set(case_ids))  # one order for everybody: two people cannot wait for each other
    if step not in STEPS:
        raise Malformed("There is no such step.")
    if not chosen:
        raise Malformed("Mark the cases first.")
    if len(chosen) > MOST:
        raise Malformed(f"At most {MOST} cases at once.")
    if step == "exclude" and reason not in curation.EXCLUDE_REASONS:
        raise Malformed("Excluding needs a reason.")
    rows = session.exec(readable_cases(actor).where(col(SiteCase.id).in_(chosen))).all()
    numbers = {row.id: row.number for row in rows}
    done, refused = [], []
    for case_id in chosen:
        try:
            with session.begin_nested():
                steps.take(node, session, actor, case_id, STEPS[step], reason)
        except AppError as exc:
            refused.append((numbers.get(case_id), exc.message))
        else:
            done.append(numbers[case_id])
    return Outcome(step, sorted(done), sorted(refused, key=lambda one: one[0] or 0))
