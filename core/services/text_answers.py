"""A person says of text in a picture whether it is masked or stays because it names nobody."""

from collections.abc import Mapping
from typing import Final, Literal
from uuid import UUID

from sqlmodel import Session

from core import audit
from core.clock import now_utc
from core.errors import Conflict, Malformed, WrongState
from core.models.curation import ImageMask
from core.permissions import Actor
from core.queries import cases as queries
from core.services import masks, texts
from core.services.curation import editable_image

Answer = Literal["mask", "leave"]
MASK: Final = "mask"


def answer(session: Session, actor: Actor, image_id: UUID, revision: int, answers: Mapping[int, Answer]) -> ImageMask:
    """Answer for some places, by their number in the present mask's list; `revision` is the one that the person saw.

    What is masked makes one new revision with a rectangle over each of these places; what stays is written down with who
    said so. Raises Conflict when the mask was changed meanwhile, Malformed for a place that is not there."""
    image = editable_image(session, actor, image_id)
    mask = queries.current_mask(session, image.id)
    if mask is None or mask.revision != revision:
        raise Conflict("The mask was changed meanwhile; load it and decide.")
    if not mask.text_read:
        raise WrongState("Text in this picture is still being looked for; try again in a moment.")
    if not answers or any(not 0 <= number < len(mask.texts) for number in answers):
        raise Malformed("There is no such text in this picture.")
    _leave(session, actor, mask, [number for number, said in answers.items() if said == texts.LEAVE])
    chosen = [mask.texts[number] for number, said in sorted(answers.items()) if said == MASK]
    if not chosen:
        return mask
    rects = {texts.rect_of(one["box"], image.columns, image.rows): texts.reason(one["what"]) for one in chosen}
    known = [(int(x), int(y), int(width), int(height)) for x, y, width, height in mask.rects]
    return masks.set_rects(
        session, actor, image.id, [*known, *rects], revision, {tuple(r): why for r, why in rects.items()}
    )


def _leave(session: Session, actor: Actor, mask: ImageMask, numbers: list[int]) -> None:
    if not numbers:
        return
    said = {"answer": texts.LEAVE, "by": str(actor.user_id), "at": now_utc().isoformat(timespec="seconds")}
    mask.texts = [one | said if number in numbers else one for number, one in enumerate(mask.texts)]
    kinds = ",".join(sorted({str(mask.texts[number]["what"]) for number in numbers}))
    audit.record(session, actor, "mask.text-left", mask.id, places=len(numbers), kinds=kinds)
    session.add(mask)
