"""What the scripts of the case page are told: the case, its images, masks and ROIs, and the words that they show."""

import json
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import Any, Final

from core.dicom.ultrasound import Region
from core.models.curation import Roi
from core.models.sitecase import CaseState, SiteImage
from core.permissions import Actor, Verb
from core.queries.case_page import CasePage, PageImage, PageMask
from core.services import texts
from core.services.facts import regions_of
from core.services.rois import measures
from core.vocabulary import domain as vocabulary
from web import words
from web.said import said
from web.texts import Language, catalogue

_FACTS: Final = ("manufacturer", "model")
_CYST: Final = "cyst"
# Words that a script puts into the page; those that count keep both forms.
_TEXTS: Final = (
    "viewer.all_confirmed",
    "viewer.area",
    "viewer.box",
    "viewer.centre",
    "viewer.changed",
    "viewer.class",
    "viewer.comma",
    "viewer.confirm",
    "viewer.confirm_rule",
    "viewer.confirmed",
    "viewer.conflict_by",
    "viewer.conflict_deleted",
    "viewer.conflict_drawn",
    "viewer.conflict_mine",
    "viewer.conflict_theirs",
    "viewer.conflict_title",
    "viewer.delete",
    "viewer.drawn",
    "viewer.edited",
    "viewer.failed",
    "viewer.forbidden",
    "viewer.frame_failed",
    "viewer.frame_of",
    "viewer.gone",
    "viewer.lesion",
    "viewer.lesion_new",
    "viewer.lesion_of",
    "viewer.mask_of",
    "viewer.must_look",
    "viewer.new_device",
    "viewer.news_form",
    "viewer.news_marks",
    "viewer.news_pick",
    "viewer.news_roi",
    "viewer.news_what",
    "viewer.next_unseen",
    "viewer.no_areas",
    "viewer.no_mask",
    "viewer.no_pixels",
    "viewer.not_saved",
    "viewer.onward",
    "viewer.original_failed",
    "viewer.other_at",
    "viewer.others",
    "viewer.pause",
    "viewer.picked",
    "viewer.play",
    "viewer.preparing",
    "viewer.rect",
    "viewer.rejected",
    "viewer.rule_confirmed",
    "viewer.rule_left",
    "viewer.state_confirmed",
    "viewer.state_held",
    "viewer.state_preparing",
    "viewer.state_proposed",
    "viewer.take_in",
    "viewer.text_frame",
    "viewer.text_leave",
    "viewer.text_mask",
    "viewer.texts",
    "viewer.texts_first",
    "viewer.under_mask",
    "viewer.unseen",
    "viewer.voids",
)

# The editor of ROIs, its tracks and what a model proposes.
_EDITOR_TEXTS: Final = (
    "viewer.axis_end",
    "viewer.caliper_name",
    "viewer.choose_first",
    "viewer.cyst",
    "viewer.few_points",
    "viewer.frames_of",
    "viewer.keyframes",
    "viewer.kind_ellipse",
    "viewer.kind_line",
    "viewer.kind_points",
    "viewer.kind_polygon",
    "viewer.kind_rectangle",
    "viewer.kind_spline",
    "viewer.landmark_name",
    "viewer.last_keyframe",
    "viewer.merge_apart",
    "viewer.merge_two",
    "viewer.no_lesion",
    "viewer.no_model",
    "viewer.no_next",
    "viewer.no_proposals",
    "viewer.no_split",
    "viewer.non_cyst",
    "viewer.none",
    "viewer.nowhere_else",
    "viewer.object",
    "viewer.proposal_name",
    "viewer.proposals",
    "viewer.proposing",
    "viewer.proposing_failed",
    "viewer.range_on",
    "viewer.strip_measure",
    "viewer.strip_name",
    "viewer.unknown",
    "viewer.use_caliper",
    "viewer.use_landmark",
    "viewer.use_lv",
    "viewer.vertex",
    "viewer.vertex_add",
)


def island(page: CasePage, actor: Actor, lang: Language, zone: tzinfo, live: Mapping[str, Any]) -> str:
    """JSON for the scripts. It holds no identifier: the site works with its own numbers. `live`: newest, canUndo, canRedo."""
    domain = page.case.domain
    data = {
        "caseId": str(page.case.id),
        "nextMask": f"/worklist/next-mask?after={page.case.number}",
        "isOpen": page.case.state == CaseState.CURATING,
        "images": [image_json(image, lang, zone) for image in page.images if image.is_usable],
        "mayCurate": may_curate(page, actor),
        "mayRegister": may_register(page, actor),
        "maySeePixels": actor.may(Verb.SEE_PIXELS, domain),
        "proposes": page.case.state == CaseState.CURATING,
        "lang": lang,
        **live,
        **words_for(domain, lang),
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def words_for(domain: str, lang: Language) -> dict[str, Any]:
    """What the scripts put into the page in words: the classes of the organ, and their own texts."""
    return {
        "labels": _labels(domain, lang),
        "texts": {key.removeprefix("viewer."): catalogue(lang)[key] for key in (*_TEXTS, *_EDITOR_TEXTS)},
    }


def may_curate(page: CasePage, actor: Actor) -> bool:
    """Whether this person may change the case as it is now."""
    return page.case.state == CaseState.CURATING and actor.may(Verb.CURATE, page.case.domain)


def may_register(page: CasePage, actor: Actor) -> bool:
    return page.case.state == CaseState.CURATING and actor.may(Verb.REGISTER, page.case.domain)


def picture_json(image: SiteImage) -> dict[str, Any]:
    """What is known of a picture by its own header."""
    return {
        "id": str(image.id),
        "number": image.number,
        "frames": image.frames,
        "rows": image.rows,
        "columns": image.columns,
        "frameTimeMs": image.facts.get("frame_time_ms"),
        "mmPerPx": image.facts.get("mm_per_px"),
        "regions": [_region(region) for region in regions_of(image.facts)],
        "device": " ".join(str(image.facts[name]) for name in _FACTS if image.facts.get(name)),
    }


def image_json(one: PageImage, lang: Language, zone: tzinfo) -> dict[str, Any]:
    image, pick = one.image, one.pick
    return picture_json(image) | {
        "picked": pick.picked if pick else None,
        "pickReason": pick.reason if pick else None,
        "pickVersion": pick.version if pick else 0,
        "mask": mask_json(one.mask, lang, zone) if one.mask else None,
        # The contour of the left ventricle belongs to the heart panel (web/heart_data.py).
        "rois": [roi_json(roi, image) for roi in one.rois if roi.use != "lv"],
    }


def _region(region: Region) -> dict[str, Any]:
    box = {"x0": region.x0, "y0": region.y0, "x1": region.x1, "y1": region.y1}
    return box | {"mmPerPx": region.mm_per_px, "isLowPriority": region.is_low_priority}


def mask_json(mask: PageMask, lang: Language, zone: tzinfo) -> dict[str, Any]:
    """`shown` are the frames of this candidate that the reader had on the screen; sentences in their language."""
    row = mask.row
    return {
        "revision": row.revision,
        "state": row.state,
        "rects": row.rects,
        "reasons": [said(lang, reason) for reason in row.reasons],
        "ruleId": row.rule_id,
        "ruleVersion": row.rule_version,
        "mustLook": row.must_look,
        "isDrawn": row.is_drawn,
        "digest": row.digest,
        "toShow": row.to_show,
        "shown": mask.shown,
        "textRead": row.text_read,
        "texts": [
            {
                "frame": one["frame"],
                "box": one["box"],
                "what": said(lang, texts.reason(one["what"])),
                "answer": one["answer"],
            }
            for one in row.texts
        ],
        "hold": said(lang, row.hold) if row.hold else None,
        "confirmedBy": mask.confirmed_by,
        "confirmedAt": words.moment(lang, row.confirmed_at, zone) or None,
    }


def roi_json(roi: Roi, image: SiteImage) -> dict[str, Any]:
    """Pixels of the stored frame; `centreMm` is from the corner of the region that holds the box. The box, the crop and
    what is measured are those of the first keyframe; null millimetres are unknown."""
    measured = measures(roi, image)
    return {
        "id": str(roi.id),
        "imageId": str(roi.image_id),
        "lesionId": str(roi.lesion_id),
        "kind": roi.kind,
        "use": roi.use,
        "keyframes": roi.keyframes,
        "outOfView": roi.out_of_view,
        "uncertain": roi.uncertain,
        "frame": roi.frame,
        "x": roi.x,
        "y": roi.y,
        "width": roi.width,
        "height": roi.height,
        "margin": roi.margin,
        "label": roi.label,
        "version": roi.version,
        "deleted": roi.deleted,
        "crop": measured.crop,
        "centrePx": measured.centre_px,
        "centreMm": measured.centre_mm,
        "sizeMm": measured.size_mm,
        "lengthMm": measured.length_mm,
    }


def _labels(domain: str, lang: Language) -> list[dict[str, Any]]:
    """The classes of an ROI: the organ's diagnoses, in the order of its form, and whether each is a cyst."""
    organ = vocabulary.load(domain)
    options: Iterable[Any] = organ.options["diagnosis"]
    return [{"code": o.code, "label": getattr(o.label, lang), "isCyst": _is_cyst(organ, o.code)} for o in options]


def _is_cyst(organ: vocabulary.Domain, code: str) -> bool | None:
    """What the vocabulary derives from a diagnosis; None where it tells no cysts, or of what is no known lesion."""
    four = organ.four_class
    if four is None or _CYST not in {one.code for one in four.classes}:
        return None
    said_of = organ.derive({organ.source: code})
    if said_of["four_class"] == _CYST:
        return True
    return None if said_of["malignancy"] in ("no_lesion", "undetermined") else False
