"""The counts of the home page; each is of what the person may see, and None where they may see nothing of the kind."""

from sqlmodel import Session, func, select

from core.models.archive import Study
from core.models.sitecase import CaseState
from core.permissions import Actor, Verb
from core.queries.cases import readable_cases


def cases_by_state(session: Session, actor: Actor) -> list[tuple[CaseState, int]] | None:
    """In the order of a case's life; a state without a case counts 0."""
    if not actor.may(Verb.SEE_CASES):
        return None
    readable = readable_cases(actor).subquery()
    found = {
        CaseState(s): n for s, n in session.exec(select(readable.c.state, func.count()).group_by(readable.c.state))
    }
    return [(state, found.get(state, 0)) for state in CaseState]


def studies(session: Session, actor: Actor) -> int | None:
    """Studies in the archive of a `pacs`, which has no organ domains."""
    if not actor.may(Verb.DICOM_READ):
        return None
    return session.exec(select(func.count()).select_from(Study)).one()
