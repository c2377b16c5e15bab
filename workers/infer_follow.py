"""Lesions followed over the frames of live streams: a tracker for each stream, kept by the `infer` process."""

import threading
from collections import OrderedDict
from typing import Any, Final

from ml.tracking import Settings, Tracked, Tracker

MOST_STREAMS: Final = 64
MOST_KEY: Final = 64  # letters
MOST_PASSED: Final = 1_000_000


class Followed:
    """The trackers by stream; the one that was used longest ago makes way.

    Threads may share it; the frames of one stream come one after the other."""

    def __init__(self) -> None:
        self._trackers: OrderedDict[tuple[str, str, float], Tracker] = OrderedDict()
        self._lock = threading.Lock()

    def tracker(self, key: str, model: str, given: Settings) -> Tracker:
        """The tracker of a stream. Another model or another threshold begins anew."""
        name = (key, model, given.sure)
        with self._lock:
            tracker = self._trackers.pop(name, None) or Tracker(given)
            self._trackers[name] = tracker
            if len(self._trackers) > MOST_STREAMS:
                self._trackers.popitem(last=False)
            return tracker


def is_follow(given: object) -> bool:
    """Whether a request's `follow` is nothing, or {key, passed}."""
    if given is None:
        return True
    if not isinstance(given, dict):
        return False
    key, passed = given.get("key"), given.get("passed")
    is_number = isinstance(passed, int) and not isinstance(passed, bool) and 1 <= passed <= MOST_PASSED
    return isinstance(key, str) and 0 < len(key) <= MOST_KEY and is_number


def told_of(one: Tracked) -> dict[str, Any]:
    """A lesion of a frame, as the stream tells it."""
    x, y, width, height = one.box
    box = {"x": round(x, 2), "y": round(y, 2), "width": round(width, 2), "height": round(height, 2)}
    verdict = {"label": one.label, "score": one.score, "probabilities": one.probabilities}
    return {"number": one.number} | box | verdict | {"age": one.age, "seen": one.seen}
