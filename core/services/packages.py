"""The site's packages: their states, and how central's signed messages move them."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlmodel import Session, col, select

from core import audit
from core.clock import now_utc
from core.errors import NotFound, WrongState
from core.models.sitecase import SiteCase
from core.models.transfer import PACKAGE_MOVES, Package, PackageState
from core.permissions import ALL_DOMAINS, Actor, Verb

_GONE: Final = frozenset({PackageState.SENT, PackageState.RECEIVED, PackageState.ACCEPTED, PackageState.REPLICATED})


def move(session: Session, actor: Actor, package: Package, to: PackageState, reason: str | None = None) -> None:
    """Change the state of a package. Raises WrongState when the table has no such move."""
    if to not in PACKAGE_MOVES[PackageState(package.state)]:
        raise WrongState(f"A package that is {package.state} cannot become {to}.")
    audit.record(session, actor, f"package.{to.lower()}", package.id, before=package.state, after=to)
    package.state, package.reason, package.changed_at = to, reason, now_utc()


def locked(session: Session, package_id: UUID) -> Package:
    """The package as it is now, locked until the end of the transaction, whatever this session saw of it before."""
    statement = select(Package).where(Package.id == package_id).with_for_update()
    package = session.exec(statement.execution_options(populate_existing=True)).first()
    if package is None:
        raise NotFound
    return package


def is_out(package: Package) -> bool:
    """Whether others may have it: the last chunk was handed over, though the answer may have been lost.

    Of a quarantined package nobody keeps anything."""
    if package.state == PackageState.QUARANTINED:
        return False
    return package.state in _GONE or (package.size is not None and package.sent_bytes >= package.size)


def newest(session: Session, case_id: UUID, case_version: int) -> Package | None:
    """The last attempt of one version of a case."""
    statement = select(Package).where(Package.case_id == case_id, Package.case_version == case_version)
    return session.exec(statement.order_by(col(Package.attempt).desc()).limit(1)).first()


def readable(session: Session, actor: Actor, case_id: UUID | None = None, limit: int = 200) -> list[Package]:
    """Packages of the domains that the actor may see, newest first."""
    domains = actor.domains(Verb.SEE_PACKAGES)
    statement = select(Package).join(SiteCase, col(SiteCase.id) == Package.case_id)
    if ALL_DOMAINS not in domains:
        statement = statement.where(col(SiteCase.domain).in_(domains))
    if case_id is not None:
        statement = statement.where(Package.case_id == case_id)
    return list(session.exec(statement.order_by(col(Package.created_at).desc()).limit(limit)))


def schedule_purge(session: Session, package: Package, days: int) -> None:
    """The identified files of an accepted case go after `days`."""
    case = session.get_one(SiteCase, package.case_id)
    if case.purge_at is None and case.revision == package.case_version:
        case.purge_at = now_utc() + timedelta(days=days)
