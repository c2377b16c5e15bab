"""Copy what was accepted to the research cloud's bucket, read it back, and only then say so."""

from uuid import UUID

from sqlmodel import Session, col, select

from core import audit
from core.clock import now_utc
from core.db import reading, transaction
from core.models.bank import BankCase, BankImage
from core.node import CentralNode
from core.permissions import SYSTEM
from core.services import issue
from core.services.blobs import copy_verified


def replicate(node: CentralNode, case_id: UUID) -> None:
    """The job `replicate`: each image commits its own progress. May run twice. Raises Unavailable to be tried again."""
    with reading(node.engine) as session:
        images = list(session.exec(select(BankImage).where(BankImage.case_id == case_id)))
    for image in images:
        if image.replicated:
            continue
        copy_verified(node.store, node.replica, image.sha256)
        with transaction(node.engine, "replicate.image") as session:
            row = session.get(BankImage, image.id)
            if row is not None:
                row.replicated = True
    with transaction(node.engine, "replicate.done") as session:
        case = session.get_one(BankCase, case_id, with_for_update=True)
        now = list(session.exec(select(BankImage).where(BankImage.case_id == case_id)))
        if case.replicated_at is not None or not all(image.replicated for image in now):
            return
        case.replicated_at = now_utc()
        audit.record(session, SYSTEM, "case.replicated", case.id, images=len(now))
        issue.replicated(node, session, case, sorted(image.sha256 for image in now))


def export_audit_head(node: CentralNode) -> None:
    """Central's audit head goes into the bucket, where who rewrites this database cannot reach it."""
    with reading(node.engine) as session:
        head = audit.head(session)
    if head != audit.GENESIS:
        node.replica.put_named(f"audit/{head}", head.encode())


def reconcile(node: CentralNode) -> list[str]:
    """Hashes that the rows call replicated but the bucket does not have; they are queued again by clearing the mark."""
    with transaction(node.engine, "replicate.reconcile") as session:
        images = list(session.exec(select(BankImage).where(col(BankImage.replicated))))
        lost = [image for image in images if node.replica.size(image.sha256) is None]
        for image in lost:
            image.replicated = False
            _reopen(session, image.case_id)
        return [image.sha256 for image in lost]


def _reopen(session: Session, case_id: UUID) -> None:
    case = session.get_one(BankCase, case_id)
    case.replicated_at = None
    audit.record(session, SYSTEM, "case.replica-lost", case_id)
