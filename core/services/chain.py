"""Verify the audit chain against the heads that left this node, and write down that it was done."""

from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from core import audit
from core.db import reading
from core.errors import BadConfiguration, Refused, Unavailable
from core.models.audit import AuditEvent
from core.models.transfer import SignedMessage
from core.node import CentralNode, Node, SiteNode
from core.package import messages
from core.permissions import Actor, Verb, check
from core.queries.audit import VERIFIED


@dataclass(frozen=True)
class Walked:
    """`heads` is how many exported heads were looked for; None when they could not be read."""

    events: int
    heads: int | None
    findings: list[audit.Finding]


def verify(node: Node, session: Session, actor: Actor) -> Walked:
    """Walk the whole chain; every finding is one thing that somebody did to it behind our back."""
    check(actor, Verb.AUDIT)
    try:
        heads, forged = exported_heads(node)
        count: int | None = len(heads)
    except (Unavailable, BadConfiguration):
        heads, forged, count = [], [], None
    findings = forged + audit.verify(node.engine, heads)
    events = session.exec(select(func.count()).where(col(AuditEvent.seq).is_not(None))).one()
    audit.record(session, actor, VERIFIED, events=events, findings=len(findings))
    return Walked(events, count, findings)


def exported_heads(node: Node) -> tuple[list[str], list[audit.Finding]]:
    """(heads that left this node, forged receipts): central's lie in the bucket, a site's came back signed by central."""
    if isinstance(node, CentralNode):
        return [content.decode() for _, content in node.replica.named("audit/")], []
    if not isinstance(node, SiteNode):
        return [], []
    with reading(node.engine) as session:
        rows = list(session.exec(select(SignedMessage).order_by(col(SignedMessage.n))))
    heads, forged = [], []
    for row in rows:
        try:
            message = messages.open_message(
                row.body.encode(), row.signature, node.central.verify_key, site=node.site_code
            )
        except Refused:
            forged.append(
                audit.Finding("forged receipt", row.n, f"message {row.n} was not signed by central as it stands")
            )
            continue
        head = getattr(message, "site_audit_head", None)
        heads += [head] if head and head != audit.GENESIS else []
    return heads, forged
