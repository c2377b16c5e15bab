"""Text in a picture: looked for in the candidate, judged with this patient's own values; a person answers what remains.

What was read is judged anew each time, and kept sealed only (`core.services.readings`). In the clear are places and kinds,
never what is written there: {frame, box, kind, what, answer, by, at}. `answer` is null until a person said `leave`; a
place that was masked is not there any more when the next candidate is looked through."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, Final

from core.deid.candidate import Index, frame_bytes
from core.deid.masks import MOST_RECTS, Rect, kept_regions
from core.deid.text_judge import Finding, Kind, judge
from core.deid.text_search import Picture
from core.dicom.pixel_format import PixelFormat
from core.dicom.ultrasound import Region
from core.models.curation import ImageMask
from core.models.sitecase import SiteImage
from core.node import SiteNode
from core.permissions import SYSTEM
from core.services.readings import texts_of

LEAVE: Final = "leave"
_ROOM: Final = 3  # pixels round a line: letters reach a little further than a detector says
_EDGE: Final = 3
_SAME: Final = 0.5  # of their union: two boxes over one text
REASONS: Final[Mapping[str, str]] = {
    "name": "text found: a name?",
    "id": "text found: a chart ID?",
    "birth-date": "text found: the date of birth?",
    "date": "text found: a date?",
    "time": "text found: a time?",
    "institution": "text found: an institution?",
    "operator": "text found: a member of staff?",
    "accession": "text found: an accession number?",
    "number": "text found: a long number?",
    "prompt": "text found: a label such as Name or ID",
    "cut": "text found: cut by the edge of the mask",
    "label": "text found outside the picture",
    "mark": "text found outside the picture",
    "unknown-words": "text found: unknown words",
    "unread": "text found: it could not be read",
}


def candidate_picture(stream: BinaryIO, index: Index) -> Picture:
    """The frames of a written candidate."""
    return Picture(index.format, lambda number: frame_bytes(stream, index, number - 1), index.palette)


def reason(what: str) -> str:
    """Why a rectangle is over a text, as far as a kind tells."""
    return REASONS.get(what, REASONS["unknown-words"])


def look(
    node: SiteNode, image: SiteImage, picture: Picture, regions: Sequence[Region], rects: Sequence[Rect]
) -> list[Finding]:
    """What masked frames still show that may identify; each place once. Raises Refused for frames that do not decode."""
    texts = texts_of(node, image.id, picture)
    if not texts:
        return []
    needles = node.vault.needles(image.case_id, SYSTEM.name)
    found = [_cut(one, rects) for one in judge(texts, needles, _kept(picture.format, regions))]
    return _once([one for one in found if one.kind != Kind.LABEL and not _is_covered(one, rects)])


def _cut(finding: Finding, rects: Sequence[Rect]) -> Finding:
    """Writing that the edge of a mask cuts through cannot be read, though a person may guess it: it is masked too."""
    x0, y0, x1, y1 = finding.box
    near = any(
        r.x - _EDGE < x1 and x0 < r.x + r.width + _EDGE and r.y - _EDGE < y1 and y0 < r.y + r.height + _EDGE
        for r in rects
    )
    doubtful = finding.kind is Kind.QUESTION or finding.what == "stump"
    return replace(finding, kind=Kind.IDENTIFIER, what="cut") if near and doubtful else finding


def _kept(fmt: PixelFormat, regions: Sequence[Region]) -> list[tuple[int, int, int, int]]:
    """The boxes in which a picture is to be expected: the regions, or all that is not masked where there is none."""
    kept = kept_regions(regions, fmt.rows, fmt.columns)
    return [(one.x0, one.y0, one.x1 + 1, one.y1 + 1) for one in kept] or [(0, 0, fmt.columns, fmt.rows)]


def _is_covered(finding: Finding, rects: Sequence[Rect]) -> bool:
    """Whether one rectangle is over the whole place: what is seen there is the edge of the black itself."""
    x0, y0, x1, y1 = finding.box
    return any(r.x <= x0 and r.y <= y0 and r.x + r.width >= x1 and r.y + r.height >= y1 for r in rects)


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """A text that stands still in a cine was read on several frames: the first of them tells of it."""
    kept: list[Finding] = []
    for one in findings:
        if not any(one.what == other.what and _overlap(one.box, other.box) >= _SAME for other in kept):
            kept.append(one)
    return kept


def _overlap(one: Sequence[float], two: Sequence[float]) -> float:
    """Intersection over union of two boxes x0 y0 x1 y1."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, two))
    return width * height / (area - width * height)


def rect_of(box: Sequence[int], columns: int, rows: int) -> Rect:
    """A rectangle that covers a line of text, inside the image."""
    x0, y0 = max(int(box[0]) - _ROOM, 0), max(int(box[1]) - _ROOM, 0)
    x1, y1 = min(int(box[2]) + _ROOM, columns), min(int(box[3]) + _ROOM, rows)
    return Rect(x0, y0, x1 - x0, y1 - y0)


def to_mask(mask: ImageMask, findings: Sequence[Finding], columns: int, rows: int) -> list[tuple[Rect, str]]:
    """(rectangle, its reason) for what surely identifies, as far as a mask has room for more."""
    room = MOST_RECTS - len(mask.rects)
    sure = [one for one in findings if one.kind == Kind.IDENTIFIER]
    return [(rect_of(one.box, columns, rows), reason(one.what)) for one in sure][:room]


def kept_with(before: Sequence[Mapping[str, Any]], findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """What a mask keeps of the findings; a place where a person said `leave` before stays answered."""
    answered = [one for one in before if one.get("answer") == LEAVE]
    return [_kept_one(one, answered) for one in findings]


def _kept_one(finding: Finding, answered: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    same = (one for one in answered if one["what"] == finding.what and _overlap(one["box"], finding.box) >= _SAME)
    known = next(same, None)
    answer = {name: known[name] if known else None for name in ("answer", "by", "at")}
    return finding.as_dict() | answer


def open_places(mask: ImageMask) -> list[int]:
    """The places, by their number in `mask.texts`, that wait for a person."""
    return [number for number, one in enumerate(mask.texts) if one.get("answer") is None]


def not_left(mask: ImageMask, findings: Sequence[Finding]) -> list[Finding]:
    """Of what a released file shows, that which no person allowed to stay."""
    left = [one for one in mask.texts if one.get("answer") == LEAVE]
    return [one for one in findings if not any(_overlap(place["box"], one.box) >= _SAME for place in left)]
