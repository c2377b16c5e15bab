"""Flag a case, and move it: every change of state is one row in the table of moves, one check, one audit event."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from core import audit
from core.clock import now_utc
from core.errors import Denied, NotFound, Refused, WrongState
from core.ids import uuid7
from core.models.sitecase import CASE_MOVES, RETROSPECTIVE, CaseState, SiteCase, SiteImage
from core.node import SiteNode
from core.permissions import Actor, Verb, check
from core.queries.cases import readable_case
from core.vault import Identity

MERGEABLE = frozenset(CaseState) - {CaseState.WITHDRAWN, CaseState.EXCLUDED}


@dataclass(frozen=True)
class FlagRequest:
    """What names one study: the chart ID, and the study by accession number or Study Instance UID."""

    chart_id: str
    domain: str
    accession: str | None = None
    study_uid: str | None = None
    route: str = "rest"
    deferred_until: datetime | None = None


def move(session: Session, actor: Actor, case: SiteCase, to: CaseState, **detail: str | int) -> None:
    """Change the state of a case. Raises WrongState when the table has no such move."""
    if to not in CASE_MOVES[CaseState(case.state)]:
        raise WrongState(f"A case that is {case.state} cannot become {to}.")
    audit.record(session, actor, f"case.{to.lower()}", case.id, before=case.state, after=to, **detail)
    case.state = to


def locked(session: Session, case_id: UUID) -> SiteCase:
    """The case, locked until the end of the transaction."""
    # What this session saw of the case before the lock may be old.
    statement = select(SiteCase).where(SiteCase.id == case_id).with_for_update()
    case = session.exec(statement.execution_options(populate_existing=True)).first()
    if case is None:
        raise NotFound
    return case


def locked_for(session: Session, actor: Actor, verb: Verb, case_id: UUID) -> SiteCase:
    """The case, locked, for an actor who may do `verb` in its domain; unknown and forbidden look the same."""
    case = readable_case(session, actor, case_id)
    check(actor, verb, case.domain)
    return locked(session, case.id)


def check_flag(node: SiteNode, actor: Actor, request: FlagRequest) -> None:
    """Raise Denied for a domain that is not the actor's, Refused for an opted-out patient or an unusable chart ID."""
    check(actor, Verb.FLAG, request.domain)
    if request.domain not in node.settings.domains:
        raise Refused("This site does not collect that organ domain.")
    if not request.accession and not request.study_uid:
        raise Refused("A flag needs an accession number or a Study Instance UID beside the chart ID.")
    node.check_ethics()
    if node.vault.is_opted_out(chart_id=request.chart_id):
        node.audit_now(actor, "case.flag-refused", reason="opt-out")
        raise Refused("This patient has opted out; nothing was kept.")


def flag(node: SiteNode, session: Session, actor: Actor, request: FlagRequest) -> tuple[SiteCase, bool]:
    """(case, whether it is new). The identifiers go sealed into the vault first: an orphan vault row is harmless. Raises as check_flag."""
    check_flag(node, actor, request)
    if merged := known(node, session, request):
        audit.record(session, actor, "case.flag-merged", merged.id)
        return merged, False
    case_id = uuid7()
    node.vault.seal(
        case_id, Identity(chart_id=request.chart_id, accession=request.accession, study_uid=request.study_uid)
    )
    state = CaseState.DEFERRED if request.deferred_until else CaseState.QUEUED
    case = SiteCase(
        id=case_id,
        domain=request.domain,
        state=state,
        route=request.route,
        flagged_by=_user(actor),
        not_before=request.deferred_until,
    )
    session.add(case)
    session.flush()
    audit.record(session, actor, "case.flag", case.id, after=state, route=request.route)
    return case, True


def _user(actor: Actor) -> UUID:
    if actor.user_id is None:
        raise Denied("Only a person can do this.")
    return actor.user_id


def known(node: SiteNode, session: Session, request: FlagRequest) -> SiteCase | None:
    """The case that this flag would double: same patient, same study, same domain."""
    ids = set(node.vault.find(chart_id=request.chart_id))
    same = set(node.vault.find(study_uid=request.study_uid)) if request.study_uid else set()
    same |= set(node.vault.find(accession=request.accession)) if request.accession else set()
    statement = select(SiteCase).where(
        col(SiteCase.id).in_(ids & same), SiteCase.domain == request.domain, col(SiteCase.state).in_(MERGEABLE)
    )
    return session.exec(statement).first()


def unflag(node: SiteNode, session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """Take a flag back before its retrieval has begun; the identifiers are forgotten."""
    case = locked_for(session, actor, Verb.FLAG, case_id)
    if case.state not in {CaseState.FLAGGED, CaseState.DEFERRED, CaseState.QUEUED, CaseState.RETRIEVE_FAILED}:
        raise WrongState("The images are here already; exclude the case instead.")
    move(session, actor, case, CaseState.EXCLUDED, reason="unflagged")
    purge(node, session, actor, case)
    return case


def retry(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """Ask the PACS again at the next window; a case that waits for its day, or was cancelled, need wait no longer."""
    case = locked_for(session, actor, Verb.RETRIEVE, case_id)
    if case.route == RETROSPECTIVE:
        raise WrongState("The images of this case came from a folder, not from the PACS; import the folder again.")
    if case.state == CaseState.DEFERRED:
        move(session, actor, case, CaseState.FLAGGED)
    if case.state != CaseState.QUEUED:
        move(session, actor, case, CaseState.QUEUED)
    case.not_before, case.failures, case.failed_nights, case.reason = None, 0, 0, None
    return case


def cancel(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    """Stop a retrieval: what has come stays, the rest waits until somebody asks again."""
    case = locked_for(session, actor, Verb.RETRIEVE, case_id)
    if case.state == CaseState.QUEUED:
        move(session, actor, case, CaseState.FLAGGED)
        move(session, actor, case, CaseState.DEFERRED)
    elif case.state == CaseState.RETRIEVING:
        move(session, actor, case, CaseState.RETRIEVE_FAILED)
    else:
        raise WrongState("There is no retrieval to cancel.")
    case.reason = "Cancelled; ask again when it should be retrieved."
    return case


def exclude(session: Session, actor: Actor, case_id: UUID, reason: str, purge_at: datetime) -> SiteCase:
    """Leave a case out, for a coded reason; reversible until its purge."""
    case = locked_for(session, actor, Verb.CURATE, case_id)
    move(session, actor, case, CaseState.EXCLUDED, reason=reason)
    case.purge_at = purge_at
    return case


def include_again(session: Session, actor: Actor, case_id: UUID) -> SiteCase:
    case = locked_for(session, actor, Verb.CURATE, case_id)
    if case.purged_at is not None:
        raise WrongState("Its images are purged; flag it again.")
    move(session, actor, case, CaseState.CURATING)
    case.purge_at = None
    return case


def purge(node: SiteNode, session: Session, actor: Actor, case: SiteCase) -> None:
    """Delete the identified files of a case and what the vault knows of its instances. May run twice."""
    images = session.exec(select(SiteImage.id).where(SiteImage.case_id == case.id)).all()
    node.staging.delete_case(images)
    node.vault.forget(case.id)
    case.purged_at = case.purged_at or now_utc()
    audit.record(session, actor, "case.purge", case.id, images=len(images))
