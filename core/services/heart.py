"""The left ventricle of a case: its marks and contours, and the volumes and ejection fraction that follow from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session

from core.curation import volumes
from core.curation.beats import Beat, proposals
from core.curation.shapes import Points, open_spline, signed_area
from core.curation.volumes import Ejection, Plane, Scale
from core.dicom.ultrasound import region_around
from core.errors import Malformed
from core.models.curation import Roi
from core.models.heart import FrameMarks
from core.models.sitecase import ImageState, SiteCase, SiteImage
from core.queries import cases as queries
from core.queries.heart import contours_of, marks_of
from core.services.facts import regions_of
from core.vocabulary import codelists
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import Option

DOMAIN: Final = "heart"
VIEWS: Final = Path(codelists.__file__).parent / "lists" / "echo_view.tsv"
FOUR_CHAMBER: Final = "399214001"
TWO_CHAMBER: Final = "399232001"
# Where an answer comes from that follows from contours.
CONTOURS: Final = "contours"
# Fields of the form that the volumes answer, the one that they are about first.
ANSWERS: Final = ("lvef_percent", "edv_ml", "esv_ml", "lvef_method")


@cache
def views() -> tuple[Option, ...]:
    """The views that an image may show, in the order of their list."""
    return codelists.read(VIEWS)


@dataclass(frozen=True)
class View:
    """One of the two views that volumes need. `beat` is the beat that is measured; `problem` says why a contour of it
    cannot be; `image` is the number of the image, None where no image is said to show this view."""

    code: str
    image: int | None = None
    beat: Beat = (None, None)
    diastole: Plane | None = None
    systole: Plane | None = None
    problem: str | None = None

    @property
    def is_whole(self) -> bool:
        return self.diastole is not None and self.systole is not None


@dataclass(frozen=True)
class Measured:
    """Ejections by every method that the contours allow, the preferred one first, or the problem that keeps them away.

    `length_difference_percent`: how much the long axes differ at end diastole; above 10 one view is foreshortened."""

    four_chamber: View
    two_chamber: View
    ejections: tuple[Ejection, ...] = ()
    length_difference_percent: float | None = None
    problem: str | None = None


def measured(session: Session, case: SiteCase) -> Measured:
    """Biplane where both views have contours at end diastole and end systole of a beat, else of the one that has."""
    picks = queries.picks_of(session, case.id)
    images = [
        image
        for image in queries.images_of(session, case.id)
        if image.state == ImageState.STAGED and image.frames and not (image.id in picks and not picks[image.id].picked)
    ]
    marks, contours = marks_of(session, case.id), contours_of(session, case.id)
    four, two = (_view(code, images, marks, contours) for code in (FOUR_CHAMBER, TWO_CHAMBER))
    try:
        return _with_volumes(four, two)
    except Malformed as error:
        return Measured(four, two, problem=error.message)


def answers(session: Session, case: SiteCase) -> dict[str, Any]:
    """What the volumes answer on the organ's form, as a person would enter it; empty without volumes."""
    fields = {field.code for field in vocabulary.load(case.domain).fields}
    if not fields.issuperset(ANSWERS):
        return {}
    found = measured(session, case).ejections
    return answers_of(found[0]) if found else {}


def answers_of(ejection: Ejection) -> dict[str, Any]:
    """{field: value}: percent and millilitres to one place, the method by its code of CID 12228."""
    return {
        "lvef_percent": round(ejection.fraction_percent, 1),
        "edv_ml": round(ejection.end_diastolic_ml, 1),
        "esv_ml": round(ejection.end_systolic_ml, 1),
        "lvef_method": ejection.method.value,
    }


def from_contours(session: Session, case: SiteCase, given: Mapping[str, Any]) -> dict[str, Any]:
    """Form entries of those given answers that are what the contours say, or what they said when they were taken over."""
    if ANSWERS[0] not in given:
        return {}
    saved, found = queries.form_of(session, case.id), answers(session, case)
    before = saved.values if saved else {}
    is_now = found.get(ANSWERS[0]) == given[ANSWERS[0]]
    entries = {}
    for field in ANSWERS:
        entry = {"value": given.get(field), "source": "derived", "tag": CONTOURS}
        if field in given and (before.get(field) == entry or (is_now and found.get(field) == given[field])):
            entries[field] = entry
    return entries


def proposed(image: SiteImage, contour: Roi | None) -> tuple[Beat, ...]:
    """Beats that a person may take over, from the file's R waves and the contours that are drawn."""
    areas = {frame: abs(signed_area(open_spline(points))) for frame, points in _keyframes(contour)} if contour else {}
    return proposals(times_ms(image), image.facts.get("r_waves_ms") or (), image.facts.get("heart_rate"), areas)


def times_ms(image: SiteImage) -> list[float]:
    """When each frame was taken, in ms after the first; empty where the file does not say."""
    stated = image.facts.get("frame_times_ms") or []
    step = image.facts.get("frame_time_ms")
    if len(stated) == image.frames:
        return [float(one) for one in stated]
    return [step * frame for frame in range(image.frames)] if step else []


def _view(
    code: str, images: Sequence[SiteImage], marks: Mapping[UUID, FrameMarks], contours: Mapping[UUID, Roi]
) -> View:
    """Of several images of one view the first on which a beat has both contours, else the first one."""
    shown = [image for image in images if image.id in marks and marks[image.id].view == code]
    tried = [_traced(code, image, marks[image.id], contours.get(image.id)) for image in shown]
    return next((one for one in tried if one.is_whole), next(iter(tried), View(code)))


def _traced(code: str, image: SiteImage, marks: FrameMarks, contour: Roi | None) -> View:
    """The first beat with both contours, else the one that has one."""
    drawn = dict(_keyframes(contour)) if contour else {}
    beats: list[Beat] = [(beat[0], beat[1]) for beat in marks.beats]
    beats.sort(key=lambda beat: -sum(frame in drawn for frame in beat if frame is not None))
    beat = beats[0] if beats else (None, None)
    planes: list[Plane | None] = []
    problem = None
    for frame in beat:
        try:
            planes.append(_plane(image, drawn[frame]) if frame in drawn else None)
        except Malformed as error:
            problem = error.message
            planes.append(None)
    return View(code, image.number, beat, planes[0], planes[1], problem)


def _keyframes(contour: Roi) -> list[tuple[int, Points]]:
    return [(frame, tuple((float(x), float(y)) for x, y in points)) for frame, points in contour.keyframes]


def _plane(image: SiteImage, points: Points) -> Plane:
    return volumes.plane_of(open_spline(points), scale_of(image, points))


def scale_of(image: SiteImage, points: Points) -> Scale | None:
    """Millimetres a pixel of the region that holds the whole contour; None where there is none, never guessed."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    last_x, last_y = math.ceil(max(xs)) - 1, math.ceil(max(ys)) - 1
    region = region_around(regions_of(image.facts), int(min(xs)), int(min(ys)), last_x, last_y)
    return region.mm_per_px if region else None


def _with_volumes(four: View, two: View) -> Measured:
    both = [(view.diastole, view.systole) for view in (four, two) if view.diastole and view.systole]
    if len(both) == 2:
        (ed4, es4), (ed2, es2) = both
        disks, lengths = volumes.disks_biplane, volumes.area_length_biplane
        found = (volumes.ejection(way(ed4, ed2), way(es4, es2)) for way in (disks, lengths))
        return Measured(four, two, tuple(found), disks(ed4, ed2).length_difference_percent)
    if not both:
        return Measured(four, two)
    ((ed, es),) = both
    ways = (volumes.disks_single_plane, volumes.area_length_single_plane)
    return Measured(four, two, tuple(volumes.ejection(way(ed), way(es)) for way in ways))
