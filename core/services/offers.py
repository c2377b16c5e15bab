"""Models on their way from central to the sites: the relay brings their files, a site enters them for a person to accept."""

import logging
import tempfile
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import ValidationError
from sqlmodel import Session, select

from core.db import reading, transaction
from core.errors import Conflict, Malformed, NotFound, Refused, Unavailable
from core.inference import folder as model_folder
from core.models.registry import ModelVersion
from core.models.transfer import SignedMessage
from core.node import Node, SiteNode
from core.package import messages
from core.package.messages import ModelOffer
from core.permissions import SYSTEM, Actor
from core.queries import offers as queries
from core.services import parcels, registry, send
from core.services.courier import CHUNK, NextNode

log = logging.getLogger(__name__)
OTHER_MODEL: Final = "The offered model is not the one that its files describe."


@dataclass(frozen=True)
class Coming:
    """An offer whose model is not registered here: on its way, or `is_refused` for another one of its name and version."""

    name: str
    version: int
    is_refused: bool


def piece(node: Node, session: Session, actor: Actor, site: str, sha256: str, offset: int) -> bytes:
    """4 MiB at most of a file that was offered to this site, from `offset`. Raises NotFound for any other file."""
    parcels.speaks_for(actor, site)
    if not queries.is_offered(session, site, sha256):
        raise NotFound
    return b"".join(node.store.pieces(sha256, offset, CHUNK))


def bring(node: Node, source: NextNode, body: str) -> None:
    """At the relay: the files of an offer come before its message, so that a site finds them there. Raises Unavailable."""
    try:
        offer = ModelOffer.model_validate_json(body)
    except ValidationError:
        return  # another message, or one that the site will refuse
    _fetch(node, source, offer)


def take(node: SiteNode, message_id: UUID) -> None:
    """The job `take_model` at a site: the offered model is REGISTERED. May run twice. Raises Unavailable.

    What cannot be entered is audited; the models page says why."""
    with reading(node.engine) as session:
        row = session.get_one(SignedMessage, message_id)
    offer = messages.open_message(row.body.encode(), row.signature, node.central.verify_key, site=node.site_code)
    if not isinstance(offer, ModelOffer):
        return
    with send.next_node(node) as relay:
        _fetch(node, relay, offer)
    try:
        told = model_folder.read({file.path: node.store.read(file.sha256) for file in offer.files})
        if (told.name, told.version, told.sha256) != (offer.name, offer.version, offer.sha256):
            raise Refused(OTHER_MODEL)
        with transaction(node.engine, "offer.taken") as session:
            registry.enter(session, SYSTEM, told, offer.domain)
    except (Conflict, Malformed, Refused) as trouble:
        log.warning("the model of message %d cannot be taken: %s", offer.n, trouble.message)
        node.audit_now(SYSTEM, "model.not-taken", row.id, n=offer.version)


def coming(session: Session) -> list[Coming]:
    """What central offers and still uses that is no model here yet, the newest first."""
    columns = (ModelVersion.name, ModelVersion.version, ModelVersion.sha256)
    known = {(name, version): sha256 for name, version, sha256 in session.exec(select(*columns))}
    last = queries.last_words(session)
    offered = {one.sha256: one for one in queries.offers(session) if last[one.site, one.sha256] == queries.OFFERED}
    here = [(one, known.get((one.name, one.version))) for one in reversed(offered.values())]
    return [Coming(one.name, one.version, sha256 is not None) for one, sha256 in here if sha256 != one.sha256]


def withdrawn(session: Session, node: Node) -> set[str]:
    """At a site: the sha256 of every model that central offered and no longer uses itself. Elsewhere none."""
    if not isinstance(node, SiteNode):
        return set()
    return {sha256 for (_, sha256), kind in queries.last_words(session).items() if kind == queries.WITHDRAWN}


def _fetch(node: Node, source: NextNode, offer: ModelOffer) -> None:
    """The files of an offer that are not in this node's store yet."""
    for file in offer.files:
        if node.store.size(file.sha256) is not None:
            continue
        with tempfile.TemporaryFile(dir=node.folder("scratch")) as draft:
            source.fetch(offer.site, file.sha256, file.size, draft)
            draft.seek(0)
            try:
                node.store.put(draft, file.sha256)
            except Refused:
                raise Unavailable("A file of a model arrived damaged; it is brought again.") from None
