"""A bar on stderr: how many files are done, how many a second, how long it takes yet; plain lines in a log."""

import shutil
import sys
import time
from typing import Self

from core.folder.run import Progress

_EACH_SECONDS = 10.0


class Bar:
    """Shows `Progress`: redrawn ten times a second on a terminal, else a line every ten seconds."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._step, self._begun, self._shown = "", 0.0, 0.0

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.step != self._step:
            self._end_line()
            self._step, self._begun, self._shown = progress.step, now, now if not self._is_terminal else 0.0
        is_last = progress.done == progress.total
        if not is_last and now - self._shown < (0.1 if self._is_terminal else _EACH_SECONDS):
            return
        self._shown = now
        self._draw(progress, now - self._begun)

    def _draw(self, progress: Progress, seconds: float) -> None:
        rate = progress.done / seconds if seconds > 0 else 0.0
        left = (progress.total - progress.done) / rate if rate else 0.0
        said = f"{progress.step}: {progress.done} of {progress.total} files, {rate:.1f}/s, {_clock(left)} left"
        if not self._is_terminal:
            print(said, file=sys.stderr)
            return
        width = min(max(shutil.get_terminal_size().columns - len(said) - 4, 0), 40)
        filled = width * progress.done // max(progress.total, 1)
        print(f"\r\x1b[K[{'#' * filled}{' ' * (width - filled)}] {said}", end="", file=sys.stderr, flush=True)

    def _end_line(self) -> None:
        if self._is_terminal and self._step:
            print(file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_line()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
