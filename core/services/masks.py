"""Masks: propose rectangles, write the candidate, show it, confirm its digest. A change voids the confirmation."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, select

from core import audit, jobs
from core.clock import now_utc
from core.db import transaction
from core.deid.candidate import Index, frame_bytes
from core.deid.mask_rules import Rule, catalogue
from core.deid.masks import MOST_RECTS, DeviceFacts, Proposal
from core.deid.masks import propose as propose_rects
from core.errors import Conflict, Malformed, Refused, WrongState
from core.models.curation import MASK_MOVES, ImageMask, MaskState, MaskView
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.node import SiteNode
from core.permissions import SYSTEM, Actor, Verb, check
from core.queries import cases as queries
from core.queries.device_rules import rules_to_propose
from core.services import candidate, texts
from core.services.candidate import kind_of
from core.services.cases import locked
from core.services.curation import editable_image
from core.services.facts import regions_of

# A strip of thumbnails: so many frames of a cine at most, each within so many pixels.
STRIP_FRAMES = 24
STRIP_CELL = (128, 96)
STRIP_QUALITY = 80

_DEVICE = ("manufacturer", "model", "software", "rows", "columns", "image_type", "modality", "sop_class_uid", "regions")


def move(session: Session, actor: Actor, mask: ImageMask, to: MaskState) -> None:
    """Change the state of a mask. Raises WrongState when the table has no such move."""
    if to not in MASK_MOVES[MaskState(mask.state)]:
        raise WrongState(f"A mask that is {mask.state} cannot become {to}.")
    audit.record(session, actor, f"mask.{to.lower()}", mask.id, before=mask.state, after=to, revision=mask.revision)
    mask.state = to


def make_candidate(node: SiteNode, image_id: UUID) -> None:
    """The job `mask`: propose if nothing is proposed yet, then write the candidate of the current mask. May run twice."""
    with transaction(node.engine, "mask.propose") as session:
        image = session.get(SiteImage, image_id)
        if image is None or image.state != ImageState.STAGED or not image.frames:
            return
        mask = queries.current_mask(session, image_id) or propose(session, [image])[0]
        is_made = mask.digest is not None and mask.text_read
        if is_made or mask.hold or session.get_one(SiteCase, image.case_id).state != CaseState.CURATING:
            return
    try:
        index, found = candidate.write(node, image, mask)
    except Refused as refusal:
        with transaction(node.engine, "mask.hold") as session:
            session.get_one(ImageMask, mask.id).hold = refusal.message
        return
    with transaction(node.engine, "mask.candidate") as session:
        row = session.get_one(ImageMask, mask.id)
        row.rects, row.reasons = mask.rects, mask.reasons
        row.candidate, row.digest, row.to_show = index.as_dict(), index.digest, index.distinct_frames
        row.texts, row.text_read = texts.kept_with(row.texts, found), True
        audit.record(session, SYSTEM, "mask.candidate", mask.id, revision=mask.revision, texts=len(found))


@lru_cache(maxsize=256)
def _proposal(facts: str, rules: tuple[Rule, ...]) -> Proposal:
    """One proposal for all images of one device, size and layout. The site's own `rules` stand beside the catalogue."""
    known = json.loads(facts)
    return propose_rects(DeviceFacts.of(known), regions_of(known), (*rules, *catalogue()))


def propose(session: Session, images: Sequence[SiteImage]) -> list[ImageMask]:
    """The first proposal for each image, by its device's rule and its ultrasound regions."""
    rules = rules_to_propose(session)
    made = [proposed_mask(image, rules) for image in images]
    session.add_all(made)
    for mask in made:
        audit.record(session, SYSTEM, "mask.proposed", mask.id, after=MaskState.PROPOSED, revision=1)
    return made


def proposed_mask(image: SiteImage, rules: tuple[Rule, ...], revision: int = 1) -> ImageMask:
    """What the rules propose for an image; the caller stores it."""
    proposal = _proposal(json.dumps({name: image.facts.get(name) for name in _DEVICE}), rules)
    return ImageMask(
        image_id=image.id,
        revision=revision,
        state=MaskState.PROPOSED,
        rects=[list(rect) for rect in proposal.rects],
        reasons=[proposal.reason] * len(proposal.rects),
        rule_id=proposal.rule_id,
        rule_version=proposal.rule_version,
        must_look=proposal.must_look,
    )


def set_rects(
    session: Session,
    actor: Actor,
    image_id: UUID,
    rects: Sequence[tuple[int, int, int, int]],
    revision: int,
    reasons: Mapping[tuple[int, ...], str] | None = None,
) -> ImageMask:
    """A person's own rectangles: the present mask becomes void, a new candidate is made. `revision` is the one they saw.

    `reasons`: of rectangles that something else than the person's hand proposed."""
    image = editable_image(session, actor, image_id)
    current = queries.current_mask(session, image.id)
    if current is None or current.revision != revision:
        raise Conflict("The mask was changed meanwhile; load it and decide.")
    if len(rects) > MOST_RECTS or any(not _inside(image, rect) for rect in rects):
        raise Malformed(
            f"At most {MOST_RECTS} rectangles, each inside the image of {image.columns} x {image.rows} pixels."
        )
    move(session, actor, current, MaskState.VOID)
    known = {tuple(rect): reason for rect, reason in zip(current.rects, current.reasons, strict=True)}
    known |= reasons or {}
    return _next(session, actor, current, rects, [known.get(tuple(rect), "drawn by a person") for rect in rects])


def look_again(session: Session, actor: Actor, image_id: UUID) -> None:
    """The present mask is void, confirmed or not, and its rectangles are a question again: text was found later."""
    current = queries.current_mask(session, image_id)
    if current is not None:
        move(session, actor, current, MaskState.VOID)
        _next(session, actor, current, current.rects, current.reasons)


def _next(
    session: Session, actor: Actor, current: ImageMask, rects: Sequence[Sequence[int]], reasons: Sequence[str]
) -> ImageMask:
    """A new revision after one that is void now, and the job that writes its candidate. Answers about text stay."""
    mask = ImageMask(
        image_id=current.image_id,
        revision=current.revision + 1,
        state=MaskState.PROPOSED,
        rects=[list(rect) for rect in rects],
        reasons=list(reasons),
        rule_id=current.rule_id,
        rule_version=current.rule_version,
        must_look=True,
        texts=[one for one in current.texts if one.get("answer") == texts.LEAVE],
        is_drawn=True,
    )
    session.add(mask)
    session.flush()
    audit.record(session, actor, "mask.proposed", mask.id, after=MaskState.PROPOSED, revision=mask.revision)
    jobs.enqueue(session, "mask", "pixels", key=f"image:{mask.image_id}", image_id=str(mask.image_id))
    return mask


def _inside(image: SiteImage, rect: tuple[int, int, int, int]) -> bool:
    x, y, width, height = rect
    return x >= 0 and y >= 0 and width > 0 and height > 0 and x + width <= image.columns and y + height <= image.rows


def candidate_frame(node: SiteNode, session: Session, actor: Actor, image_id: UUID, frame: int) -> tuple[bytes, str]:
    """(PNG of one frame decoded from the candidate, the candidate's digest); remembers that this person was shown it."""
    png, mask = _rendered(node, session, actor, image_id, frame)
    _remember(session, actor, mask, [frame], is_shown=True)
    return png, mask.digest or ""


def preview(
    node: SiteNode, session: Session, actor: Actor, image_id: UUID, frame: int, width: int | None = None
) -> tuple[bytes, str]:
    """As `candidate_frame`, for a page that fetches ahead or shows it small (`width`): nobody has been shown it yet."""
    png, mask = _rendered(node, session, actor, image_id, frame, width)
    if width is None:
        _remember(session, actor, mask, [frame], is_shown=False)
    return png, mask.digest or ""


def mark_shown(session: Session, actor: Actor, image_id: UUID, digest: str, frames: Sequence[int]) -> set[int]:
    """A page says that these frames of the candidate were on this person's screen; all that were until now.

    Raises WrongState for a frame that this person was never given."""
    image, case = queries.readable_image(session, actor, image_id)
    check(actor, Verb.SEE_PIXELS, case.domain)
    mask = queries.current_mask(session, image.id)
    if mask is None or actor.user_id is None or digest != mask.digest:
        raise Conflict("The candidate was changed after you looked; look at the new one.")
    if any(not 1 <= frame <= image.frames for frame in frames):
        raise Malformed(f"This image has frames 1 to {image.frames}.")
    given = select(MaskView.frame).where(MaskView.mask_id == mask.id, MaskView.user_id == actor.user_id)
    if not set(frames) <= set(session.exec(given)):
        raise WrongState("A frame was not given to you yet; open it first.")
    _remember(session, actor, mask, frames, is_shown=True)
    session.flush()
    return queries.frames_shown(session, mask.id, actor.user_id)


def _remember(session: Session, actor: Actor, mask: ImageMask, frames: Sequence[int], *, is_shown: bool) -> None:
    """Two windows of one person may say so at the same time; what was on the screen once stays shown."""
    rows = [
        {"mask_id": mask.id, "user_id": actor.user_id, "frame": frame, "is_shown": is_shown}
        for frame in sorted(set(frames))
    ]
    if not rows:
        return
    statement = insert(MaskView).values(rows)
    known = ["mask_id", "user_id", "frame"]
    if is_shown:
        session.execute(statement.on_conflict_do_update(index_elements=known, set_={"is_shown": True}))
    else:
        session.execute(statement.on_conflict_do_nothing(index_elements=known))


def _rendered(
    node: SiteNode, session: Session, actor: Actor, image_id: UUID, frame: int, width: int | None = None
) -> tuple[bytes, ImageMask]:
    image, mask = _with_candidate(session, actor, image_id)
    if not 1 <= frame <= image.frames:
        raise Malformed(f"This image has frames 1 to {image.frames}.")
    index = Index.of(mask.candidate)
    with node.staging.open(image.id, kind_of(mask.revision)) as reader:
        params, blobs = index.render_request(frame_bytes(reader, index, frame - 1))
    if width is not None:
        params["size"] = [width, width]
    _, rendered = node.sandbox.call("core.dicom.frames:sandboxed_render", params, blobs)
    audit.record_read(session, actor, "candidate.read", image.id)
    return rendered[0], mask


def _with_candidate(session: Session, actor: Actor, image_id: UUID) -> tuple[SiteImage, ImageMask]:
    """An image whose candidate this person may look at, and its mask."""
    image, case = queries.readable_image(session, actor, image_id)
    check(actor, Verb.SEE_PIXELS, case.domain)
    mask = queries.current_mask(session, image.id)
    if mask is None or mask.digest is None or actor.user_id is None:
        raise WrongState(mask.hold if mask and mask.hold else "The candidate is not ready yet.")
    return image, mask


def strip_frames(frames: int) -> list[int]:
    """The frames (from 1) that a strip of a cine of so many shows: all of a short one, else evenly spaced from the first."""
    count = min(frames, STRIP_FRAMES)
    return [1 + place * frames // count for place in range(count)]


def strip(node: SiteNode, session: Session, actor: Actor, image_id: UUID) -> tuple[bytes, str]:
    """(JPEG of the frames of `strip_frames` side by side, small, the candidate's digest); nobody has been shown them."""
    image, mask = _with_candidate(session, actor, image_id)
    index = Index.of(mask.candidate)
    chosen = strip_frames(image.frames)
    with node.staging.open(image.id, kind_of(mask.revision)) as reader:
        stored = [frame_bytes(reader, index, frame - 1) for frame in chosen]
    params, blobs = index.render_request(stored[0])
    params |= {"frames": len(stored), "size": list(STRIP_CELL), "quality": STRIP_QUALITY}
    _, made = node.sandbox.call("core.dicom.frames:sandboxed_strip", params, [*stored, *blobs[1:]])
    audit.record_read(session, actor, "candidate.read", image.id)
    return made[0], mask.digest or ""


def confirm(session: Session, actor: Actor, image_id: UUID, digest: str) -> ImageMask:
    """A person confirms the very pixels that leave: the digest of the candidate whose frames they were shown."""
    image, case = queries.readable_image(session, actor, image_id)
    check(actor, Verb.REGISTER, case.domain)
    locked(session, case.id)
    mask = queries.current_mask(session, image.id)
    if case.state != CaseState.CURATING or mask is None or mask.digest is None:
        raise WrongState("There is no candidate to confirm.")
    if digest != mask.digest:
        raise Conflict("The candidate was changed after you looked; look at the new one.")
    if mask.state == MaskState.CONFIRMED:
        return mask
    if actor.user_id is None:
        raise WrongState("Only a person can confirm.")
    if not mask.text_read:
        raise WrongState("Text in this picture is still being looked for; try again in a moment.")
    if waiting := texts.open_places(mask):
        raise WrongState(f"Text in the picture waits for your answer, mask it or leave it ({len(waiting)} to go).")
    missing = set(mask.to_show) - queries.frames_shown(session, mask.id, actor.user_id)
    if missing:
        raise WrongState(f"You have not been shown frame {min(missing)} yet ({len(missing)} to go).")
    move(session, actor, mask, MaskState.CONFIRMED)
    mask.confirmed_by, mask.confirmed_at = actor.user_id, now_utc()
    return mask
