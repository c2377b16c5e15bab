"""Central's signed, numbered messages for a site: receipts, replication notices, offers of models."""

import hashlib
from collections.abc import Sequence

from sqlmodel import Session, col, func, select

from core import audit
from core.models.bank import BankCase, Site
from core.models.datasets import DatasetFile
from core.models.registry import IN_EFFECT, ModelFile, ModelVersion
from core.models.transfer import Parcel, SignedMessage
from core.node import CentralNode
from core.package import messages, signing
from core.permissions import SYSTEM
from core.queries.offers import is_offered


def key_id(node: CentralNode) -> str:
    return signing.key_id(node.keys.signer.public_key())


def next_number(session: Session, site: str) -> int:
    """The next number of this site's messages; the site's row is locked so that there is no gap and no double."""
    session.exec(select(Site).where(Site.code == site).with_for_update()).one()
    return (session.exec(select(func.max(SignedMessage.n)).where(SignedMessage.site == site)).one() or 0) + 1


def _issue(node: CentralNode, session: Session, message: messages.Message) -> None:
    body, signature = messages.seal_message(message, node.keys.signer)
    session.add(SignedMessage(site=message.site, n=message.n, body=body.decode(), signature=signature))


def receipt(
    node: CentralNode,
    session: Session,
    parcel: Parcel,
    verdict: messages.Verdict,
    reasons: Sequence[messages.Reason],
    site_head: str | None,
) -> None:
    """The verdict on a package, bound to the hash of its ciphertext."""
    _issue(
        node,
        session,
        messages.Receipt(
            kind="receipt",
            key_id=key_id(node),
            n=next_number(session, parcel.site),
            site=parcel.site,
            package_id=parcel.package_id,
            case_version=parcel.case_version,
            ciphertext_sha256=parcel.sha256,
            verdict=verdict.value,
            reasons=tuple(reasons),
            site_audit_head=site_head,
        ),
    )


def replicated(node: CentralNode, session: Session, case: BankCase, hashes: Sequence[str]) -> None:
    """That the cloud's copy of every file of this case was read back and agrees."""
    _issue(
        node,
        session,
        messages.Replicated(
            kind="replicated",
            key_id=key_id(node),
            n=next_number(session, case.site),
            site=case.site,
            package_id=case.package_id,
            count=len(hashes),
            list_sha256=hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest(),
        ),
    )


def offer_models(node: CentralNode, session: Session) -> int:
    """Every model in effect that may leave, to every active site that was not offered it yet; returns how many offers."""
    in_effect = select(ModelVersion).where(col(ModelVersion.state).in_([*IN_EFFECT]), ModelVersion.shippable)
    models, count = list(session.exec(in_effect.order_by(ModelVersion.domain))), 0
    for site in list(session.exec(select(Site.code).where(Site.active).order_by(Site.code))):
        for model in models:
            if is_offered(session, site, model.sha256):
                continue
            number = next_number(session, site)
            if not is_offered(session, site, model.sha256):  # now that nobody else numbers for this site
                _issue(node, session, _offer(node, session, model, site, number))
                audit.record(session, SYSTEM, "model.offered", model.id, n=model.version, site=site)
                count += 1
    return count


def _offer(node: CentralNode, session: Session, model: ModelVersion, site: str, number: int) -> messages.ModelOffer:
    files = session.exec(select(ModelFile).where(ModelFile.model_id == model.id).order_by(col(ModelFile.path)))
    return messages.ModelOffer(
        kind="model",
        key_id=key_id(node),
        n=number,
        site=site,
        name=model.name,
        version=model.version,
        domain=model.domain,
        sha256=model.sha256,
        files=tuple(messages.OfferedFile(path=file.path, sha256=file.sha256, size=file.size) for file in files),
    )


def dataset_hashes(session: Session, hashes: Sequence[str]) -> set[str]:
    return set(session.exec(select(DatasetFile.sha256).where(col(DatasetFile.sha256).in_(hashes))))
