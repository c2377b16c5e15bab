"""Finds the byte ranges of each frame; frames that the image does not count are a refusal, never passed over."""

import itertools
from collections.abc import Callable
from typing import Final

from core.dicom import mp4
from core.dicom.codestream import H264, J2K_FAMILY, JPEG_FAMILY
from core.dicom.guard import NATIVE, Layout
from core.dicom.pixel_format import PixelFormat
from core.errors import Refused

Ranges = tuple[tuple[int, int], ...]
Take = Callable[[int, int], bytes]

MORE_FRAMES: Final = "The file holds more frames than it says."
FEWER_FRAMES: Final = "The file holds fewer frames than it says."
_VIDEO = frozenset(f"1.2.840.10008.1.2.4.{last}{part}" for last in range(100, 110) for part in ("", ".1"))


def frame_ranges(layout: Layout, fmt: PixelFormat, take: Take) -> tuple[Ranges, ...]:
    """Per frame its (offset, length) pieces in file order; `take(offset, count)` reads the file.

    Video (MPEG) is one stream for all frames: its one entry is the whole stream, see `is_one_stream`. Of H.264 as it is
    written here (`core.dicom.mp4`) a frame is the configuration and the pictures from the key frame before it up to its
    own. Raises Refused."""
    if layout.transfer_syntax in NATIVE:
        return _native(layout, fmt)
    fragments = layout.fragments
    if not fragments:
        raise Refused("The image has no pixel data.")
    if layout.transfer_syntax in _VIDEO:
        return _of_video(layout, fmt, take) or (fragments,)
    by_table = _by_table(layout, fmt.frames)
    if by_table is not None:
        return _counted(by_table, fmt.frames)
    marks = _start_mark(layout.transfer_syntax)
    if fmt.frames == len(fragments) and fmt.frames > 1:
        return tuple((fragment,) for fragment in fragments)
    if marks is None:
        return _counted([fragments] if len(fragments) == 1 else [(one,) for one in fragments], fmt.frames)
    return _counted(_by_marks(fragments, marks, take), fmt.frames)


def is_video(transfer_syntax: str) -> bool:
    return transfer_syntax in _VIDEO


def _of_video(layout: Layout, fmt: PixelFormat, take: Take) -> tuple[Ranges, ...] | None:
    """The frames of an H.264 video in the very form that is written here, None for any other."""
    (offset, length), *others = layout.fragments
    if layout.transfer_syntax not in H264 or others or layout.basic_offsets or length < 40:
        return None
    start = take(offset, 40)
    size = mp4.head_size(start)
    movie = mp4.read_head(take(offset, size)) if mp4.is_ours(start) and size <= min(length, mp4.MOST_HEAD) else None
    if movie is None or (movie.columns, movie.rows) != (fmt.columns, fmt.rows):
        return None
    whole = size + sum(movie.sizes)
    if whole + whole % 2 != length or (whole % 2 and take(offset + whole, 1) != b"\0"):
        return None
    if len(movie.sizes) != fmt.frames:
        raise Refused(MORE_FRAMES if len(movie.sizes) > fmt.frames else FEWER_FRAMES)
    at, count = movie.lead()
    lead = (offset + at, count)
    return tuple((lead, (offset + begin, many)) for begin, many in movie.frames())


def _native(layout: Layout, fmt: PixelFormat) -> tuple[Ranges, ...]:
    """Frames lie end to end; one pad byte makes the whole even (PS3.5 section 8.2)."""
    needed = fmt.frame_bytes * fmt.frames
    if layout.pixel_length < needed:
        raise Refused(FEWER_FRAMES if fmt.frames > 1 else "The pixel data are shorter than the image.")
    if layout.pixel_length > needed + needed % 2:
        raise Refused("The pixel data are longer than the image.")
    return tuple(((layout.pixel_offset + i * fmt.frame_bytes, fmt.frame_bytes),) for i in range(fmt.frames))


def _counted(frames: list[Ranges], expected: int) -> tuple[Ranges, ...]:
    if len(frames) != expected:
        raise Refused(MORE_FRAMES if len(frames) > expected else FEWER_FRAMES)
    return tuple(frames)


def _by_table(layout: Layout, frames: int) -> list[Ranges] | None:
    """Group fragments by the extended or basic offset table (PS3.5 section A.4, PS3.3 C.7.6.3.1.8).

    A table that does not point at fragments is of no use, as in files whose writer never filled it: then None."""
    starts = layout.extended_offsets or layout.basic_offsets
    if not starts:
        return None
    first = layout.fragments[0][0] - 8
    at = {offset - 8 - first: index for index, (offset, _) in enumerate(layout.fragments)}
    indexes = [at.get(start, -1) for start in starts]
    if -1 in indexes or indexes[0] or any(b <= a for a, b in itertools.pairwise(indexes)):
        return None
    if len(indexes) == 1 < min(frames, len(layout.fragments)):
        return None  # some writers name the first frame only
    ends = [*indexes[1:], len(layout.fragments)]
    grouped = [layout.fragments[start:end] for start, end in zip(indexes, ends, strict=True)]
    if layout.extended_offsets:
        _check_lengths(grouped, layout.extended_lengths)
    return grouped


def _check_lengths(grouped: list[Ranges], lengths: tuple[int, ...]) -> None:
    held = [sum(length for _, length in frame) for frame in grouped]
    if len(lengths) != len(held) or any(not said <= got <= said + 1 for said, got in zip(lengths, held, strict=True)):
        raise Refused("The offset table of the pixel data is broken.")


def _start_mark(transfer_syntax: str) -> bytes | None:
    if transfer_syntax in JPEG_FAMILY:
        return b"\xff\xd8"
    return b"\xff\x4f\xff\x51" if transfer_syntax in J2K_FAMILY else None


def _by_marks(fragments: Ranges, mark: bytes, take: Take) -> list[Ranges]:
    """A frame begins where a fragment opens a stream and the fragment before it has closed one (EOI, EOC: FFD9)."""
    frames: list[list[tuple[int, int]]] = []
    closed = True
    for offset, length in fragments:
        if closed and length >= len(mark) and take(offset, len(mark)) == mark:
            frames.append([])
        if not frames:
            raise Refused("The pixel data do not begin with a frame.")
        frames[-1].append((offset, length))
        tail = min(length, 8)
        closed = b"\xff\xd9" in take(offset + length - tail, tail)
    return [tuple(frame) for frame in frames]
