"""Central's signed, numbered messages for a site: receipts, replication notices, models offered and taken back."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session, col, func, select

from core import audit
from core.models.bank import BankCase, Site
from core.models.datasets import DatasetFile
from core.models.registry import IN_EFFECT, ModelFile, ModelVersion
from core.models.transfer import Parcel, SignedMessage
from core.node import CentralNode
from core.package import messages, signing
from core.permissions import SYSTEM
from core.queries import offers as queries


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


def tell_models(node: CentralNode, session: Session) -> int:
    """Every model in effect that may leave is offered to every active site, and what is no longer in effect taken back.

    A site hears of a change once; returns how many messages."""
    models = list(session.exec(select(ModelVersion).where(ModelVersion.shippable).order_by(col(ModelVersion.id))))
    known = queries.last_words(session)
    count = 0
    for site in list(session.exec(select(Site.code).where(Site.active).order_by(Site.code))):
        for model in models:
            if not _is_news(known, site, model):
                continue
            number = next_number(session, site)
            if _is_news(queries.last_words(session), site, model):  # now that nobody else numbers for this site
                _tell(node, session, model, site, number)
                count += 1
    return count


def _is_news(known: Mapping[tuple[str, str], str], site: str, model: ModelVersion) -> bool:
    """Whether this site must hear that a model is in effect, or that it no longer is."""
    last = known.get((site, model.sha256))
    return last != queries.OFFERED if model.state in IN_EFFECT else last == queries.OFFERED


def _tell(node: CentralNode, session: Session, model: ModelVersion, site: str, number: int) -> None:
    about: dict[str, Any] = {
        "key_id": key_id(node), "n": number, "site": site, "name": model.name, "version": model.version,
        "sha256": model.sha256,
    }  # fmt: skip
    if model.state in IN_EFFECT:
        rows = session.exec(select(ModelFile).where(ModelFile.model_id == model.id).order_by(col(ModelFile.path)))
        files = tuple(messages.OfferedFile(path=row.path, sha256=row.sha256, size=row.size) for row in rows)
        _issue(node, session, messages.ModelOffer(kind="model", domain=model.domain, files=files, **about))
    else:
        _issue(node, session, messages.ModelWithdrawn(kind="model_withdrawn", **about))
    verb = "model.offered" if model.state in IN_EFFECT else "model.withdrawn"
    audit.record(session, SYSTEM, verb, model.id, n=model.version, site=site)


def dataset_hashes(session: Session, hashes: Sequence[str]) -> set[str]:
    return set(session.exec(select(DatasetFile.sha256).where(col(DatasetFile.sha256).in_(hashes))))
