"""Packages of a site moved through their states by its own services, with central's signed messages, without any picture."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlmodel import Session, col, select

from core.clock import now_utc
from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.models.people import User
from core.models.sitecase import CaseState, SiteCase
from core.models.transfer import Package, PackageState, SignedMessage
from core.node import SiteNode
from core.package import central_keys, contract, envelope, messages, signing
from core.package.central_keys import CentralKeys
from core.package.messages import Reason
from core.permissions import SYSTEM
from core.services import packages

_S = PackageState
_WAY: Final = (_S.BUILDING, _S.DEIDENTIFIED, _S.STAGED, _S.SENT, _S.ACCEPTED, _S.REPLICATED)
_STOPS: Final = {_S.SEND_FAILED: 3, _S.QUARANTINED: 4, _S.HELD: 2, _S.TAKEN_BACK: 3}
SIZE: Final = 40_000_000


def public_keys(folder: Path) -> tuple[CentralKeys, Path]:
    """Central's keys, and the file of the public half for a site's settings."""
    keys = central_keys.create(folder / "central")
    path = folder / "public.json"
    path.write_text(keys.public().dump())
    return keys, path


@dataclass
class Shipping:
    """Makes packages at a site and signs what central would say of them."""

    node: SiteNode
    keys: CentralKeys
    last: int = field(default=0)

    def ship(
        self,
        state: PackageState,
        domain: str = "liver",
        reason: str | None = None,
        minutes_ago: int = 60,
        case: SiteCase | None = None,
        **more: Any,
    ) -> Package:
        """A package that has come as far as `state`, a minute a step."""
        way = (*_WAY[: _STOPS[state]], state) if state in _STOPS else _WAY[: _WAY.index(state) + 1]
        at = now_utc() - timedelta(minutes=minutes_ago)
        with transaction(self.node.engine, "test.ship") as session:
            row = session.merge(case) if case else _case(session, state, domain)
            package = Package(case_id=row.id, case_version=row.revision, state=_S.BUILDING, created_at=at, **more)
            session.add(package)
            session.flush()
            for step, to in enumerate(way[1:], 1):
                packages.move(session, SYSTEM, package, to, reason if to == state else None)
                session.flush()
                package.changed_at = _dated(session, package, at + timedelta(minutes=step))
                if to == _S.STAGED:
                    self._seal(package)
                if to == _S.SENT:
                    package.sent_bytes = SIZE
        return package

    def _seal(self, package: Package) -> None:
        package.size, package.sha256 = SIZE, hashlib.sha256(package.id.bytes).hexdigest()
        signer = self.node.keys.signer()
        address = envelope.Address(
            contract_version=contract.CONTRACT_VERSION,
            site=self.node.site_code,
            site_key_id=signing.key_id(signer.public_key()),
            recipient_key_id=envelope.recipient_key_id(self.keys.identity.to_public()),
            package_id=package.id,
            case_version=package.case_version,
        )
        header = envelope.make_header(address, SIZE, package.sha256)
        package.header, package.signature = header.decode(), envelope.sign_header(header, signer)

    def receipt(self, package: Package, *reasons: Reason) -> SignedMessage:
        """Central's verdict: accepted when there is no reason against it."""
        self.last += 1
        return self._say(
            messages.Receipt(
                kind="receipt", key_id=signing.key_id(self.keys.signer.public_key()), n=self.last,
                site=self.node.site_code, package_id=package.id, case_version=package.case_version,
                ciphertext_sha256=package.sha256 or "", verdict="QUARANTINED" if reasons else "ACCEPTED",
                reasons=reasons, site_audit_head=None if reasons else "0" * 64,
            )
        )  # fmt: skip

    def replicated(self, package: Package, count: int = 4) -> SignedMessage:
        self.last += 1
        return self._say(
            messages.Replicated(
                kind="replicated", key_id=signing.key_id(self.keys.signer.public_key()), n=self.last,
                site=self.node.site_code, package_id=package.id, count=count, list_sha256="1" * 64,
            )
        )  # fmt: skip

    def _say(self, message: messages.Message) -> SignedMessage:
        body, signature = messages.seal_message(message, self.keys.signer)
        with transaction(self.node.engine, "test.say") as session:
            row = SignedMessage(site=message.site, n=message.n, body=body.decode(), signature=signature)
            session.add(row)
        return row

    def case(self, package: Package) -> SiteCase:
        with reading(self.node.engine) as session:
            return session.get_one(SiteCase, package.case_id)


def _case(session: Session, state: PackageState, domain: str) -> SiteCase:
    user = session.exec(select(User)).first()
    assert user is not None
    of_case = CaseState.CURATING if state in {_S.HELD, _S.TAKEN_BACK} else CaseState.REGISTERED
    case = SiteCase(domain=domain, state=of_case, route="rest", flagged_by=user.id)
    session.add(case)
    session.flush()
    return case


def _dated(session: Session, package: Package, at: datetime) -> datetime:
    """The last event of the package happened then."""
    of_package = select(AuditEvent).where(AuditEvent.subject == str(package.id))
    event = session.exec(of_package.order_by(col(AuditEvent.id).desc()).limit(1)).one()
    event.at = at
    return at
