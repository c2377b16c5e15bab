"""Who said what of a case, side by side: every answer and every ROI of the case itself and of the readings handed in."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session

from core.curation.shapes import CLOSED, Point, outline
from core.curation.tracks import interpolate
from core.models.curation import Roi
from core.models.reads import ReadState
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.queries import reads as read_queries
from core.queries.case_conflict import plain_values
from core.queries.case_words import words_of
from core.queries.reads import Assignment, HandedIn
from core.services import curation
from core.services.drawing import track_of
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import FieldSpec, Label, Option

# How a choice names the case's own side; a reading is named by its id.
CASE: Final = "case"
OTHER: Final = "other"


@dataclass(frozen=True)
class Side:
    """One who said something: the case itself, or a reading. `letter` stands on its outlines."""

    key: str
    letter: str
    name: str | None
    answers: Mapping[str, Any]
    rois: tuple[Roi, ...]

    def on(self, image_id: UUID) -> list[Roi]:
        return [roi for roi in self.rois if roi.image_id == image_id]


@dataclass(frozen=True)
class Opinion:
    side: Side
    words: tuple[Label, ...]
    values: tuple[str, ...]


@dataclass(frozen=True)
class FieldLine:
    """One field with what each side says. `proposed` is the side to take where most say the same; None: a person decides."""

    spec: FieldSpec
    options: tuple[Option, ...]
    opinions: tuple[Opinion, ...]
    is_same: bool
    proposed: str | None


@dataclass(frozen=True)
class ImageLine:
    """One image on which somebody drew, with the frames on which they did."""

    image: SiteImage
    frames: tuple[int, ...]
    counts: tuple[tuple[Side, int], ...]


@dataclass(frozen=True)
class Comparison:
    case: SiteCase
    version: int
    sides: tuple[Side, ...]
    fields: tuple[FieldLine, ...]
    images: tuple[ImageLine, ...]
    assignments: tuple[Assignment, ...]

    @property
    def waits_for(self) -> int:
        """How many readings are still open."""
        return sum(one.is_open for one in self.assignments)

    @property
    def is_settled(self) -> bool:
        return not any(one.read.state == ReadState.SUBMITTED for one in self.assignments)

    def may_settle(self, actor: Actor) -> bool:
        """Whether this person may decide now: all is handed in, and they are none of the readers."""
        is_reader = any(one.read.reader_id == actor.user_id for one in self.assignments)
        is_ready = not self.is_settled and not self.waits_for and self.case.state == CaseState.CURATING
        return is_ready and not is_reader and actor.may(Verb.ASSIGN, self.case.domain)


def comparison(session: Session, actor: Actor, case_id: UUID) -> Comparison:
    """Raises as `reads.led_case`. Readings that are still open say nothing here."""
    case = read_queries.led_case(session, actor, case_id)
    entries, version = curation.present_form(session, case)
    given = read_queries.handed_in(session, actor, case.id)
    sides = (Side(CASE, "", None, _plain(entries), tuple(queries.rois_of(session, case.id))), *_readers(given))
    return Comparison(
        case,
        version,
        sides,
        _fields(case.domain, sides),
        _images(session, case, sides),
        tuple(read_queries.reads_of(session, actor, case.id)),
    )


def _readers(given: Sequence[HandedIn]) -> list[Side]:
    return [
        Side(str(one.read.id), ascii_uppercase[place % 26], one.reader, _plain(one.read.values), one.rois)
        for place, one in enumerate(given)
    ]


def _plain(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {code: entry["value"] for code, entry in entries.items()}


def _fields(domain: str, sides: Sequence[Side]) -> tuple[FieldLine, ...]:
    """What anybody answered by hand, the differences first, each group in the order of the form."""
    organ = vocabulary.load(domain)
    lines = []
    for spec in organ.fields:
        if spec.readonly or all(side.answers.get(spec.code) is None for side in sides):
            continue
        opinions = tuple(_opinion(organ, side, spec.code) for side in sides)
        is_same = len({opinion.values for opinion in opinions}) == 1
        lines.append(FieldLine(spec, organ.options.get(spec.code, ()), opinions, is_same, _proposed(opinions)))
    return tuple(sorted(lines, key=lambda line: line.is_same))


def _opinion(organ: vocabulary.Domain, side: Side, code: str) -> Opinion:
    value = side.answers.get(code)
    # The order of several codes says which decided, not what was found: two readers agree on the set.
    values = plain_values(value)
    ordered = values if code == "basis" else sorted(values)
    return Opinion(side, tuple(words_of(organ, code, value)), tuple(ordered))


def _proposed(opinions: Sequence[Opinion]) -> str | None:
    """The first side that says what more than half of all say; a missing answer is no vote for emptiness."""
    counted = Counter(opinion.values for opinion in opinions if opinion.values)
    if not counted:
        return CASE
    values, votes = counted.most_common(1)[0]
    if votes * 2 <= len(opinions):
        return None
    return next(opinion.side.key for opinion in opinions if opinion.values == values)


def _images(session: Session, case: SiteCase, sides: Sequence[Side]) -> tuple[ImageLine, ...]:
    lines = []
    for image in queries.images_of(session, case.id):
        frames = sorted({frame for side in sides for roi in side.on(image.id) for frame in frames_of(roi)})
        if frames:
            counts = tuple((side, len(side.on(image.id))) for side in sides)
            lines.append(ImageLine(image, tuple(frames), counts))
    return tuple(lines)


def frames_of(roi: Roi) -> list[int]:
    """The frames on which a person placed the ROI."""
    return track_of(roi).frames


def points_on(roi: Roi, frame: int) -> tuple[tuple[Point, ...], bool] | None:
    """(outline in pixels of the stored frame, whether it is closed) on a frame; None where the ROI is not."""
    shape = interpolate(track_of(roi), frame)
    if shape is None:
        return None
    return (outline(shape), True) if shape.kind in CLOSED else (shape.points, False)
