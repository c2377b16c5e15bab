"""Opt-outs: a refusal stops every unsent case of the patient and purges it at once."""

from sqlmodel import Session, col, select

from core import audit
from core.models.sitecase import CaseState, SiteCase
from core.models.transfer import PackageState
from core.node import SiteNode
from core.permissions import Actor
from core.services import cases, packages
from core.services.registering import STOPPABLE


def opt_out(node: SiteNode, session: Session, actor: Actor, chart_id: str) -> int:
    """Remember the refusal first, then stop the patient's cases; returns how many were stopped.

    What has left already is withdrawn by the linkage custodian, who alone may look up its research id."""
    node.vault.opt_out(chart_id)
    audit.record(session, actor, "opt-out.set")
    ids = node.vault.find(chart_id=chart_id)
    found = session.exec(select(SiteCase).where(col(SiteCase.id).in_(ids)).order_by(col(SiteCase.id)).with_for_update())
    return sum(_stop(node, session, actor, case) for case in found)


def _stop(node: SiteNode, session: Session, actor: Actor, case: SiteCase) -> bool:
    package = packages.newest(session, case.id, case.revision)
    if case.state == CaseState.WITHDRAWN or (package is not None and package.state in _GONE):
        return False
    if package is not None and package.state in STOPPABLE:
        packages.move(session, actor, package, PackageState.TAKEN_BACK, "opt-out")
    cases.move(session, actor, case, CaseState.WITHDRAWN)
    case.reason = "The patient opted out."
    cases.purge(node, session, actor, case)
    return True


_GONE = frozenset({PackageState.SENT, PackageState.RECEIVED, PackageState.ACCEPTED, PackageState.REPLICATED})


def lift(node: SiteNode, session: Session, actor: Actor, chart_id: str) -> None:
    node.vault.opt_in(chart_id)
    audit.record(session, actor, "opt-out.lift")
