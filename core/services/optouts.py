"""Opt-outs: a refusal stops every unsent case of the patient and purges it at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from core import audit
from core.models.sitecase import CaseState, SiteCase
from core.models.transfer import Package, PackagedImage, PackageState
from core.node import SiteNode
from core.permissions import Actor, Verb, check
from core.services import cases, packages
from core.services.registering import STOPPABLE


def opt_out(node: SiteNode, session: Session, actor: Actor, chart_id: str) -> int:
    """Remember the refusal first, then stop the patient's cases; returns how many were stopped.

    What has left already is withdrawn by the linkage custodian, who alone may look up its research id."""
    node.vault.opt_out(chart_id)
    stopped = sum(_stop(node, session, actor, case) for case in _cases(node, session, chart_id, is_locked=True))
    audit.record(session, actor, "opt-out.set", cases=stopped)
    return stopped


@dataclass(frozen=True)
class Standing:
    """What a patient's desk needs to know before it acts: counts, and no case."""

    is_listed: bool
    unsent: int
    sent: int


def standing(node: SiteNode, session: Session, actor: Actor, chart_id: str) -> Standing:
    """Whether the patient is on the list, how many cases a refusal would stop, and how many have left already.

    Raises Refused for a chart ID that cannot be read."""
    check(actor, Verb.OPT_OUT)
    audit.record(session, actor, "opt-out.check")
    is_listed = node.vault.is_opted_out(chart_id=chart_id)
    found = [case for case in _cases(node, session, chart_id) if case.state != CaseState.WITHDRAWN]
    sent = sum(_has_left(packages.newest(session, case.id, case.revision)) for case in found)
    return Standing(is_listed, len(found) - sent, sent)


def listed(node: SiteNode, actor: Actor) -> int:
    """How many entries the list has."""
    check(actor, Verb.OPT_OUT)
    return len(node.vault.list_opt_outs())


def _cases(node: SiteNode, session: Session, chart_id: str, *, is_locked: bool = False) -> Sequence[SiteCase]:
    ids = node.vault.find(chart_id=chart_id)
    statement = select(SiteCase).where(col(SiteCase.id).in_(ids)).order_by(col(SiteCase.id))
    return session.exec(statement.with_for_update() if is_locked else statement).all()


def _has_left(package: Package | None) -> bool:
    return package is not None and packages.is_out(package)


def _stop(node: SiteNode, session: Session, actor: Actor, case: SiteCase) -> bool:
    package = packages.newest(session, case.id, case.revision)
    if package is not None:
        package = packages.locked(session, package.id)
    if case.state == CaseState.WITHDRAWN or _has_left(package):
        return False
    if package is not None and package.state in STOPPABLE:
        packages.move(session, actor, package, PackageState.TAKEN_BACK, "opt-out")
    cases.move(session, actor, case, CaseState.WITHDRAWN)
    case.reason = "The patient opted out."
    cases.purge(node, session, actor, case)
    _drop_unsent(node, session, case)
    return True


def _drop_unsent(node: SiteNode, session: Session, case: SiteCase) -> None:
    """What was made for this case and never left goes too: sealed packages, and released files that nothing sent names."""
    made = select(PackagedImage, Package).join(Package, col(Package.id) == PackagedImage.package_id)
    rows = session.exec(made.where(Package.case_id == case.id)).all()
    kept = {image.sha256 for image, package in rows if packages.is_out(package)}
    for image, package in rows:
        if packages.is_out(package):
            continue
        node.outbox(package.id).unlink(missing_ok=True)
        gone, image.sha256 = image.sha256, None
        session.flush()
        if gone and gone not in kept:
            node.store.delete(gone)


def lift(node: SiteNode, session: Session, actor: Actor, chart_id: str) -> None:
    node.vault.opt_in(chart_id)
    audit.record(session, actor, "opt-out.lift")
