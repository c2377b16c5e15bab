"""Which images of cases the live page can play: those whose masked candidate is written."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from core.models.curation import ImageMask, MaskState
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.permissions import Actor, Verb, check
from core.queries.cases import readable_cases

MOST = 200


@dataclass(frozen=True)
class Playable:
    """An image of a case; `step_ms` is the stored time between its frames."""

    case_id: UUID
    case_number: int
    domain: str
    image_id: UUID
    number: int
    frames: int
    step_ms: float
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.case_number}-{self.number}"


def playable(session: Session, actor: Actor) -> list[Playable]:
    """The newest cases first, of each case its cines before its stills. Raises Denied for who may see no pixels."""
    check(actor, Verb.SEE_PIXELS)
    cases = readable_cases(actor).where(SiteCase.state == CaseState.CURATING).order_by(col(SiteCase.number).desc())
    known = {case.id: case for case in session.exec(cases.limit(MOST)) if actor.may(Verb.SEE_PIXELS, case.domain)}
    statement = (
        select(SiteImage)
        .join(ImageMask, col(ImageMask.image_id) == SiteImage.id)
        .where(
            col(SiteImage.case_id).in_(known),
            col(ImageMask.digest).is_not(None),
            col(ImageMask.state).in_([MaskState.PROPOSED, MaskState.CONFIRMED]),
        )
    )
    images = sorted(session.exec(statement), key=lambda one: (-known[one.case_id].number, one.frames < 2, one.number))
    return [
        Playable(
            image.case_id, known[image.case_id].number, known[image.case_id].domain, image.id, image.number,
            image.frames, float(image.facts.get("frame_time_ms") or 40), image.facts,
        )
        for image in images[:MOST]
    ]  # fmt: skip
