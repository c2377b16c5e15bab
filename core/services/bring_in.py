"""Bring a study from a folder into the site: originals into staging, masks as proposals, the case whole or not at all.

What is read from the folder, and whether it may be trusted, is `core.folder.made`; a command joins the two."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Final
from uuid import UUID

from sqlmodel import Session, col, func, select

from core import audit, jobs
from core.db import reading, transaction
from core.errors import Conflict, Denied, Refused, WrongState
from core.ids import uuid7
from core.models.curation import ImageMask, MaskState
from core.models.sitecase import RETROSPECTIVE, CaseState, ImageState, SiteCase, SiteImage
from core.node import SiteNode
from core.permissions import Actor
from core.queries.device_rules import rules_to_propose
from core.services import cases, masks
from core.services.cases import FlagRequest
from core.services.take_in import Arrived, Listed, read_in, store
from core.vault import Identity

FOUND: Final = "masked when the folder was de-identified"
CHANGED: Final = "The file changed while it was brought in; try again."
OTHER_BYTES: Final = "Another image with the same SOP Instance UID is in this case; it stays as it is."
NOT_OPEN: Final = "The case of this study is at the site and is not in curation; nothing is added to it."
MEANWHILE: Final = "This study was flagged meanwhile; bring the folder in again."
_PIECE: Final = 1 << 20


class Status(StrEnum):
    """What became of a file: brought in now, in its case before, or not brought in."""

    IMPORTED = "imported"
    KNOWN = "known"
    REFUSED = "refused"


@dataclass(frozen=True, repr=False)
class Original:
    """One original file. `open` gives its stream and length; raises Refused when it cannot be read any more.

    `rects` (x, y, width, height in pixels of the stored frame) masked it in the folder, by this rule and version."""

    sop_uid: str
    series_uid: str
    sha256: bytes
    open: Callable[[], tuple[BinaryIO, int]]
    rects: tuple[tuple[int, int, int, int], ...] = ()
    rule_id: str | None = None
    rule_version: str | None = None


@dataclass(frozen=True)
class Brought:
    """The number of the case, None where there is none; of each file its status and, if it was refused, the reason."""

    number: int | None
    files: tuple[tuple[Status, str | None], ...]


def bring(node: SiteNode, actor: Actor, domain: str, who: Identity, originals: Sequence[Original]) -> Brought:
    """Take one study into the site. Run again after a kill it goes on with what is staged, and doubles nothing.

    `who` names the patient, and the study by its UID. Every mask is a proposal, whatever was confirmed in the folder.
    Raises Denied, Conflict, and Refused for an opted-out patient, an unusable chart ID or an ethics period that is over."""
    request = FlagRequest(chart_id=who.chart_id, domain=domain, study_uid=who.study_uid, route=RETROSPECTIVE)
    node.vault.rule.normalise(who.chart_id, who.issuer)
    cases.check_flag(node, actor, request)
    with reading(node.engine) as session:
        known = cases.known(node, session, request)
    study = _Study(node, actor, request, known)
    if known is None or known.state == CaseState.CURATING:
        node.vault.seal(study.case_id, who)
    return study.take(originals)


class _Study:
    """One study on its way in: the case that it belongs to, or becomes."""

    def __init__(self, node: SiteNode, actor: Actor, request: FlagRequest, known: SiteCase | None) -> None:
        self._node, self._actor, self._request, self._known = node, actor, request, known
        self.case_id = known.id if known is not None else self._begun() or uuid7()

    def _begun(self) -> UUID | None:
        """The case that a killed import has sealed and not stored."""
        vault = self._node.vault
        ids = set(vault.find(chart_id=self._request.chart_id)) & set(vault.find(study_uid=self._request.study_uid))
        with reading(self._node.engine) as session:
            stored = set(session.exec(select(SiteCase.id).where(col(SiteCase.id).in_(ids))))
        return min(ids - stored, default=None)

    def take(self, originals: Sequence[Original]) -> Brought:
        found: list[tuple[Status, str | None]] = []
        fresh: dict[UUID, Original] = {}
        places: list[UUID | None] = []
        for original in originals:
            image_id = None
            try:
                image_id = self._staged(original, fresh)
                found.append((Status.KNOWN if image_id is None else Status.IMPORTED, None))
            except (Refused, WrongState) as refusal:
                found.append((Status.REFUSED, refusal.message))
            if image_id is not None:
                fresh[image_id] = original
            places.append(image_id)
        number, refused = self._stored(fresh) if fresh else (self._known.number if self._known else None, {})
        for place, image_id in enumerate(places):
            if image_id in refused:
                found[place] = (Status.REFUSED, refused[image_id])
        return Brought(number, tuple(found))

    def _staged(self, original: Original, fresh: dict[UUID, Original]) -> UUID | None:
        """The new image's id once its bytes are staged; None for one that is here. Raises Refused or WrongState."""
        twin = next((one for one in fresh.values() if one.sop_uid == original.sop_uid), None)
        if twin is not None:
            _check_same(twin.sha256 == original.sha256)
            return None
        image_id = self._node.vault.has_instance(self.case_id, original.sop_uid)
        if image_id is not None:
            _check_same(self._node.vault.same_bytes(image_id, original.sha256))
            with reading(self._node.engine) as session:
                if session.get(SiteImage, image_id) is not None:
                    return None
        if self._known is not None and self._known.state != CaseState.CURATING:
            raise WrongState(NOT_OPEN)
        image_id = image_id or uuid7()
        if not self._node.staging.exists(image_id, "original"):
            self._node.staging.put(image_id, "original", _unchanged(original))
        return image_id

    def _stored(self, fresh: dict[UUID, Original]) -> tuple[int | None, dict[UUID, str | None]]:
        """Vault rows, then every row of the case at once: (its number, the images that cannot be used with the reason)."""
        study_uid = self._request.study_uid or ""
        arrived = [
            Arrived(image_id, 0, Listed(study_uid, one.series_uid, one.sop_uid), one.sha256)
            for image_id, one in fresh.items()
        ]
        images = read_in(self._node, self.case_id, arrived)
        refused = {image.id: image.reason for image in images if image.state == ImageState.REFUSED}
        good = [image for image in images if image.id not in refused]
        self._node.staging.delete_case(refused)
        if not good:
            return self._known.number if self._known else None, refused
        with transaction(self._node.engine, "import.case") as session:
            case = self._open_case(session)
            self._add(session, case, good, fresh)
            if case.state == CaseState.RETRIEVING:
                cases.move(session, self._actor, case, CaseState.CURATING, images=len(good))
            session.flush()
            session.refresh(case)
            return case.number, refused

    def _open_case(self, session: Session) -> SiteCase:
        """The case, locked; a new one is nobody else's before it is whole."""
        known = cases.known(self._node, session, self._request)
        if (known is None) != (self._known is None):
            raise Conflict(MEANWHILE)
        if known is not None:
            case = cases.locked(session, known.id)
            if case.state != CaseState.CURATING:
                raise WrongState(NOT_OPEN)
            return case
        if self._actor.user_id is None:
            raise Denied("Only a person can do this.")
        case = SiteCase(
            id=self.case_id, domain=self._request.domain, state=CaseState.RETRIEVING, route=RETROSPECTIVE,
            flagged_by=self._actor.user_id,
        )  # fmt: skip
        session.add(case)
        session.flush()
        audit.record(session, self._actor, "case.flag", case.id, after=case.state, route=RETROSPECTIVE)
        return case

    def _add(self, session: Session, case: SiteCase, images: Sequence[SiteImage], fresh: dict[UUID, Original]) -> None:
        last = session.exec(select(func.max(SiteImage.number)).where(SiteImage.case_id == case.id)).one() or 0
        for number, image in enumerate(images, last + 1):
            image.number = number
        store(session, self._actor, images)
        case.expected = last + len(images)
        rules = rules_to_propose(session)
        session.flush()
        for image in images:
            mask = proposed(masks.proposed_mask(image, rules), fresh[image.id])
            session.add(mask)
            audit.record(session, self._actor, "mask.proposed", mask.id, after=MaskState.PROPOSED, revision=1)
            jobs.enqueue(session, "mask", "pixels", key=f"image:{image.id}", image_id=str(image.id))


def _check_same(is_same: bool) -> None:
    if not is_same:
        raise Refused(OTHER_BYTES)


def proposed(own: ImageMask, original: Original) -> ImageMask:
    """The mask of the folder as a proposal; what the site's own rules mask beyond it stays masked."""
    reasons = {tuple(rect): reason for rect, reason in zip(own.rects, own.reasons, strict=True)}
    rects = dict.fromkeys([*original.rects, *reasons])
    own.rects = [list(rect) for rect in rects]
    own.reasons = [reasons.get(rect, FOUND) for rect in rects]
    if (own.rule_id, own.rule_version) != (original.rule_id, original.rule_version):
        own.must_look = True
    if original.rule_id is not None:
        own.rule_id, own.rule_version = original.rule_id, original.rule_version
    return own


def _unchanged(original: Original) -> Iterator[bytes]:
    """The bytes of the file. Raises Refused at the end, before they stand anywhere, when they are not those that were read."""
    stream, _ = original.open()
    digest = hashlib.sha256()
    with stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            yield piece
    if digest.digest() != original.sha256:
        raise Refused(CHANGED)
