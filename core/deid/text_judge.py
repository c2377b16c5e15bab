"""Judges texts that were read from a picture: what points at this patient, what a person must look at, what may stay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from core.deid.text_line import STUMP, Box, Text
from core.deid.text_match import Identifiers
from core.deid.text_words import Look, look

_INSIDE: Final = 0.5
_LONG: Final = 1.8  # times its height
_LARGE: Final = 44  # pixels: letters so tall are read, speckle of that size is not
_TOUCH: Final = 3  # pixels
_LOOKS: Final = {Look.DATE: "date", Look.TIME: "time", Look.PLACE: "institution", Look.NUMBER: "number"}


class Kind(StrEnum):
    """IDENTIFIER is masked, QUESTION is for a person, LABEL stays."""

    IDENTIFIER = "identifier"
    QUESTION = "question"
    LABEL = "label"


@dataclass(frozen=True)
class Finding:
    """What was found where; `what` is a word of a fixed list, never what was read, so that it can be kept in the clear.

    name, id, birth-date, date, time, institution, operator, accession, prompt, number, cut, unread, unknown-words, label, mark, stump."""

    frame: int
    box: Box
    kind: Kind
    what: str

    def as_dict(self) -> dict[str, Any]:
        return {"frame": self.frame, "box": list(self.box), "kind": str(self.kind), "what": self.what}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        x0, y0, x1, y1 = (int(number) for number in stored["box"])
        return cls(int(stored["frame"]), (x0, y0, x1, y1), Kind(stored["kind"]), str(stored["what"]))


def judge(
    texts: Sequence[Text], identifiers: Identifiers | Sequence[str], kept_boxes: Sequence[Sequence[int]] | None = None
) -> list[Finding]:
    """One finding for each text, in order.

    `identifiers` are this patient's values, as `Identifiers` (with their kinds) or as plain strings. `kept_boxes`
    (x0, y0, x1, y1, ends exclusive) are where the picture is, None for all of the frame: outside them nothing that is
    written is needed, so all that could be read goes and what could not is a question."""
    known = identifiers if isinstance(identifiers, Identifiers) else Identifiers(identifiers)
    return [_finding(text, known, kept_boxes) for text in texts]


def _finding(text: Text, known: Identifiers, kept_boxes: Sequence[Sequence[int]] | None) -> Finding:
    is_inside = kept_boxes is None or any(_is_in(text.box, box) for box in kept_boxes)
    kind, what = _judged(text, known)
    if is_inside and kind is not Kind.IDENTIFIER and _is_cut(text.box, kept_boxes or ()):
        kind, what = Kind.IDENTIFIER, "cut"
    if not is_inside and kind is not Kind.IDENTIFIER and what not in ("mark", "stump"):
        kind = Kind.QUESTION if what == "unread" else Kind.IDENTIFIER
    return Finding(text.frame, text.box, kind, what)


def _judged(text: Text, known: Identifiers) -> tuple[Kind, str]:
    if text.score == STUMP:
        return Kind.LABEL, "stump"
    shown = look(text.words)
    if what := known.match(text.words, is_label=shown is Look.LABEL):
        return Kind.IDENTIFIER, what
    if shown in _LOOKS:
        return Kind.IDENTIFIER, _LOOKS[shown]
    if shown is Look.LABEL and text.words.strip():
        return Kind.LABEL, "label"
    if shown is Look.PROMPT:
        return Kind.IDENTIFIER, "prompt"
    if not text.is_read:
        return (Kind.QUESTION, "unread") if _may_be_words(text) else (Kind.LABEL, "mark")
    return Kind.QUESTION, "unknown-words"


def _may_be_words(text: Text) -> bool:
    """Whether what could not be read is long enough for a name or a number; a blot, an arrow or a cross is not."""
    x0, y0, x1, y1 = text.box
    if not text.words and y1 - y0 > _LARGE:
        return False
    return x1 - x0 >= _LONG * (y1 - y0) or sum(letter.isalnum() for letter in text.words) > 2


def _is_cut(box: Box, kept_boxes: Sequence[Sequence[int]]) -> bool:
    """Whether a text touches the edge of what is kept: it goes on under the mask, and the mask is to cover it."""
    for x0, y0, x1, y1 in kept_boxes:
        edges = ((box[1], y0), (box[3], y1), (box[0], x0))  # the frame's own edges at 0 hide nothing
        if _is_in(box, (x0, y0, x1, y1)) and any(edge > 0 and abs(end - edge) <= _TOUCH for end, edge in edges):
            return True
    return False


def _is_in(box: Box, area: Sequence[int]) -> bool:
    """Whether the better part of a box lies in an area."""
    width = min(box[2], area[2]) - max(box[0], area[0])
    height = min(box[3], area[3]) - max(box[1], area[1])
    return width > 0 and height > 0 and width * height > _INSIDE * (box[2] - box[0]) * (box[3] - box[1])
