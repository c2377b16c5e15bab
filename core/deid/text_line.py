"""A line of text on a frame, and what a sandbox that reads it needs; apart from the reader, which loads the models."""

from dataclasses import dataclass
from typing import Final

Box = tuple[int, int, int, int]

READER: Final = "text-5"  # raised with everything that could make a reading come out otherwise
STUMP: Final = -1.0  # the score of what a mask may have left of a line: found by its form, not by the reader
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
