"""What the heart panel of the case page is told: views, beats, ECG and contours of each cine, and the volumes."""

import json
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session

from core.curation.beats import Beat
from core.curation.volumes import Ejection
from core.models.curation import Roi
from core.models.heart import FrameMarks
from core.models.sitecase import ImageState, SiteCase, SiteImage
from core.queries import cases as queries
from core.queries.heart import contours_of, marks_of
from core.services import heart
from core.services.facts import regions_of
from core.services.heart import Measured, View
from core.vocabulary import codelists
from web.case_data import roi_json
from web.said import said
from web.texts import Language, catalogue

ECG_TRACE: Final = 10  # a region's data type (PS3.3 C.8.5.5.1.2)
# Above this difference of the long axes one of the two views is likely foreshortened (Lang 2015).
FORESHORTENED: Final = 10.0
METHODS: Final = heart.VIEWS.parent / "echo_measure_rhythm.tsv"
# Words that a script puts into the page.
_TEXTS: Final = (
    "heart.beat",
    "heart.comma",
    "heart.ed",
    "heart.ed_long",
    "heart.end_bare",
    "heart.end_drawn",
    "heart.es",
    "heart.es_long",
    "heart.foreshortened",
    "heart.hint_draft",
    "heart.hint_draw",
    "heart.hint_edit",
    "heart.hint_mmode",
    "heart.lacks_contour",
    "heart.lacks_mark",
    "heart.lacks_view",
    "heart.line_end",
    "heart.line_start",
    "heart.mmode_failed",
    "heart.mmode_is",
    "heart.mmode_work",
    "heart.no_copy",
    "heart.no_point",
    "heart.no_volumes",
    "heart.point",
    "heart.point_end",
    "heart.point_uncertain",
    "heart.strip_ecg",
    "heart.strip_no_ecg",
    "heart.strip_trace",
    "heart.taken",
    "heart.too_few",
    "heart.unknown",
    "heart.whole",
)


def island(session: Session, case: SiteCase, lang: Language) -> str | None:
    """JSON for the scripts; None for other organs. It holds no identifier."""
    if case.domain != heart.DOMAIN:
        return None
    data = state_json(session, case, lang) | {
        "views": [{"code": option.code, "label": getattr(option.label, lang)} for option in heart.views()],
        "fields": list(heart.ANSWERS),
        "texts": {key.removeprefix("heart."): catalogue(lang)[key] for key in _TEXTS},
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def state_json(session: Session, case: SiteCase, lang: Language) -> dict[str, Any]:
    """The cines by the id of their image, and the volumes as they are now."""
    marks, contours = marks_of(session, case.id), contours_of(session, case.id)
    images = [
        image for image in queries.images_of(session, case.id) if image.state == ImageState.STAGED and image.frames
    ]
    return {
        "images": {str(one.id): _image(one, marks.get(one.id), contours.get(one.id)) for one in images},
        "volumes": volumes_json(heart.measured(session, case), lang),
    }


def live_json(session: Session, case: SiteCase, lang: Language) -> dict[str, Any]:
    """What follows from marks and contours after one was saved."""
    contours = contours_of(session, case.id)
    proposed = {
        str(image.id): _beats(heart.proposed(image, contours.get(image.id)))
        for image in queries.images_of(session, case.id)
        if image.state == ImageState.STAGED and image.frames > 1
    }
    return {"proposals": proposed, "volumes": volumes_json(heart.measured(session, case), lang)}


def _image(image: SiteImage, marks: FrameMarks | None, contour: Roi | None) -> dict[str, Any]:
    facts = image.facts
    trace = next((region for region in regions_of(facts) if region.data_type == ECG_TRACE), None)
    ecg = facts.get("ecg")
    return marks_json(image.id, marks) | {
        "timesMs": heart.times_ms(image),
        "rWavesMs": facts.get("r_waves_ms") or [],
        "heartRate": facts.get("heart_rate"),
        "ecg": {"startMs": ecg["start_ms"], "stepMs": ecg["step_ms"], "mv": ecg["mv"]} if ecg else None,
        "trace": [trace.x0, trace.y0, trace.x1, trace.y1] if trace else None,
        "contour": roi_json(contour, image) if contour else None,
        "proposals": _beats(heart.proposed(image, contour)),
    }


def marks_json(image_id: UUID, marks: FrameMarks | None) -> dict[str, Any]:
    return {
        "id": str(image_id),
        "view": marks.view if marks else None,
        "beats": marks.beats if marks else [],
        "version": marks.version if marks else 0,
    }


def _beats(beats: tuple[Beat, ...]) -> list[list[int | None]]:
    return [list(beat) for beat in beats]


def volumes_json(found: Measured, lang: Language) -> dict[str, Any]:
    difference = found.length_difference_percent
    return {
        "views": [_view(view, lang) for view in (found.four_chamber, found.two_chamber)],
        "ejections": [_ejection(one, lang) for one in found.ejections],
        "problem": said(lang, found.problem),
        "foreshortened": difference if difference is not None and difference > FORESHORTENED else None,
    }


def _view(view: View, lang: Language) -> dict[str, Any]:
    label = next(option.label for option in heart.views() if option.code == view.code)
    return {
        "code": view.code,
        "label": getattr(label, lang),
        "image": view.image,
        "beat": list(view.beat),
        "diastole": view.diastole is not None,
        "systole": view.systole is not None,
        "problem": said(lang, view.problem),
    }


def _ejection(one: Ejection, lang: Language) -> dict[str, Any]:
    """`answers` is what a person would enter on the form."""
    label = next(option.label for option in codelists.read(METHODS) if option.code == one.method.value)
    return {"method": getattr(label, lang), "answers": heart.answers_of(one)}
