"""Reads what is still written in a candidate's frames, and says what of it must go and what is a person's question."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

from core.deid.candidate import Index
from core.deid.masks import Rect
from core.sandbox import Sandbox

READER: Final = "none"


@dataclass(frozen=True)
class Seen:
    """`identifiers` must be blackened; `questions` counts what looks like writing and could not be judged."""

    identifiers: tuple[Rect, ...]
    questions: int

    @property
    def is_silent(self) -> bool:
        return not self.identifiers and not self.questions


@contextmanager
def readers(size: int) -> Iterator[Sandbox | None]:
    """The children that read, for the time of a run."""
    yield None


def look(
    readers: Sandbox | None, stream: BinaryIO, index: Index, kept: Sequence[Rect], needles: Sequence[str]
) -> Seen | None:
    """What is written in the frames of a candidate; None where nothing can read here. `kept`: the ultrasound regions."""
    return None
