"""Second readings of many cases at once: marked in the worklist, given to the same readers."""

from dataclasses import dataclass, field
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlmodel import Session, col
from starlette.responses import Response

from core.errors import AppError, Malformed
from core.models.people import User
from core.models.sitecase import SiteCase
from core.permissions import Actor, Verb
from core.queries.cases import readable_cases
from core.queries.reads import readers_for
from core.services import reads
from core.services.bulk import MOST
from web.deps import FormDep, SessionDep, may
from web.pages.case_reads import day_of, ids_of
from web.render import page

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)


@dataclass
class Outcome:
    """How many readings were assigned; of the others the case's number and why not."""

    assigned: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)


@router.post("/reads/assign")
def assign_many_reads(
    request: Request, session: SessionDep, actor: Annotated[Actor, may(Verb.ASSIGN)], fields: FormDep
) -> Response:
    """First who is to read the marked cases; with readers chosen, what became of each case."""
    outcome, problem, chosen = None, None, []
    try:
        chosen = _cases(session, actor, ids_of(fields.many("case")))
        if "due" in fields:
            outcome = _assign(session, actor, chosen, fields)
    except Malformed as wrong:
        problem = wrong.message
    people = sorted(
        {user.id: user for case in chosen for user in readers_for(session, case.domain)}.values(), key=_name
    )
    values = {"actor": actor, "cases": chosen, "people": people, "outcome": outcome, "problem": problem}
    return page(request, "reads_assign.html", values, 422 if problem else 200)


def _name(user: User) -> str:
    return user.name


def _cases(session: Session, actor: Actor, case_ids: list[UUID]) -> list[SiteCase]:
    if not case_ids:
        raise Malformed("Mark the cases first.")
    if len(case_ids) > MOST:
        raise Malformed(f"At most {MOST} cases at once.")
    found = session.exec(readable_cases(actor).where(col(SiteCase.id).in_(case_ids)).order_by(col(SiteCase.number)))
    return [case for case in found if actor.may(Verb.ASSIGN, case.domain)]


def _assign(session: Session, actor: Actor, cases: list[SiteCase], fields: FormDep) -> Outcome:
    """Each case and reader for itself: one who knows a case does not keep the others from it."""
    readers, due = ids_of(fields.many("reader")), day_of(fields["due"])
    if not readers:
        raise Malformed("Choose who reads the case.")
    outcome = Outcome()
    for case in cases:
        for reader_id in readers:
            try:
                with session.begin_nested():
                    outcome.assigned += len(reads.assign(session, actor, case.id, [reader_id], due))
            except AppError as refused:
                outcome.refused.append((case.number, refused.message))
    return outcome
