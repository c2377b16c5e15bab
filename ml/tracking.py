"""Lesions followed over the frames of a cine: ByteTrack's two stages on a Kalman filter, and a verdict smoothed over time.

NumPy alone, as the runtime must do without SciPy. The library `lap` was refused for it: a frame holds a handful of boxes,
for which the assignment below takes well under a millisecond, and a device maker has one binary less to clear.
ByteTrack: arXiv:2110.06864; the motion model is SORT's (arXiv:1602.00763) with width and height in place of area and ratio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]
LEAST_PROBABILITY = 0.01  # one frame never decides alone


class Found(Protocol):
    """What a detector found on a frame; `ml.runtime.Detection` is one."""

    @property
    def box(self) -> Box:
        """x, y, width, height in pixels of the frame."""
        ...

    @property
    def score(self) -> float: ...

    @property
    def probabilities(self) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class Settings:
    """`sure` is the detector's own threshold: what is above it begins a track, what is above `faint` keeps one alive.

    A track is shown from its `confirm`-th sure frame on and forgotten after `patience` frames without a box.
    `half_life` frames is how long a frame's opinion counts half. `least_iou` is of a box with where its track should be."""

    sure: float = 0.4
    faint: float = 0.1
    least_iou: float = 0.2
    confirm: int = 3
    patience: int = 12
    half_life: float = 8.0

    @classmethod
    def of(cls, threshold: float) -> "Settings":
        """A detector's own threshold begins tracks, a third of it keeps them alive: ask the detector from `faint` up."""
        return cls(sure=threshold, faint=threshold / 3)


@dataclass(frozen=True)
class Tracked:
    """A lesion on this frame: the filtered box x, y, width, height px, its number, the smoothed score and verdict.

    `age` counts the frames since the track began; `seen` is False while the track is carried on without a box."""

    box: Box
    number: int
    score: float
    label: str
    probabilities: dict[str, float]
    age: int
    seen: bool


class Motion:
    """Kalman filter of centre x, y, width, height (px) and their speeds (px a frame); noise grows with the box's size."""

    MOVES = np.eye(8) + np.eye(8, k=4)
    PLACE, SPEED, MEASURED = 0.05, 0.01, 0.05  # standard deviations, as parts of the box's mean side

    def __init__(self, box: Box) -> None:
        self.state = np.concatenate([_middle(box), np.zeros(4)])
        side = self._side()
        self.spread = np.diag([(2 * self.MEASURED * side) ** 2] * 4 + [(10 * self.SPEED * side) ** 2] * 4)

    def predict(self) -> None:
        """One frame on."""
        side = self._side()
        noise = np.diag([(self.PLACE * side) ** 2] * 4 + [(self.SPEED * side) ** 2] * 4)
        self.state = self.MOVES @ self.state
        self.state[2:4] = np.maximum(self.state[2:4], 1.0)
        self.spread = self.MOVES @ self.spread @ self.MOVES.T + noise

    def correct(self, box: Box) -> None:
        """A box was measured."""
        noise = np.eye(4) * (self.MEASURED * self._side()) ** 2
        gain = np.linalg.solve(self.spread[:4, :4] + noise, self.spread[:4]).T
        self.state = self.state + gain @ (_middle(box) - self.state[:4])
        self.state[2:4] = np.maximum(self.state[2:4], 1.0)
        self.spread = self.spread - gain @ self.spread[:4]

    @property
    def box(self) -> Box:
        x, y, width, height = (float(value) for value in self.state[:4])
        return x - width / 2, y - height / 2, width, height

    def _side(self) -> float:
        return float(max((self.state[2] + self.state[3]) / 2, 1.0))


@dataclass
class Track:
    """One lesion so far; `evidence` holds the decayed sum of log-odds of each class and `weight` that of the frames."""

    number: int
    motion: Motion
    hits: int = 0
    missed: int = 0
    age: int = 0
    weight: float = 0.0
    sureness: float = 0.0
    evidence: dict[str, float] = field(default_factory=dict)

    def take(self, found: Found, half_life: float) -> None:
        """A box on this frame, and its opinion."""
        keep = 0.5 ** (1 / half_life)
        self.motion.correct(found.box)
        self.missed = 0
        self.weight = keep * self.weight + 1
        self.sureness = keep * self.sureness + _log_odds(found.score)
        for name in self.evidence.keys() | found.probabilities.keys():
            opinion = _log_odds(found.probabilities.get(name, LEAST_PROBABILITY))
            self.evidence[name] = keep * self.evidence.get(name, 0.0) + opinion

    def told(self) -> Tracked:
        """The lesion as it is shown."""
        probabilities = {name: _probability(total / self.weight) for name, total in sorted(self.evidence.items())}
        label = max(probabilities, key=lambda name: probabilities[name], default="")
        score = _probability(self.sureness / self.weight)
        return Tracked(self.motion.box, self.number, score, label, probabilities, self.age, self.missed == 0)


class Tracker:
    """Feed it the boxes of each frame in order; it says which lesions are there. One tracker a cine or stream."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.tracks: list[Track] = []
        self.frames = 0  # that were looked at
        self._next = 1

    def frame(self, found: Sequence[Found], passed: int = 1) -> list[Tracked]:
        """The confirmed lesions of this frame, the oldest first; `passed` frames after the one before, of which none was seen."""
        given = self.settings
        self.frames += 1
        for track in self.tracks:
            for _ in range(min(passed, given.patience)):
                track.motion.predict()
            track.age += passed
            track.missed += 1
        sure = [one for one in found if one.score >= given.sure]
        faint = [one for one in found if given.faint <= one.score < given.sure]
        left, new = self._join(self.tracks, sure)
        # Second stage: a faint box may keep a track that was there a moment ago, never begin one.
        self._join([track for track in left if track.missed == 1], faint)
        for one in new:
            track = Track(self._next, Motion(one.box))
            track.take(one, given.half_life)
            track.hits = 1
            self.tracks.append(track)
            self._next += 1
        self.tracks = [t for t in self.tracks if t.missed <= (given.patience if t.hits >= given.confirm else 1)]
        return [track.told() for track in self.tracks if track.hits >= given.confirm]

    def _join(self, tracks: Sequence[Track], found: Sequence[Found]) -> tuple[list[Track], list[Found]]:
        """Give boxes to tracks; returns the tracks and the boxes that are left."""
        cost = 1 - overlap([track.motion.box for track in tracks], [one.box for one in found])
        pairs = [(t, f) for t, f in assignment(cost) if cost[t, f] <= 1 - self.settings.least_iou]
        for t, f in pairs:
            tracks[t].take(found[f], self.settings.half_life)
            tracks[t].hits += found[f].score >= self.settings.sure
        with_box, taken = {t for t, _ in pairs}, {f for _, f in pairs}
        left = [track for number, track in enumerate(tracks) if number not in with_box]
        return left, [one for number, one in enumerate(found) if number not in taken]


def overlap(first: Sequence[Box], second: Sequence[Box]) -> Floats:
    """(n, m) intersection over union of boxes x, y, width, height."""
    a = np.asarray(first, np.float64).reshape(-1, 4)[:, None]
    b = np.asarray(second, np.float64).reshape(-1, 4)[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    return np.asarray(shared / np.maximum(a[..., 2:].prod(axis=2) + b[..., 2:].prod(axis=2) - shared, 1e-9))


def assignment(cost: Floats) -> list[tuple[int, int]]:
    """The pairs (row, column) of lowest total cost, min(rows, columns) of them, in order of rows.

    Shortest augmenting paths with potentials (Jonker and Volgenant, Computing 38:325-340, 1987)."""
    if cost.shape[0] > cost.shape[1]:
        return sorted((row, column) for column, row in assignment(cost.T))
    rows, columns = cost.shape
    row_price, price = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.full(columns + 1, rows)  # of each column; the last column is where a path begins
    for row in range(rows):
        owner[columns], here = row, columns
        least, before = np.full(columns, np.inf), np.full(columns, columns)
        done = np.zeros(columns + 1, dtype=bool)
        while owner[here] != rows:
            done[here] = True
            reach = cost[owner[here]] - row_price[owner[here]] - price[:columns]
            nearer = ~done[:columns] & (reach < least)
            least[nearer], before[nearer] = reach[nearer], here
            then = int(np.where(done[:columns], np.inf, least).argmin())
            step = least[then]
            row_price[owner[done]] += step
            price[done] -= step
            least[~done[:columns]] -= step
            here = then
        while here != columns:
            owner[here], here = owner[before[here]], before[here]
    return sorted((int(owner[column]), column) for column in range(columns) if owner[column] != rows)


def _middle(box: Box) -> Floats:
    x, y, width, height = box
    return np.asarray([x + width / 2, y + height / 2, width, height], np.float64)


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY)
    return float(np.log(clipped / (1 - clipped)))


def _probability(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))
