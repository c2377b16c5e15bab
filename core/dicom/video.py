"""Decodes H.264 with PyAV, an extra that may be absent; only for the sandbox, since the bytes come from outside."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.dicom import h264
from core.dicom.pixel_format import PixelFormat
from core.errors import Held, Refused

if TYPE_CHECKING:
    from av import VideoFrame

NOT_INSTALLED: Final = "Video needs a part that is not installed here: run ./run setup --video, then start again."
_BROKEN: Final = "The video does not decode."
_FULL: Final = 2  # AVCOL_RANGE_JPEG
_BT709: Final = 1  # AVCOL_SPC_BT709
_FORMATS: Final = frozenset({"yuv420p", "yuvj420p"})
_HELD: Final = 16
_NOT_NEEDED: Final = frozenset({"av.__main__", "av.datasets"})
_TICK: Final = Fraction(1, 90_000)
Plane = NDArray[np.uint8]


def library() -> Any:  # noqa: ANN401 - a module, or none
    """PyAV; raises Held where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise Held(NOT_INSTALLED) from error
    av.logging.set_level(None)  # it would quote what it reads
    return av


def prepare() -> None:
    """Load all of it while its files can still be read, where there is one: it loads its own parts when it meets them."""
    try:
        av = library()
    except Held:
        return
    for part in pkgutil.walk_packages(av.__path__, "av."):
        if part.name not in _NOT_NEEDED:
            importlib.import_module(part.name)


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded frame: planes (H, W), (H/2, W/2), (H/2, W/2) as they are stored; `is_full`: 0 to 255, else 16 to 235."""

    y: Plane
    u: Plane
    v: Plane
    is_full: bool
    colours: tuple[int, int, int]  # matrix, primaries, transfer, as ISO/IEC 23001-8 numbers them

    def samples(self) -> Plane:
        """(H, W, 3) YBR_FULL: full range, each chroma sample four times, by the matrix of ITU-R BT.601."""
        height, width = self.y.shape
        y, u, v = self.y, self.u, self.v
        if not self.is_full:
            y, u, v = _LUMA[y], _CHROMA[u], _CHROMA[v]
        out = np.empty((height, width, 3), np.uint8)
        out[:, :, 0] = y
        for place, plane in ((1, u), (2, v)):
            out[:, :, place] = plane.repeat(2, 0).repeat(2, 1)[:height, :width]
        return _from_bt709(out) if self.colours[0] == _BT709 else out


def _stretched(zero: int, span: int, target: int) -> Plane:
    """A table from limited to full range, ITU-R BT.601."""
    wide = (np.arange(256) - zero) * 255 / span + target
    return wide.round().clip(0, 255).astype(np.uint8)


_LUMA: Final = _stretched(16, 219, 0)
_CHROMA: Final = _stretched(128, 224, 128)
_709_TO_601: Final = np.array([[1.0, 0.1016, 0.1961], [0.0, 0.9899, -0.1107], [0.0, -0.0725, 0.9834]], np.float32)


def _from_bt709(samples: Plane) -> Plane:
    centred = samples.astype(np.float32) - np.array([0, 128, 128], np.float32)
    turned = centred @ _709_TO_601.T + np.array([0, 128, 128], np.float32)
    return turned.round().clip(0, 255).astype(np.uint8)


class Decoder:
    """Takes the samples of one sequence in their order; gives (number of the sample, its picture) in the order shown.

    Raises Refused for broken streams and for pictures of another size, Held for kinds that are not supported."""

    def __init__(self, config: bytes, columns: int, rows: int) -> None:
        av = library()
        self._av, self._size = av, (columns, rows)
        self._context = av.CodecContext.create("h264", "r")
        self._context.extradata = config
        self._context.thread_count = 1
        self._context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
        self.fed = 0

    def feed(self, sample: bytes) -> Iterator[tuple[int, Picture]]:
        packet = self._av.Packet(sample)
        packet.time_base, packet.pts = _TICK, self.fed
        self.fed += 1
        return self._decode(packet)

    def end(self) -> Iterator[tuple[int, Picture]]:
        return self._decode(None)

    def _decode(self, packet: Any) -> Iterator[tuple[int, Picture]]:  # noqa: ANN401
        try:
            frames = self._context.decode(packet)
        except self._av.error.EOFError:
            return
        except (self._av.error.FFmpegError, ValueError) as error:
            raise Refused(_BROKEN) from error
        for frame in frames:
            yield int(frame.pts), self._picture(frame)

    def _picture(self, frame: "VideoFrame") -> Picture:
        if frame.is_corrupt or frame.pts is None:
            raise Refused(_BROKEN)
        if frame.format.name not in _FORMATS or frame.interlaced_frame:
            raise Held("The video is interlaced or has colours of a kind that is not supported.")
        if (frame.width, frame.height) != self._size:
            raise Refused("A compressed frame has another size than the image says.")
        is_full = frame.format.name == "yuvj420p" or int(frame.color_range) == _FULL
        colours = (int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc))
        y, u, v = (_plane(plane) for plane in frame.planes)
        return Picture(y, u, v, is_full, colours)


def _plane(plane: Any) -> Plane:  # noqa: ANN401
    whole = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return whole[: plane.height, : plane.width].copy()


def pictures(config: bytes, samples: list[bytes], columns: int, rows: int) -> Iterator[tuple[int, Picture]]:
    """Every picture of samples that begin with a key frame, in the order shown."""
    decoder = Decoder(config, columns, rows)
    for sample in samples:
        yield from decoder.feed(sample)
    yield from decoder.end()


class _Running:
    """A decoder in the midst of a stream: the next frame of a video needs one picture decoded, not all since the key frame.

    Only what begins with the very bytes that it was fed goes on with it, so its answers are those of a new one."""

    def __init__(self) -> None:
        self._decoder: Decoder | None = None
        self._fed, self._size = b"", (0, 0)
        self._held: dict[int, Picture] = {}  # by sample, the latest

    def last(self, data: bytes, columns: int, rows: int) -> Picture:
        """The picture of the last sample of a stored frame."""
        config, samples = h264.split(data)
        cut = h264.pictures(samples)
        wanted = len(cut) - 1
        is_known = self._size == (columns, rows)
        if is_known and wanted in self._held and self._fed.startswith(data):
            return self._held[wanted]
        decoder, self._decoder = self._decoder, None  # what fails is not gone on with
        if decoder is None or not is_known or not data.startswith(self._fed):
            decoder, self._held = Decoder(config, columns, rows), {}
        self._fed, self._size = data, (columns, rows)
        for sample in cut[decoder.fed :]:
            self._hold(decoder.feed(sample))
        if wanted in self._held:
            self._decoder = decoder
        else:  # it is shown later than others that follow: the decoder gives it back at the end only
            self._hold(decoder.end())
        if wanted not in self._held:
            raise Refused(_BROKEN)
        return self._held[wanted]

    def _hold(self, found: Iterator[tuple[int, Picture]]) -> None:
        for number, picture in found:
            self._held[number] = picture
            if len(self._held) > _HELD:
                del self._held[min(self._held)]


_running: Final = _Running()


def decode(data: bytes, fmt: PixelFormat) -> Plane:
    """The frame of the last sample in a stored frame (see `core.dicom.mp4.Movie.frames`), (H, W, 3) YBR_FULL."""
    return _running.last(data, fmt.columns, fmt.rows).samples()
