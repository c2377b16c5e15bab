"""Frames of the identified original, for the curator's eyes only."""

from uuid import UUID

from sqlmodel import Session

from core import audit
from core.dicom.display import palette_of
from core.dicom.part10 import open_part10
from core.errors import Malformed, WrongState
from core.models.sitecase import ImageState
from core.node import SiteNode
from core.permissions import Actor, Verb, check
from core.queries import cases as queries
from core.services.decoding import original_frame, png_of


def frame(
    node: SiteNode, session: Session, actor: Actor, image_id: UUID, number: int, width: int | None = None
) -> bytes:
    """PNG of one frame, counted from 1; `width` makes it small."""
    image, case = queries.readable_image(session, actor, image_id)
    check(actor, Verb.SEE_PIXELS, case.domain)
    if image.state != ImageState.STAGED or case.purged_at is not None:
        raise WrongState("Its bytes are not here.")
    if not 1 <= number <= image.frames:
        raise Malformed(f"This image has frames 1 to {image.frames}.")
    audit.record_read(session, actor, "original.read", image.id)
    with node.staging.open(image.id, "original") as reader:
        part10 = open_part10(reader, reader.size)
        if part10.pixel is None:
            raise WrongState("This object has no picture.")
        data, fmt = original_frame(node.sandbox, reader, part10, number)
        return png_of(node.sandbox, data, fmt, palette_of(part10.dataset), width=width)
