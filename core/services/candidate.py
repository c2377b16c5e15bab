"""Writes the candidate of a mask, the final pixels of every frame, and masks what text it still shows."""

from functools import partial
from typing import Final

from core.deid.candidate import Index, plan
from core.deid.candidate_stream import write_stream
from core.deid.masks import Rect
from core.deid.text_judge import Finding
from core.dicom.part10 import open_part10
from core.errors import Refused
from core.models.curation import ImageMask
from core.models.sitecase import SiteImage
from core.node import SiteNode
from core.services import texts
from core.services.facts import regions_of

_ROUNDS: Final = 3


def kind_of(mask_revision: int) -> str:
    """The staging kind of a candidate: one file for each revision of the mask."""
    return f"candidate-{mask_revision}"


def write(node: SiteNode, image: SiteImage, mask: ImageMask) -> tuple[Index, list[Finding]]:
    """The candidate, and the text that it still shows. `mask` takes the rectangles that text adds.

    What surely identifies is masked too as long as nobody has seen the mask: in a person's own one it is a question."""
    for _ in range(_ROUNDS):
        index = _written(node, image, mask)
        with node.staging.open(image.id, kind_of(mask.revision)) as stream:
            rects = [Rect(*rect) for rect in mask.rects]
            picture = texts.candidate_picture(stream, index)
            found = texts.look(node, image, picture, regions_of(image.facts), rects)
        more = texts.to_mask(mask, found, image.columns, image.rows) if not mask.is_drawn else []
        if not more:
            break
        mask.rects = [*mask.rects, *(list(rect) for rect, _ in more)]
        mask.reasons = [*mask.reasons, *(reason for _, reason in more)]
    return index, found


def _written(node: SiteNode, image: SiteImage, mask: ImageMask) -> Index:
    with node.staging.open(image.id, "original") as reader:
        part10 = open_part10(reader, reader.size)
        if part10.pixel is None:
            raise Refused("This object has no picture.")
        rects = [Rect(*rect) for rect in mask.rects]
        how = plan(part10.dataset, part10.pixel, rects, regions_of(image.facts))
        store = partial(node.staging.put, image.id, kind_of(mask.revision))
        return write_stream(node.sandbox, reader, part10, how, node.settings.decode_processes, store)
