"""One package with everything that is known of it here: its trail, its keys and central's signed messages about it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlmodel import Session, col, select

from core.errors import BadConfiguration, Refused
from core.models.audit import AuditEvent
from core.models.transfer import Package, SignedMessage
from core.node import SiteNode
from core.package import envelope, messages
from core.permissions import Actor, Verb
from core.queries import transfers as queries
from core.services import send


@dataclass(frozen=True)
class Told:
    """A signed message about a package; `facts` is what its body says. `is_verified`: None without central's key."""

    facts: dict[str, Any]
    body: str
    signature: str
    at: datetime
    is_verified: bool | None


@dataclass(frozen=True)
class Detail:
    """`header` is None until the package is sealed."""

    line: queries.Line
    header: envelope.Header | None
    trail: Sequence[AuditEvent]
    told: Sequence[Told]

    @property
    def package(self) -> Package:
        return self.line.package


def detail(node: SiteNode, session: Session, actor: Actor, package_id: UUID) -> Detail:
    """Raises NotFound for a package that is not the actor's to see."""
    line = queries.line_of(session, actor, package_id)
    return Detail(line, _header(line.package), queries.trail(session, package_id), _told(node, session, line.package))


def retry(session: Session, actor: Actor, package_id: UUID) -> Package:
    """Send again now; unknown and forbidden look the same. Raises NotFound, WrongState."""
    package = queries.readable_package(session, actor, package_id, Verb.SEND)
    return send.retry(session, actor, package.id)


def _header(package: Package) -> envelope.Header | None:
    return envelope.read_header(package.header.encode()) if package.header else None


def _told(node: SiteNode, session: Session, package: Package) -> list[Told]:
    """In central's order. They were checked before they were obeyed; here each signature is checked once more."""
    key = _central_key(node)
    statement = select(SignedMessage).where(
        SignedMessage.site == node.site_code,
        SignedMessage.created_at >= package.created_at,
        col(SignedMessage.body).contains(str(package.id)),
    )
    found = session.exec(statement.order_by(col(SignedMessage.n))).all()
    return [_read(node, row, key) for row in found]


def _central_key(node: SiteNode) -> Ed25519PublicKey | None:
    try:
        return node.central.verify_key
    except BadConfiguration:
        return None


def _read(node: SiteNode, row: SignedMessage, key: Ed25519PublicKey | None) -> Told:
    is_verified = None
    if key is not None:
        try:
            messages.open_message(row.body.encode(), row.signature, key, site=node.site_code)
            is_verified = True
        except Refused:
            is_verified = False
    return Told(json.loads(row.body), row.body, row.signature, row.created_at, is_verified)
