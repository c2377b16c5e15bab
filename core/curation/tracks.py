"""One lesion through a cine: keyframes that a person drew, and what is shown between them.

Frames count from 1. Nothing is shown before the first keyframe or after the last: a frame that nobody looked at gets no
label, and a still is a track of one keyframe. A span out of view says that the lesion is not on those frames; it hides
and does not bend the path. Every function gives a new track; web/static/tracks.js does the same, on the same vectors."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, cast

from core.curation.shapes import KINDS, Kind, Points, Shape, between
from core.errors import Malformed

Span = tuple[int, int]


@dataclass(frozen=True)
class Track:
    """Keyframes in order of their frames; spans out of view (first, last; both included) in order and apart.

    `label` is the class's code, `lesion_id` the lesion, which may have tracks on other images. Raises Malformed for a
    track without a keyframe, frames below 1 or out of order, and a keyframe that is out of view."""

    kind: Kind
    label: str
    lesion_id: str
    keyframes: tuple[tuple[int, Points], ...]
    out_of_view: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        if not self.keyframes:
            raise Malformed("A track has one keyframe at least.")
        numbers = self.frames
        if numbers[0] < 1 or any(a >= b for a, b in pairwise(numbers)):
            raise Malformed("The keyframes are not in order.")
        spans = self.out_of_view
        if any(a < 1 or a > b for a, b in spans) or any(b + 1 >= c for (_, b), (c, _) in pairwise(spans)):
            raise Malformed("The spans out of view are not in order.")
        if any(is_out_of_view(self, frame) for frame in numbers):
            raise Malformed("A keyframe lies in a span out of view.")
        shapes = [Shape(self.kind, points) for _, points in self.keyframes]
        if self.kind == "points" and len({len(shape.points) for shape in shapes}) > 1:
            raise Malformed("The number of points differs from keyframe to keyframe.")

    @property
    def frames(self) -> list[int]:
        """The frames that are keyframes."""
        return [frame for frame, _ in self.keyframes]


def from_json(body: Mapping[str, Any]) -> Track:
    """The track of a JSON object with the names of the fields; raises Malformed for anything else."""
    try:
        keyframes = tuple((_frame(f), tuple((_number(x), _number(y)) for x, y in p)) for f, p in body["keyframes"])
        spans = tuple((_frame(first), _frame(last)) for first, last in body.get("out_of_view", ()))
        kind, label, lesion = body["kind"], body["label"], body["lesion_id"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Malformed("This is not a track.") from error
    if kind not in KINDS or not isinstance(label, str) or not isinstance(lesion, str):
        raise Malformed("This is not a track.")
    return Track(cast(Kind, kind), label, lesion, keyframes, spans)


def to_json(track: Track) -> dict[str, Any]:
    return {
        "kind": track.kind,
        "label": track.label,
        "lesion_id": track.lesion_id,
        "keyframes": [[frame, [list(point) for point in points]] for frame, points in track.keyframes],
        "out_of_view": [list(span) for span in track.out_of_view],
    }


def interpolate(track: Track, frame: int) -> Shape | None:
    """The shape on a frame; None outside the keyframes and where the lesion is out of view."""
    numbers = track.frames
    if frame < numbers[0] or frame > numbers[-1] or is_out_of_view(track, frame):
        return None
    after = bisect_left(numbers, frame)
    if numbers[after] == frame:
        return Shape(track.kind, track.keyframes[after][1])
    (first, one), (last, other) = track.keyframes[after - 1], track.keyframes[after]
    return between(Shape(track.kind, one), Shape(track.kind, other), (frame - first) / (last - first))


def is_out_of_view(track: Track, frame: int) -> bool:
    """Whether a person said that the lesion is not on this frame."""
    return any(first <= frame <= last for first, last in track.out_of_view)


def set_keyframe(track: Track, frame: int, points: Points) -> Track:
    """The track with these points on that frame, which is in view from now on."""
    keyframes = {**dict(track.keyframes), frame: points}
    return replace(track, keyframes=_ordered(keyframes), out_of_view=_without(track.out_of_view, frame, frame))


def remove_keyframe(track: Track, frame: int) -> Track:
    """Raises Malformed when it was the only one."""
    return replace(track, keyframes=tuple(one for one in track.keyframes if one[0] != frame))


def hide(track: Track, first: int, last: int) -> Track:
    """The lesion is out of view from first to last, both included; what other frames show stays.

    Raises Malformed when no keyframe would be left."""
    keyframes = {frame: points for frame, points in track.keyframes if not first <= frame <= last}
    if len(keyframes) < len(track.keyframes):
        # A keyframe goes: its neighbours in view become keyframes, so that the path keeps its bend.
        keyframes |= _edge(track, first - 1, -1) | _edge(track, last + 1, 1)
    spans = _joined([*track.out_of_view, (first, last)])
    return replace(track, keyframes=_ordered(keyframes), out_of_view=spans)


def show(track: Track, first: int, last: int) -> Track:
    """Nothing from first to last is out of view any more."""
    return replace(track, out_of_view=_without(track.out_of_view, first, last))


def split(track: Track, frame: int) -> tuple[Track, Track]:
    """Two tracks: what comes before the frame, and what comes from it on; every frame shows what it showed.

    Outlines with unequal numbers of vertices are matched anew, so that theirs may move by a little.
    Raises Malformed where one of the two would have no keyframe."""
    before, after = _part(track, None, frame - 1), _part(track, frame, None)
    if before is None or after is None:
        raise Malformed("There is nothing to split at this frame.")
    return before, after


def delete_range(track: Track, first: int, last: int) -> tuple[Track, ...]:
    """What is left, as none, one or two tracks of the same lesion; nothing is said any more about first to last."""
    parts = (_part(track, None, first - 1), _part(track, last + 1, None))
    return tuple(part for part in parts if part is not None)


def merge(one: Track, other: Track, *, gap_is_out_of_view: bool) -> Track:
    """One track of both, with the class and lesion of the first given; the frames between them are out of view or go on.

    Raises Malformed for two kinds and for tracks that overlap."""
    early, late = sorted((one, other), key=lambda track: track.frames[0])
    last, first = early.frames[-1], late.frames[0]
    if one.kind != other.kind or last >= first:
        raise Malformed("Only tracks of one kind that do not overlap can be merged.")
    keyframes = {**dict(early.keyframes), **dict(late.keyframes)}
    # What one shows is not hidden by what the other says of frames before or after itself.
    spans = [(a, min(b, first - 1)) for a, b in early.out_of_view]
    spans += [(max(a, last + 1), b) for a, b in late.out_of_view]
    if gap_is_out_of_view:
        spans.append((last + 1, first - 1))
    kept = _joined([(a, b) for a, b in spans if a <= b])
    return replace(one, keyframes=_ordered(keyframes), out_of_view=kept)


def duplicate_to_next(track: Track, frame: int, frames: int) -> Track:
    """The shape of this frame as a keyframe on the next one; up to this frame nothing changes.

    `frames` is how many the cine has. Raises Malformed on the last one and where the frame shows nothing."""
    shape = interpolate(track, frame)
    if shape is None or frame >= frames:
        raise Malformed("There is no shape to take to a next frame.")
    return set_keyframe(set_keyframe(track, frame, shape.points), frame + 1, shape.points)


def _frame(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _ordered(keyframes: Mapping[int, Points]) -> tuple[tuple[int, Points], ...]:
    return tuple(sorted(keyframes.items()))


def _edge(track: Track, frame: int, step: int) -> dict[int, Points]:
    """What this frame shows, as a keyframe; where it is out of view, the next one in view, later (1) or earlier (-1)."""
    for first, last in track.out_of_view:
        if first <= frame <= last:
            frame = last + 1 if step > 0 else first - 1
            break
    shape = interpolate(track, frame)
    return {} if shape is None else {frame: shape.points}


def _part(track: Track, first: int | None, last: int | None) -> Track | None:
    """The track cut to these frames; None where it shows nothing there."""
    low, high = first if first is not None else 1, last if last is not None else track.frames[-1]
    numbers = track.frames
    inside = dict(track.keyframes[bisect_left(numbers, low) : bisect_right(numbers, high)])
    if first is not None:
        inside |= {f: p for f, p in _edge(track, first, 1).items() if f <= high}
    if last is not None:
        inside |= {f: p for f, p in _edge(track, last, -1).items() if f >= low}
    spans = tuple((max(a, low), min(b, high) if last is not None else b) for a, b in track.out_of_view)
    kept = tuple((a, b) for a, b in spans if a <= b)
    return replace(track, keyframes=_ordered(inside), out_of_view=kept) if inside else None


def _without(spans: tuple[Span, ...], first: int, last: int) -> tuple[Span, ...]:
    cut = [piece for a, b in spans for piece in ((a, min(b, first - 1)), (max(a, last + 1), b))]
    return _joined([(a, b) for a, b in cut if a <= b])


def _joined(spans: list[Span]) -> tuple[Span, ...]:
    """In order, those that touch made one."""
    joined: list[Span] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)
