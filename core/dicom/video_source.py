"""Reads a video as it comes from a device (MP4, MPEG-TS or a bare H.264 stream): its pictures, and nothing beside them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from io import BytesIO
from typing import Any, Final

from core.dicom import h264
from core.dicom.frame_ranges import FEWER_FRAMES, MORE_FRAMES
from core.dicom.mp4 import MOST_FRAMES
from core.dicom.pixel_format import PixelFormat
from core.dicom.video import library, pictures
from core.errors import Held, Refused

_UNREADABLE: Final = "The video cannot be read."
_PLAIN: Final = "1.2.840.10008.1.2.1"
_RATE: Final = Fraction(25)  # where the stream does not say
PREFIXES: Final = (1, 2, 4)


@dataclass(frozen=True)
class Source:
    """The pictures of a video in the order of the stream: `samples`, of which `keys` (from 0) need none before them."""

    config: bytes
    samples: list[bytes]
    keys: list[int]
    rate: tuple[int, int]

    def group_of(self, frame: int) -> tuple[int, int]:
        """(first sample, end) of the samples between two key frames to which a frame belongs."""
        ends = [*self.keys[1:], len(self.samples)]
        for start, end in zip(self.keys, ends, strict=True):
            if start <= frame < end:
                return start, end
        raise Refused("The image has no such frame.")


def read_source(data: bytes) -> Source:
    """Raises Refused for what is no such video, Held for kinds that are not supported. Sound, texts, notes are left out."""
    av = library()
    name = _container(data)
    try:
        with av.open(BytesIO(data), format=name, options={"ignore_editlist": "1"} if name == "mov" else {}) as source:
            tracks = source.streams.video
            if len(tracks) != 1 or tracks[0].codec_context.name != "h264":
                raise Held("The video is not one track of H.264.")
            track = tracks[0]
            extra = bytes(track.codec_context.extradata or b"")
            width = (extra[4] & 3) + 1 if name == "mov" and len(extra) > 6 else 0
            cleaner = h264.Cleaner()
            if width in PREFIXES:
                cleaner.sample(iter(h264.sets_of(extra)))
            samples, keys = _samples(source.demux(track), cleaner, width)
            rate = track.average_rate or track.guessed_rate or _RATE
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise Refused(_UNREADABLE) from error
    rate = rate if 1 <= rate <= 240 else _RATE
    rate = Fraction(rate).limit_denominator(1001)
    return Source(cleaner.config(), samples, keys, (rate.numerator, rate.denominator))


def _container(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "mov"
    if data[:1] == b"\x47" and data[188:189] == b"\x47":
        return "mpegts"
    if data[:3] == b"\0\0\1" or data[:4] == b"\0\0\0\1":
        return "h264"
    raise Held("The video is in a container that is not supported: MP4, MPEG-TS and bare H.264 are.")


def _samples(packets: Any, cleaner: h264.Cleaner, width: int) -> tuple[list[bytes], list[int]]:  # noqa: ANN401
    samples: list[bytes] = []
    keys: list[int] = []
    for packet in packets:
        data = bytes(packet)
        sample, is_key = cleaner.sample(h264.prefixed(data, width) if width else h264.annex_b(data))
        if not sample:
            continue
        if len(h264.pictures(sample)) != 1:
            raise Held("The video is interlaced, or its pictures are cut in a way that is not supported.")
        if is_key:
            keys.append(len(samples))
        samples.append(sample)
        if len(samples) > MOST_FRAMES:
            raise Held("The video has too many frames.")
    if not samples or keys[:1] != [0]:
        raise Held("The video does not begin with a key frame.")
    return samples, keys


def sandboxed_open(_: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: the whole stream in; {sizes, keys, rate}, and the configuration and the samples, joined."""
    source = read_source(blobs[0])
    facts = {"sizes": [len(sample) for sample in source.samples], "keys": source.keys, "rate": source.rate}
    return facts, [source.config, b"".join(source.samples)]


def sandboxed_frame(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: frame `frame` (from 0) of the whole stream in blob 0 as an uncompressed one.

    Params also `fmt`, the video's; returns `fmt`, that of the frame, and its samples."""
    fmt, frame = PixelFormat(**params["fmt"]), int(params["frame"])
    source = read_source(blobs[0])
    if len(source.samples) != fmt.frames:
        raise Refused(MORE_FRAMES if len(source.samples) > fmt.frames else FEWER_FRAMES)
    start, end = source.group_of(frame)
    shown: Iterator[Any] = (one for _, one in pictures(source.config, source.samples[start:end], fmt.columns, fmt.rows))
    for number, picture in enumerate(shown, start):
        if number == frame:
            plain = replace(fmt, transfer_syntax=_PLAIN, photometric="YBR_FULL", frames=1, planar=0)
            return {"fmt": asdict(plain)}, [picture.samples().tobytes()]
    raise Refused("The image has no such frame.")
