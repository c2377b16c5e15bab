"""One accepted case at central: its images with their regions, its record in words, and how it came."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.models.bank import BankRoi
from core.permissions import Actor, Verb
from core.queries.bank_facts import Picture
from core.services.bank import OpenCase, open_case
from core.services.drawing import keyframe_boxes
from web.bank_words import code_name, groups, in_words
from web.deps import SessionDep, may
from web.pages.bank import instance_path
from web.render import look_of, page
from web.texts import Language

router = APIRouter(include_in_schema=False)
ROLES: Final = ("central",)
Reader = Annotated[Actor, may(Verb.SEE_BANK)]
_STILL_MS: Final = 40.0


@dataclass(frozen=True)
class Box:
    """A region on one frame, in pixels of the image; `lesion` counts the lesions of the case from 1."""

    frame: int
    x: float
    y: float
    width: float
    height: float
    words: str
    lesion: int

    def on_screen(self) -> dict[str, float | int]:
        """What the viewer's script needs."""
        return {"f": self.frame, "x": self.x, "y": self.y, "w": self.width, "h": self.height, "n": self.lesion}


@dataclass(frozen=True)
class View:
    """One image of the record, and its place in the archive (None for who may not read there)."""

    number: int
    path: str | None
    record: dict[str, Any]
    is_replicated: bool
    boxes: list[Box]

    @property
    def frames(self) -> int:
        return int(self.record["frames"])


@router.get("/cases/{case_id}")
def bank_case_page(request: Request, case_id: UUID, session: SessionDep, actor: Reader) -> Response:
    opened, lang = open_case(session, actor, case_id), look_of(request).lang
    views = views_of(opened, lang, actor)
    shown = views[min(_asked(request, "image"), len(views)) - 1]
    values = opened.record["values"]
    return page(
        request,
        "bank_case.html",
        {
            "actor": actor,
            "case": opened.case,
            "record": opened.record,
            "diagnosis": next(iter(values.get("diagnosis", {}).get("codes", ())), None),
            "groups": groups(lang, opened.record),
            "views": views,
            "shown": shown,
            "shown_boxes": json.dumps([box.on_screen() for box in shown.boxes]),
            "frame": min(_asked(request, "frame"), shown.frames),
            "frame_ms": values.get("frame_time_ms", {}).get("value", _STILL_MS),
            "rois": rois_of(opened, views, lang),
            "versions": opened.versions,
            "arrival": opened.arrival,
            "in_words": lambda kind, value: in_words(lang, kind, value),
        },
    )


def _asked(request: Request, name: str) -> int:
    wanted = request.query_params.get(name, "1")
    return max(1, int(wanted)) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 8 else 1


def _lesions(rois: Sequence[BankRoi]) -> dict[UUID, int]:
    """The lesions of a case, numbered in the order in which they first appear."""
    return {lesion: place for place, lesion in enumerate(dict.fromkeys(roi.lesion_id for roi in rois), 1)}


def views_of(opened: OpenCase, lang: Language, actor: Actor) -> list[View]:
    replicated = {str(image.id): image.replicated for image in opened.images}
    lesions = _lesions(opened.rois)
    may_look = actor.may(Verb.DICOM_READ, opened.case.domain)
    found = []
    for number, entry in enumerate(opened.record["images"], 1):
        place = Picture(entry["study_uid"], entry["series_uid"], entry["sop_instance_uid"])
        boxes = [
            Box(frame, *box, code_name(lang, "diagnosis", roi.label), lesions[roi.lesion_id])
            for roi in opened.rois
            if str(roi.image_id) == entry["image_id"]
            for frame, box in keyframe_boxes(roi)
        ]
        path = instance_path(place) if may_look else None
        found.append(View(number, path, entry, replicated.get(entry["image_id"], False), boxes))
    return found


@dataclass(frozen=True)
class RoiRow:
    """A region as the table shows it; millimetres where its image has a scale."""

    roi: BankRoi
    image: int
    lesion: int
    words: str
    mm: tuple[float, float] | None
    drawn_by: str
    source: str


def rois_of(opened: OpenCase, views: Sequence[View], lang: Language) -> list[RoiRow]:
    by_id = {view.record["image_id"]: view for view in views}
    drawn = {entry["roi_id"]: entry for entry in opened.record["rois"]}
    lesions = _lesions(opened.rois)
    found = []
    for roi in opened.rois:
        view, entry = by_id[str(roi.image_id)], drawn[str(roi.id)]
        scale = view.record["mm_per_px"]
        mm = (roi.width * scale["x"], roi.height * scale["y"]) if scale else None
        reader, source = in_words(lang, "reader", entry["drawn_by"]), in_words(lang, "source", entry["source"])
        words = code_name(lang, "diagnosis", roi.label)
        found.append(RoiRow(roi, view.number, lesions[roi.lesion_id], words, mm, reader, source))
    return sorted(found, key=lambda row: (row.image, row.roi.frame, row.lesion))
