"""A line of text on a frame, and what a sandbox that reads it needs; apart from the reader, which loads the models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Box = tuple[int, int, int, int]

_ROOM: Final = 3  # pixels round a line: letters reach a little further than a detector says
READER: Final = "text-2"  # raised with everything that could make a reading come out otherwise
UNREAD: Final = 0.6  # of the recogniser: below it a line counts as not read
TEXT_MEMORY: Final = 3 << 29
TEXT_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Text:
    """One line of text on a frame (from 1): x0, y0, x1, y1 in pixels of the stored frame, ends exclusive.

    `words` is empty where something looks like text and could not be read; `score` 0..1 is the recogniser's."""

    frame: int
    box: Box
    words: str
    score: float

    @property
    def is_read(self) -> bool:
        """Whether the reader is sure enough of the words to judge them."""
        return bool(self.words) and self.score >= UNREAD


def covering(box: Sequence[int]) -> Box:
    """What has to be masked for a line: a letter more at both ends, for the first or last is what a reader misses.

    From 0; the end of the picture is not known here."""
    x0, y0, x1, y1 = (int(edge) for edge in box)
    along, across = (y1 - y0, _ROOM) if x1 - x0 >= y1 - y0 else (_ROOM, x1 - x0)
    return max(x0 - along, 0), max(y0 - across, 0), x1 + along, y1 + across
