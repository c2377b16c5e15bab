"""Help from a model: what it proposes on an image is accepted, edited or rejected by a person, and else nothing."""

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import Session, col, select

from core import audit
from core.clock import now_utc
from core.curation.detector import Detector, Found
from core.deid.candidate import Index, frame_bytes
from core.dicom.ultrasound import tissue
from core.errors import NotFound, WrongState
from core.models.curation import ImageMask, Roi
from core.models.proposals import PROPOSAL_MOVES, ModelProposal, ProposalSet, ProposalState
from core.models.sitecase import SiteCase, SiteImage
from core.node import SiteNode
from core.permissions import Actor
from core.services import curation, learned, masks, registry, rois
from core.services.candidate import kind_of
from core.services.facts import regions_of


def ask(node: SiteNode, session: Session, actor: Actor, image_id: UUID) -> tuple[ProposalSet, list[ModelProposal]]:
    """What the model proposes on the present candidate, surest first, and which one it was; it looks at a candidate once.

    Nothing is locked while it looks, which may take seconds: the case is edited meanwhile. Raises WrongState where the case
    is not being curated or the candidate is not ready, Unavailable where no model answers."""
    image, mask = masks.seen_candidate(session, actor, image_id, 1)
    case = session.get_one(SiteCase, image.case_id)
    curation.check_editable(actor, case)
    detector = learned.detector(node, registry.of_domain(session, case.domain), case.domain)
    one = _known(session, mask, detector)
    if one is None:
        found = look(node, image, mask, detector)
        curation.editable_image(session, actor, image.id)  # locked from here on: somebody else may have asked as well
        one = _known(session, mask, detector) or _keep(session, actor, mask, detector, found)
    return one, _of(session, one)


def _known(session: Session, mask: ImageMask, detector: Detector) -> ProposalSet | None:
    known = select(ProposalSet).where(
        ProposalSet.image_id == mask.image_id,
        ProposalSet.digest == mask.digest,
        ProposalSet.model == detector.name,
        ProposalSet.model_version == detector.version,
    )
    return session.exec(known).first()


def look(node: SiteNode, image: SiteImage, mask: ImageMask, detector: Detector) -> list[Found]:
    """What a detector finds on the masked frames of an image. Raises Unavailable."""
    index = Index.of(mask.candidate)
    with node.staging.open(image.id, kind_of(mask.revision)) as reader:
        frames = {frame: frame_bytes(reader, index, frame - 1) for frame in detector.looked_at(image.frames)}
    return detector.detect(node.sandbox, index, frames, tissue(regions_of(image.facts)))


def _keep(session: Session, actor: Actor, mask: ImageMask, detector: Detector, found: Sequence[Found]) -> ProposalSet:
    name, version = detector.name, detector.version
    one = ProposalSet(image_id=mask.image_id, digest=mask.digest or "", model=name, model_version=version)
    session.add(one)
    session.flush()
    session.add_all(
        ModelProposal(
            set_id=one.id, frame=each.frame, kind=each.kind, points=[list(point) for point in each.points],
            label=each.label, score=each.score,
        )
        for each in found
    )  # fmt: skip
    audit.record(session, actor, "proposals.made", mask.image_id, model=name, found=len(found))
    session.flush()
    return one


def accept(session: Session, actor: Actor, proposal_id: UUID, given: Roi) -> Roi:
    """A person takes the proposal, as it is or edited: `given` is the ROI that comes of it. Twice the same makes one.

    Raises NotFound, and WrongState for one that was answered otherwise."""
    proposal, image = _mine(session, actor, proposal_id)
    if proposal.state == ProposalState.ACCEPTED and proposal.roi_id == given.id:
        return session.get_one(Roi, given.id)
    _move(session, actor, proposal, ProposalState.ACCEPTED)
    roi = rois.add_once(session, actor, image.id, given)
    proposal.roi_id = roi.id
    return roi


def accept_into(session: Session, actor: Actor, proposal_id: UUID, roi_id: UUID) -> Roi:
    """A person has taken a proposed border into the ventricle's contour, as it is or edited. Twice is once.

    Raises NotFound where that is no contour on the same image, and WrongState for one that was answered otherwise."""
    proposal, image = _mine(session, actor, proposal_id)
    roi = session.get(Roi, roi_id)
    if roi is None or roi.image_id != image.id or (roi.kind, roi.use) != (proposal.kind, "lv"):
        raise NotFound
    if proposal.state != ProposalState.ACCEPTED or proposal.roi_id != roi.id:
        _move(session, actor, proposal, ProposalState.ACCEPTED)
        proposal.roi_id = roi.id
    return roi


def reject(session: Session, actor: Actor, proposal_id: UUID) -> None:
    """It shows no lesion: kept, for a model learns from what it took for one. Twice is once."""
    proposal, _ = _mine(session, actor, proposal_id)
    if proposal.state != ProposalState.REJECTED:
        _move(session, actor, proposal, ProposalState.REJECTED)


def image_of(session: Session, proposal_id: UUID) -> UUID:
    """The image that the proposal lies on. Raises NotFound."""
    proposal = session.get(ModelProposal, proposal_id)
    if proposal is None:
        raise NotFound
    return session.get_one(ProposalSet, proposal.set_id).image_id


def _mine(session: Session, actor: Actor, proposal_id: UUID) -> tuple[ModelProposal, SiteImage]:
    image = curation.editable_image(session, actor, image_of(session, proposal_id))
    return session.get_one(ModelProposal, proposal_id, with_for_update=True), image


def _move(session: Session, actor: Actor, proposal: ModelProposal, to: ProposalState) -> None:
    if to not in PROPOSAL_MOVES[ProposalState(proposal.state)]:
        raise WrongState("This proposal was answered already.")
    audit.record(session, actor, f"proposal.{to.lower()}", proposal.id, before=proposal.state, after=to)
    proposal.state, proposal.answered_by, proposal.answered_at = to, actor.user_id, now_utc()


def _of(session: Session, one: ProposalSet) -> list[ModelProposal]:
    statement = select(ModelProposal).where(ModelProposal.set_id == one.id)
    return list(session.exec(statement.order_by(col(ModelProposal.score).desc(), col(ModelProposal.id))))
