"""Reads what is still written in a candidate's frames, and says what of it must go and what is a person's question."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from core.deid.candidate import Index, frame_bytes
from core.deid.masks import Rect
from core.deid.text_judge import Finding, Kind, judge
from core.deid.text_line import TEXT_MEMORY, TEXT_SECONDS
from core.deid.text_match import Identifiers
from core.deid.text_search import Picture, find_texts
from core.dicom.facts import InstanceIdentity
from core.sandbox import Sandbox

_ROOM: Final = 1 << 30  # bytes of the machine for each reader, which takes about half of it
_TOUCH: Final = 4  # pixels
_GROW: Final = 3  # pixels round a line: letters reach a little further than a detector says
_Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Seen:
    """`identifiers` point at the patient; `questions` look like writing and could not be judged; labels are left out."""

    identifiers: tuple[Finding, ...]
    questions: tuple[Finding, ...]

    @property
    def is_silent(self) -> bool:
        return not self.identifiers and not self.questions

    @property
    def rects(self) -> tuple[Rect, ...]:
        """The boxes of all of them, once each, with a little room."""
        boxes = dict.fromkeys(one.box for one in (*self.identifiers, *self.questions))
        grown = [(max(x0 - _GROW, 0), max(y0 - _GROW, 0), x1 + _GROW, y1 + _GROW) for x0, y0, x1, y1 in boxes]
        return tuple(Rect(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in grown)


@contextmanager
def readers(size: int) -> Iterator[Sandbox]:
    """The children that read, for the time of a run: as many as the memory of the machine has room for, at most `size`."""
    room = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _ROOM
    with Sandbox(size=max(1, min(size, room)), memory_bytes=TEXT_MEMORY, wall_seconds=TEXT_SECONDS) as pool:
        yield pool


def identifiers_of(identity: InstanceIdentity, values: Mapping[str, Sequence[str]]) -> Identifiers:
    """A file's own values, and what other files of the same patient said (`values` by field of InstanceIdentity)."""
    own_ids = (*identity.other_patient_ids, *values.get("patient_id", ()), *values.get("accession", ()))
    return Identifiers.of(
        replace(
            identity,
            patient_name=(*identity.patient_name, *values.get("patient_name", ())),
            other_patient_names=(*identity.other_patient_names, *values.get("other_patient_names", ())),
            other_patient_ids=(*own_ids, *values.get("other_patient_ids", ())),
            staff_names=(*identity.staff_names, *values.get("staff_names", ())),
            institutions=(*identity.institutions, *values.get("institutions", ())),
        )
    )


def look(
    pool: Sandbox, stream: BinaryIO, index: Index, kept: Sequence[_Box], rule: Sequence[_Box], known: Identifiers
) -> Seen:
    """What is written in the frames of a candidate. `kept`: where the picture is, regions or what the mask left.

    `rule`: boxes of the mask at whose edge even a label goes, for it may be what is left of a name cut in two.
    Raises Refused for a broken frame."""
    picture = Picture(index.format, lambda number: frame_bytes(stream, index, number - 1), index.palette)
    findings = [
        replace(one, kind=Kind.IDENTIFIER, what="cut") if one.kind is Kind.LABEL and _touches(one.box, rule) else one
        for one in judge(find_texts(pool, picture), known, kept)
    ]
    return Seen(
        tuple(one for one in findings if one.kind is Kind.IDENTIFIER),
        tuple(one for one in findings if one.kind is Kind.QUESTION),
    )


def _touches(box: _Box, others: Sequence[_Box]) -> bool:
    x0, y0, x1, y1 = box[0] - _TOUCH, box[1] - _TOUCH, box[2] + _TOUCH, box[3] + _TOUCH
    return any(x0 < right and left < x1 and y0 < bottom and top < y1 for left, top, right, bottom in others)
