"""The candidate: the final pixel stream of every frame of an image, and the digest that a person confirms."""

import binascii
import hashlib
import hmac
import itertools
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Final, Self

import numpy as np
from pydicom.dataset import Dataset

from core.deid import native
from core.deid.masks import Rect, kept_regions
from core.deid.palettes import palette_as_dict, palette_from
from core.deid.pixels import mask_frame
from core.dicom.display import Frame, Palette, palette_of
from core.dicom.guard import NATIVE, encoding_of
from core.dicom.pixel_format import PixelFormat
from core.dicom.ultrasound import Region
from core.errors import Held, Refused

__all__ = ["Index", "MaskedFrame", "Plan", "Rect", "Writer", "frame_bytes", "plan", "redigest", "sandboxed_mask",
           "write_candidate"]  # fmt: skip

ITEM: Final = b"\xfe\xff\x00\xe0"
DELIMITER: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_PIECE: Final = 1 << 20
_CHANGED: Final = "The pixels are no longer those that were confirmed."
_ODD_ANSWER: Final = "The image could not be masked safely."
_BROKEN_INDEX: Final = "The index of the candidate is broken."
_Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class MaskedFrame:
    """One frame as it leaves; `sha256` is of its decoded samples, `overlay` of those outside the ultrasound regions.

    `overlay` is of the whole frame when the image has no region. `is_lossy`: see `core.deid.pixels.Masked`."""

    data: bytes
    format: PixelFormat
    sha256: str
    overlay: str
    method: str
    is_lossy: bool | None


@dataclass(frozen=True)
class Plan:
    """How the frames of one image are masked; `boxes` are the regions, x0 y0 x1 y1 with exclusive ends."""

    format: PixelFormat
    rects: tuple[Rect, ...]
    boxes: tuple[_Box, ...]
    palette: Palette | None
    fill: int | None

    def request(self, *frames: bytes) -> tuple[dict[str, Any], list[bytes]]:
        """Params and blobs for `sandboxed_mask`, of one or a few stored frames."""
        params = {"fmt": asdict(self.format), "rects": self.rects, "boxes": self.boxes, "fill": self.fill}
        return params, list(frames)

    def responses(self, result: Mapping[str, Any], blobs: Sequence[bytes], expected: int) -> list[MaskedFrame]:
        """The frames that came back, as many as were `expected`. Raises Held for an answer that cannot be about them."""
        try:
            frames = [
                MaskedFrame(
                    blob, PixelFormat(**one["fmt"]), one["sha256"], one["overlay"], one["method"], one["is_lossy"]
                )
                for one, blob in zip(result["frames"], blobs, strict=True)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise Held(_ODD_ANSWER) from error
        is_mine = all(blob and self._is_mine(frame.format) for blob, frame in zip(blobs, frames, strict=True))
        if not is_mine or len(frames) != expected:
            raise Held(_ODD_ANSWER)
        return frames

    def response(self, result: Mapping[str, Any], blobs: Sequence[bytes]) -> MaskedFrame:
        """As `responses`, for a request of one frame."""
        return self.responses(result, blobs, expected=1)[0]

    def _is_mine(self, other: PixelFormat) -> bool:
        mine = self.format
        return (mine.rows, mine.columns, mine.samples, mine.bits_stored, mine.frames) == (
            other.rows, other.columns, other.samples, other.bits_stored, other.frames,
        )  # fmt: skip


def plan(dataset: Dataset, fmt: PixelFormat, rects: Iterable[Rect], regions: Sequence[Region]) -> Plan:
    """The plan for an image; raises Refused when its palette is broken."""
    palette = palette_of(_in_little_endian(dataset, fmt)) if fmt.photometric == "PALETTE COLOR" else None
    kept = kept_regions(regions, fmt.rows, fmt.columns)
    boxes = tuple((one.x0, one.y0, one.x1 + 1, one.y1 + 1) for one in kept)
    return Plan(fmt, tuple(Rect(*rect) for rect in rects), boxes, palette, _darkest(palette, fmt))


def _in_little_endian(dataset: Dataset, fmt: PixelFormat) -> Dataset:
    """A data set whose plain colour tables, OW, are little endian words; segmented ones are read in either order."""
    keywords = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    if encoding_of(fmt.transfer_syntax)[1] or not all(f"{keyword}Data" in dataset for keyword in keywords):
        return dataset
    turned = Dataset()
    turned.PhotometricInterpretation, turned.PixelRepresentation = fmt.photometric, fmt.pixel_representation
    for keyword in keywords:
        turned[f"{keyword}Descriptor"] = dataset[f"{keyword}Descriptor"]
        turned[f"{keyword}Data"] = copy(dataset[f"{keyword}Data"])
        words = dataset[f"{keyword}Data"].value
        if len(words) % 2:
            raise Refused("The colour palette of the image is broken.")
        turned[f"{keyword}Data"].value = np.frombuffer(words, ">u2").astype("<u2").tobytes()
    return turned


def _darkest(palette: Palette | None, fmt: PixelFormat) -> int | None:
    """The stored value of the darkest palette entry that a pixel of this depth can name; index 0 need not be black."""
    if palette is None:
        return None
    stored = palette.first + np.arange(len(palette.lut))
    usable = np.flatnonzero((stored >= 0) & (stored < 1 << fmt.bits_stored))
    if not len(usable):
        return None
    light = palette.lut[usable].astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return int(stored[usable[int(np.argmin(light))]])


def prepare() -> None:
    """Load the machine code: the sandbox calls this while files can still be read."""
    native.prepare()


def sandboxed_mask(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: mask the stored frames `blobs`; params and answer as `Plan.request` and `responses` have them."""
    fmt = PixelFormat(**params["fmt"])
    rects = [Rect(*map(int, rect)) for rect in params["rects"]]
    answers, masked = [], []
    for blob in blobs:
        one = mask_frame(blob, fmt, rects, params["fill"])
        answers.append(
            {
                "fmt": asdict(one.format),
                "sha256": hash_of(one.decoded),
                "overlay": overlay_hash(one.decoded, params["boxes"]),
                "method": one.method,
                "is_lossy": one.is_lossy,
            }
        )
        masked.append(one.data)
    return {"frames": answers}, masked


def hash_of(frame: Frame) -> str:
    """SHA-256 of the decoded samples in row order, little endian."""
    return hashlib.sha256(_little_endian(frame)).hexdigest()


def overlay_hash(frame: Frame, boxes: Sequence[Sequence[int]]) -> str:
    """SHA-256 of the samples outside the boxes (x0 y0 x1 y1, ends exclusive), band by band; of all without a box."""
    found = hashlib.sha256()
    edges = sorted({0, frame.shape[0], *(y for box in boxes for y in (box[1], box[3]) if 0 < y < frame.shape[0])})
    for top, bottom in itertools.pairwise(edges):
        spans = sorted((box[0], box[2]) for box in boxes if box[1] <= top and bottom <= box[3])
        left = 0
        for start, end in [*spans, (frame.shape[1], frame.shape[1])]:
            if left < start:
                found.update(_little_endian(frame[top:bottom, left:start]))
            left = max(left, end)
    return found.hexdigest()


def _little_endian(frame: Frame) -> memoryview:
    return np.ascontiguousarray(frame, frame.dtype.newbyteorder("<")).data


@dataclass(frozen=True)
class Index:
    """What is known of a written candidate. `offsets` and `lengths` are of the coded frames in its stream.

    The stream is the value of Pixel Data without the basic offset table, which `core.deid.release` writes.
    `lead`: (offset, length) of what goes before every frame of a video, whose frames overlap: `core.dicom.mp4`.
    `distinct_frames` (from 1): the first frame of each distinct overlay, all of which a person must see."""

    format: PixelFormat
    source_syntax: str
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    stream_size: int
    stream_sha256: str
    frame_sha256: tuple[str, ...]
    distinct_frames: list[int]
    methods: tuple[str, ...]
    is_lossy: bool | None
    palette: Palette | None
    digest: str
    lead: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """From `as_dict`; raises Refused when it is broken or its digest is not that of its content."""
        try:
            index = cls(
                PixelFormat(**stored["format"]), str(stored["source_syntax"]), tuple(stored["offsets"]),
                tuple(stored["lengths"]), int(stored["stream_size"]), str(stored["stream_sha256"]),
                tuple(stored["frame_sha256"]), list(stored["distinct_frames"]), tuple(stored["methods"]),
                stored["is_lossy"], palette_from(stored["palette"]), str(stored["digest"]),
                _pair(*stored.get("lead", (0, 0))),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise Refused(_BROKEN_INDEX) from error
        if index.digest != digest_of(index.format, index.frame_sha256, index.stream_sha256):
            raise Refused(_BROKEN_INDEX)
        return index

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["format"] = asdict(self.format)
        plain["palette"] = palette_as_dict(self.palette)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    @property
    def is_encapsulated(self) -> bool:
        return self.format.transfer_syntax not in NATIVE

    def render_request(self, frame: bytes) -> tuple[dict[str, Any], list[bytes]]:
        """Params and blobs for `core.dicom.frames:sandboxed_render`, as a PNG."""
        params: dict[str, Any] = {"fmt": asdict(self.format), "media_type": "image/png"}
        if self.palette is None:
            return params, [frame]
        params["palette"] = {"first": self.palette.first, "dtype": self.palette.lut.dtype.name}
        return params, [frame, self.palette.lut.tobytes()]

    def check_digest(self, stream: BinaryIO, digest: str) -> None:
        """Read the whole stream again; raises Held unless it is the one that this digest was confirmed for."""
        found, size = _sum_of(stream)
        again = digest_of(self.format, self.frame_sha256, found)
        if size != self.stream_size or not hmac.compare_digest(again, digest):
            raise Held(_CHANGED)
        stream.seek(0)


def _pair(offset: Any, length: Any) -> tuple[int, int]:  # noqa: ANN401 - from JSON
    return int(offset), int(length)


def digest_of(fmt: PixelFormat, frame_sha256: Sequence[str], stream_sha256: str) -> str:
    """SHA-256 over (rows, columns, samples, bits, photometric, frames, SHA-256 of each decoded frame) and the stream's."""
    picture = [fmt.rows, fmt.columns, fmt.samples, fmt.bits_stored, fmt.photometric, fmt.frames, *frame_sha256]
    content = json.dumps([picture, stream_sha256], separators=(",", ":")).encode()
    return hashlib.sha256(b"sonobank-candidate-v1\0" + content).hexdigest()


class Writer:
    """Writes the stream of a candidate frame by frame; memory holds one frame."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._first: MaskedFrame | None = None
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self._hashes: list[str] = []
        self._overlays: dict[str, int] = {}
        self._methods: dict[str, None] = {}
        self._sha256, self._size, self._is_done = hashlib.sha256(), 0, False

    def stream(self, frames: Iterable[MaskedFrame]) -> Iterator[bytes]:
        """The pieces of the stream. Raises Held when frames came back in different forms or their number is wrong."""
        for frame in frames:
            yield self._told(self._coded(frame))
        if self._first is None or len(self._offsets) != self._plan.format.frames:
            raise Held("The image has another number of frames than it says.")
        if self._first.format.transfer_syntax not in NATIVE:
            yield self._told(DELIMITER)
        elif self._size % 2:
            yield self._told(b"\0")
        self._is_done = True

    def _coded(self, frame: MaskedFrame) -> bytes:
        first = self._first = self._first or frame
        if frame.format != first.format:
            raise Held("The frames of the image are stored in different ways.")
        is_native = frame.format.transfer_syntax in NATIVE
        self._offsets.append(self._size + (0 if is_native else 8))
        self._lengths.append(len(frame.data))
        self._hashes.append(frame.sha256)
        self._overlays.setdefault(frame.overlay, len(self._offsets))
        self._methods[frame.method] = None
        if is_native:
            return frame.data
        padded = frame.data + b"\0" * (len(frame.data) % 2)
        return ITEM + struct.pack("<I", len(padded)) + padded

    def _told(self, piece: bytes) -> bytes:
        self._sha256.update(piece)
        self._size += len(piece)
        return piece

    def index(self) -> Index:
        """After the stream was read to its end."""
        if self._first is None or not self._is_done:
            raise Held("The candidate is not complete.")
        fmt, stream_sha256 = self._first.format, self._sha256.hexdigest()
        return Index(
            fmt, self._plan.format.transfer_syntax, tuple(self._offsets), tuple(self._lengths), self._size,
            stream_sha256, tuple(self._hashes), sorted(self._overlays.values()), tuple(self._methods),
            self._first.is_lossy, self._plan.palette, digest_of(fmt, self._hashes, stream_sha256),
        )  # fmt: skip


def write_candidate(frames: Iterable[MaskedFrame], plan: Plan, out: BinaryIO) -> Index:
    """Write the stream into a file and say what is in it."""
    writer = Writer(plan)
    for piece in writer.stream(frames):
        out.write(piece)
    return writer.index()


def frame_bytes(stream: BinaryIO, index: Index, frame: int) -> bytes:
    """The coded bytes of one frame, counted from 0; raises Refused when it is not there."""
    if not 0 <= frame < len(index.offsets):
        raise Refused("The image has no such frame.")
    data = b""
    for offset, length in (index.lead, (index.offsets[frame], index.lengths[frame])):
        stream.seek(offset)
        data += stream.read(length)
    if len(data) != index.lead[1] + index.lengths[frame]:
        raise Refused(_CHANGED)
    return data


def redigest(stream: BinaryIO, index: Index, decode: Callable[[bytes, PixelFormat], Frame]) -> str:
    """The digest computed anew from a stored stream, every frame decoded again; equal to `index.digest` when all is well."""
    hashes = [hash_of(decode(frame_bytes(stream, index, frame), index.format)) for frame in range(len(index.offsets))]
    return digest_of(index.format, hashes, _sum_of(stream)[0])


def _sum_of(stream: BinaryIO) -> tuple[str, int]:
    """SHA-256 and length of all of it."""
    stream.seek(0)
    found, size = hashlib.sha256(), 0
    while piece := stream.read(_PIECE):
        found.update(piece)
        size += len(piece)
    return found.hexdigest(), size
