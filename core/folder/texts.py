"""Reads what is still written in a candidate's frames, and says what of it must go and what is a person's question."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO, Final

from core.deid.candidate import Index, frame_bytes
from core.deid.masks import Rect
from core.deid.text import TEXT_MEMORY, TEXT_SECONDS, Text
from core.deid.text_judge import Finding, Kind, judge
from core.deid.text_match import Identifiers
from core.dicom.facts import InstanceIdentity
from core.sandbox import Sandbox

READER: Final = "text-1"  # raised with everything that could make a reading come out otherwise
_ROOM: Final = 1 << 30  # bytes of the machine for each reader, which takes about half of it
_TOUCH: Final = 4  # pixels
_BATCH_FRAMES: Final = 16
_BATCH_BYTES: Final = 24 << 20  # of decoded samples
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
        """The boxes of all of them, once each."""
        boxes = dict.fromkeys(one.box for one in (*self.identifiers, *self.questions))
        return tuple(Rect(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes)


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
    Every frame is looked at; read is what is new on it (`core.deid.overlays`). Raises Refused for a broken frame."""
    texts: list[Text] = []
    for frame, areas in _to_read(pool, stream, index):
        params, blobs = _request(stream, index, [frame])
        answer, _ = pool.call("core.deid.text:sandboxed_read", params | {"frames": [frame], "areas": areas}, blobs)
        texts += [Text(one["frame"], _box(one["box"]), one["words"], one["score"]) for one in answer["texts"]]
    findings = [
        replace(one, kind=Kind.IDENTIFIER, what="cut") if one.kind is Kind.LABEL and _touches(one.box, rule) else one
        for one in judge(texts, known, kept)
    ]
    return Seen(
        tuple(one for one in findings if one.kind is Kind.IDENTIFIER),
        tuple(one for one in findings if one.kind is Kind.QUESTION),
    )


def _touches(box: _Box, others: Sequence[_Box]) -> bool:
    x0, y0, x1, y1 = box[0] - _TOUCH, box[1] - _TOUCH, box[2] + _TOUCH, box[3] + _TOUCH
    return any(x0 < right and left < x1 and y0 < bottom and top < y1 for left, top, right, bottom in others)


def _to_read(pool: Sandbox, stream: BinaryIO, index: Index) -> Iterator[tuple[int, list[list[int]] | None]]:
    """(frame from 1, the areas of it to read, None for all of it)."""
    total = index.format.frames
    if total == 1:
        yield 1, None
        return
    size = min(max(_BATCH_BYTES // index.format.frame_bytes, 1), _BATCH_FRAMES)
    state: list[bytes] = []
    for first in range(1, total + 1, size):
        numbers = range(first, min(first + size, total + 1))
        params, blobs = _request(stream, index, numbers)
        params |= {"first": first, "count": len(numbers), "areas": None, "has_state": bool(state)}
        answer, state = pool.call("core.deid.overlays:sandboxed_scan", params, [*blobs, *state])
        for one in answer["reads"]:
            yield int(one["frame"]), one["areas"]


def _request(stream: BinaryIO, index: Index, numbers: Sequence[int]) -> tuple[dict[str, Any], list[bytes]]:
    """Format, palette and coded bytes of these frames (from 1) as the sandboxed functions take them."""
    params: dict[str, Any] = {"fmt": asdict(index.format), "palette": None}
    blobs = [frame_bytes(stream, index, number - 1) for number in numbers]
    if index.palette is not None:
        params["palette"] = {"first": index.palette.first, "dtype": index.palette.lut.dtype.name}
        blobs.append(index.palette.lut.tobytes())
    return params, blobs


def _box(values: Sequence[int]) -> _Box:
    x0, y0, x1, y1 = (int(value) for value in values)
    return x0, y0, x1, y1
