"""The newest frame wins: a place where one frame waits at most, and what it pushes out is counted."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Waiting:
    """A frame with its number in the stream, from 1, and when it came (monotonic seconds)."""

    number: int
    content: bytes
    came: float


class Newest:
    """One writer and one reader in one event loop. A live picture that is late is of no use: the next one takes its place."""

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: Waiting | None = None
        self._is_there = asyncio.Event()

    def put(self, frame: Waiting) -> None:
        if self._waiting is not None:
            self.dropped += 1
        self._waiting = frame
        self._is_there.set()

    async def take(self) -> Waiting:
        """The newest frame, as soon as there is one."""
        await self._is_there.wait()
        self._is_there.clear()
        frame, self._waiting = self._waiting, None
        if frame is None:
            raise RuntimeError("Two readers took from one stream.")
        return frame
