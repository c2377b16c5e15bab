"""The candidate of a video: cut at its key frames, masked in several sandbox children, and put together as one MP4 file."""

import hashlib
import itertools
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

from core.deid.candidate import DELIMITER, ITEM, Index, Plan, digest_of
from core.deid.pixels import RECODED, UNTOUCHED
from core.deid.video import grown
from core.dicom.frame_ranges import FEWER_FRAMES, MORE_FRAMES
from core.dicom.mp4 import Movie
from core.dicom.pixel_format import PixelFormat
from core.errors import Held
from core.sandbox import Caller

MOST_FRAMES_A_GROUP: Final = 256  # where nothing is coded again
_MOST_PIXELS_A_GROUP: Final = 512 << 20
_MOST_FRAMES: Final = 48  # of a stretch, which becomes a group of its own: a page shows any frame of it at once
_MOST_PIXELS: Final = 20 << 20  # of a stretch: a call must end in time on a busy machine too
_MOST_BITS: Final = 62_500_000  # a second, in High profile at levels 4.1 and 4.2 (ITU-T H.264 Table A-1)
_LEVELS: Final = (("4.1", 8_192, 245_760), ("4.2", 8_704, 522_240))  # macroblocks a frame and a second
_HIGH_41: Final = "1.2.840.10008.1.2.4.102"
_HIGH_42: Final = "1.2.840.10008.1.2.4.104"
_ODD_ANSWER: Final = "The video could not be masked safely."


@dataclass(frozen=True)
class _Source:
    """What `core.dicom.video_source:sandboxed_open` says: see `core.dicom.mp4.Movie`; `ends` is where each sample ends."""

    config: bytes
    samples: bytes
    sizes: tuple[int, ...]
    keys: tuple[int, ...]
    rate: tuple[int, int]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class _Stretch:
    """Frames `first` to `first + count` of the samples `start` to `end`; `is_last`: the last of them."""

    start: int
    end: int
    first: int
    count: int
    is_last: bool


def masked_video(sandbox: Caller, stream: bytes, plan: Plan, workers: int) -> tuple[Iterator[bytes], Index]:
    """The pieces of the candidate's stream and its index, from the whole stream of a video.

    Without a rectangle inside the image its pictures are not coded again; sound, notes and whatever else goes in any case.
    The result is held in memory. `workers`: see `core.deid.candidate_frames.masked_frames`. Raises Held or Refused."""
    fmt = plan.format
    if fmt.samples != 3 or fmt.bits_allocated != 8 or fmt.bits_stored != 8:
        raise Held("The video has colours of a kind that is not supported.")
    source = _opened(sandbox, stream, fmt)
    del stream  # it may be large, and its samples are held twice else
    is_masked = bool(grown(plan.rects, fmt.columns, fmt.rows))
    level, syntax = _level(fmt, source.rate) if is_masked else ("", fmt.transfer_syntax)
    longest = max(end - start for start, end in itertools.pairwise([*source.keys, len(source.sizes)]))
    if longest * fmt.rows * fmt.columns > _MOST_PIXELS_A_GROUP:
        raise Held("The key frames of the video lie too far apart.")
    if not is_masked and longest > MOST_FRAMES_A_GROUP:
        raise Held("The key frames of the video lie too far apart to look through it; mask something in it.")
    found = _joined(sandbox, source, plan, level, workers)
    movie, samples, frames = _movie(found, source, fmt, is_masked)
    if is_masked and 8 * sum(movie.sizes) * movie.rate[0] > _MOST_BITS * movie.rate[1] * fmt.frames:
        raise Held("The masked video would need more bits a second than its transfer syntax allows.")
    new = replace(fmt, transfer_syntax=syntax, photometric="YBR_PARTIAL_420", planar=0)
    return _written(movie, samples, frames, new, plan, RECODED if is_masked else UNTOUCHED)


def _opened(sandbox: Caller, stream: bytes, fmt: PixelFormat) -> _Source:
    facts, blobs = sandbox.call("core.dicom.video_source:sandboxed_open", {}, [stream])
    try:
        config, samples = blobs
        sizes, keys = tuple(map(int, facts["sizes"])), tuple(map(int, facts["keys"]))
        rate = int(facts["rate"][0]), int(facts["rate"][1])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Held(_ODD_ANSWER) from error
    is_sound = sum(sizes) == len(samples) and keys[:1] == (0,) and min(sizes, default=0) > 0 and min(rate) > 0
    if not is_sound or list(keys) != sorted(set(keys)) or keys[-1] >= len(sizes):
        raise Held(_ODD_ANSWER)
    if len(sizes) != fmt.frames:
        raise Held(MORE_FRAMES if len(sizes) > fmt.frames else FEWER_FRAMES)
    return _Source(config, samples, sizes, keys, rate, tuple(itertools.accumulate(sizes)))


def _level(fmt: PixelFormat, rate: tuple[int, int]) -> tuple[str, str]:
    """(level, transfer syntax) of the result: the one that came, where it holds what is written."""
    blocks = -(-fmt.columns // 16) * -(-fmt.rows // 16)
    came = fmt.transfer_syntax.removesuffix(".1")
    suffix = fmt.transfer_syntax[len(came) :]
    for level, most, most_a_second in _LEVELS:
        if came == _HIGH_42 and level == "4.1":
            continue
        if blocks <= most and blocks * rate[0] <= most_a_second * rate[1]:
            return level, (_HIGH_41 if level == "4.1" else _HIGH_42) + suffix
    raise Held("The video has more or larger frames than its transfer syntax allows.")


def _stretches(source: _Source, fmt: PixelFormat) -> Iterator[_Stretch]:
    """Whole groups together as far as they fit; a longer one in pieces, each of which is decoded from its key frame."""
    most = min(max(_MOST_PIXELS // (fmt.rows * fmt.columns), 8), _MOST_FRAMES)
    start = 0
    for begin, end in itertools.pairwise([*source.keys, len(source.sizes)]):
        if end - start > most and begin > start:
            yield _Stretch(start, begin, 0, begin - start, True)
            start = begin
        if end - start > most:
            for first in range(0, end - start, most):
                count = min(most, end - start - first)
                yield _Stretch(start, end, first, count, first + count == end - start)
            start = end
    if start < len(source.sizes):
        yield _Stretch(start, len(source.sizes), 0, len(source.sizes) - start, True)


_Answer = tuple[_Stretch, dict[str, Any], list[bytes]]


def _joined(sandbox: Caller, source: _Source, plan: Plan, level: str, workers: int) -> list[_Answer]:
    """What the children say of each stretch, in order. For the first refusal nothing more is started."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="video")
    waiting: deque[Future[_Answer]] = deque()
    found: list[_Answer] = []
    try:
        for stretch in _stretches(source, plan.format):
            waiting.append(pool.submit(_masked, sandbox, source, plan, level, stretch))
            if len(waiting) > 2 * workers:
                found.append(waiting.popleft().result())
        found += [one.result() for one in waiting]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return found


def _masked(sandbox: Caller, source: _Source, plan: Plan, level: str, stretch: _Stretch) -> _Answer:
    before = source.ends[stretch.start - 1] if stretch.start else 0
    params = {
        "columns": plan.format.columns, "rows": plan.format.rows, "rate": source.rate, "level": level,
        "samples": stretch.end - stretch.start, "first": stretch.first, "count": stretch.count, "last": stretch.is_last,
        "rects": plan.rects, "boxes": plan.boxes,
    }  # fmt: skip
    samples = source.samples[before : source.ends[stretch.end - 1]]
    facts, blobs = sandbox.call("core.deid.video:sandboxed_mask", params, [source.config, samples])
    return stretch, facts, blobs


def _movie(
    found: list[_Answer], source: _Source, fmt: PixelFormat, is_masked: bool
) -> tuple[Movie, list[bytes], list[Mapping[str, str]]]:
    """The movie, its samples and what is known of each frame. Raises Held for answers that do not fit together."""
    frames: list[Mapping[str, str]] = []
    shown, sizes, keys, configs, samples = list[int](), list[int](), list[int](), set[bytes](), list[bytes]()
    try:
        for stretch, facts, blobs in found:
            frames += [{name: str(one[name]) for name in ("sha256", "overlay")} for one in facts["frames"]]
            if is_masked:
                keys.append(len(sizes))
                sizes += map(int, facts["sizes"])
                config, data = blobs
                configs.add(config)
                samples.append(data)
            else:
                shown += [stretch.start + int(number) for number in facts["order"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Held(_ODD_ANSWER) from error
    if is_masked:
        config = next(iter(configs), b"")
        shown = list(range(len(sizes)))
        movie = Movie(fmt.columns, fmt.rows, source.rate, config, tuple(sizes), tuple(keys), tuple(shown))
    else:
        samples, configs = [source.samples], {source.config}
        movie = Movie(fmt.columns, fmt.rows, source.rate, source.config, source.sizes, source.keys, tuple(shown))
    is_whole = len(frames) == len(movie.sizes) == fmt.frames and sorted(shown) == list(range(fmt.frames))
    if not is_whole or len(configs) != 1 or sum(movie.sizes) != sum(map(len, samples)) or min(movie.sizes) <= 0:
        raise Held(_ODD_ANSWER)
    return movie, samples, frames


def _written(
    movie: Movie, samples: list[bytes], frames: list[Mapping[str, str]], fmt: PixelFormat, plan: Plan, method: str
) -> tuple[Iterator[bytes], Index]:
    head = movie.head()
    size = len(head) + sum(movie.sizes)
    pieces = [ITEM + struct.pack("<I", size + size % 2), head, *samples, b"\0" * (size % 2), DELIMITER]
    found, length = hashlib.sha256(), 0
    for piece in pieces:
        found.update(piece)
        length += len(piece)
    overlays: dict[str, int] = {}
    for number, frame in enumerate(frames, 1):
        overlays.setdefault(frame["overlay"], number)
    hashes = tuple(frame["sha256"] for frame in frames)
    lead, places = movie.lead(), movie.frames()
    return iter(pieces), Index(
        fmt, plan.format.transfer_syntax, tuple(8 + offset for offset, _ in places), tuple(size for _, size in places),
        length, found.hexdigest(), hashes, sorted(overlays.values()), (method,), True, None,
        digest_of(fmt, hashes, found.hexdigest()), (8 + lead[0], lead[1]),
    )  # fmt: skip
