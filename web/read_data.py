"""What the scripts of a reading page are told: the pictures and the reader's own marks, and nothing that others said."""

import json
from typing import Any

from core.models.curation import ImageMask
from core.models.sitecase import SiteImage
from core.permissions import Actor, Verb
from core.queries.read_form import may_write
from core.queries.reads import ReadPage
from web import case_data
from web.texts import Language


def address(page: ReadPage) -> str:
    """Where this reading's pictures and marks are, as `/cases/{id}` is for a case."""
    return f"/reads/{page.read.id}"


def island(page: ReadPage, actor: Actor, lang: Language) -> str:
    """JSON for the scripts of the case page, with the addresses of this reading. No mask is confirmed here."""
    data = {
        "caseId": str(page.read.id),
        "base": address(page),
        "isReading": True,
        "isOpen": False,
        "images": [image_json(page, image, mask) for image, mask in page.images],
        "mayCurate": may_write(page, actor),
        "mayRegister": False,
        "maySeePixels": actor.may(Verb.SEE_PIXELS, page.case.domain),
        "lang": lang,
        **case_data.words_for(page.case.domain, lang),
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def image_json(page: ReadPage, image: SiteImage, mask: ImageMask | None) -> dict[str, Any]:
    """As the case page's, without what a curator decided of the image."""
    rois = [case_data.roi_json(roi, image) for roi in page.rois if roi.image_id == image.id]
    return case_data.picture_json(image) | {"mask": mask_json(mask), "rois": rois}


def mask_json(mask: ImageMask | None) -> dict[str, Any] | None:
    """Only what the picture needs: which candidate it is, and where it is masked."""
    if mask is None:
        return None
    return {
        "revision": mask.revision,
        "state": mask.state,
        "rects": mask.rects,
        "reasons": [""] * len(mask.rects),
        "digest": mask.digest,
        "toShow": [],
        "shown": [],
        "textRead": True,
        "texts": [],
        "hold": None,
    }
