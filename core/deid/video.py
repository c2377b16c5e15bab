"""Blackens rectangles in a stretch of H.264 video: decoded, painted, coded again and compared; runs in the sandbox."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.deid.candidate import hash_of, overlay_hash
from core.deid.masks import Rect
from core.dicom import h264
from core.dicom.frame_ranges import FEWER_FRAMES
from core.dicom.video import Picture, Plane, library, pictures
from core.errors import Held, Refused

MACROBLOCK: Final = 16
LEAST_PSNR: Final = 45.0
_QUALITIES: Final = (15, 12, 8, 4)
_NEAR_BLACK: Final = 8  # of 255; black was painted before coding, so that nothing of the original is under it
_TREMBLE: Final = 12  # of 255; writing stands out by 28 and more, see `core.deid.overlays`
_LATEST: Final = 3
_LONGER: Final = 1000  # frames than a stretch has: one key frame, and the same parameter sets for every length
_INEXACT: Final = "The video cannot be masked exactly."
_Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class _Coded:
    config: bytes
    samples: list[bytes]
    pictures: list[Picture]


def grown(rects: Sequence[Rect], columns: int, rows: int) -> list[_Box]:
    """Boxes x0 y0 x1 y1, ends exclusive, on the grid of macroblocks, each inside the image."""
    boxes = []
    for rect in rects:
        x0, y0 = max(rect.x, 0), max(rect.y, 0)
        x1, y1 = min(rect.x + rect.width, columns), min(rect.y + rect.height, rows)
        if x0 < x1 and y0 < y1:
            x0, y0 = x0 // MACROBLOCK * MACROBLOCK, y0 // MACROBLOCK * MACROBLOCK
            x1, y1 = (-(-edge // MACROBLOCK) * MACROBLOCK for edge in (x1, y1))
            boxes.append((x0, y0, min(x1, columns), min(y1, rows)))
    return boxes


def sandboxed_mask(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: a stretch of a video. Blobs: the configuration; the samples of one group, key frame first.

    Params: `columns`, `rows`, `rate`, `level`, `samples` (their number), `first` and `count` (frames of the group as shown,
    from 0), `last` (whether the group ends there), `rects`, `boxes` (the ultrasound regions). Returns per frame `sha256`
    and `overlay`; with rectangles also `sizes`, `psnr` and, as blobs, the new configuration and samples, one for each
    frame in their order; without any `order`: the sample (from 0) that each frame shows."""
    size = int(params["columns"]), int(params["rows"])
    samples = h264.pictures(blobs[1])
    if len(samples) != int(params["samples"]):
        raise Held(_INEXACT)
    order, source = _stretch(blobs[0], samples, size, params)
    masks = grown([Rect(*map(int, rect)) for rect in params["rects"]], *size)
    if not masks:
        return {"frames": _hashes(source, params["boxes"]), "order": order}, []
    coded, psnr = _coded(source, masks, params)
    facts = {"frames": _hashes(coded.pictures, params["boxes"]), "sizes": [len(one) for one in coded.samples]}
    return facts | {"psnr": psnr}, [coded.config, b"".join(coded.samples)]


def _stretch(
    config: bytes, samples: list[bytes], size: tuple[int, int], params: dict[str, Any]
) -> tuple[list[int], list[Picture]]:
    """The frames that are wanted, and the sample of each; of the last stretch of a group nothing may be left over."""
    first, count = int(params["first"]), int(params["count"])
    order: list[int] = []
    found: list[Picture] = []
    shown = 0
    for number, picture in pictures(config, samples, *size):
        if first <= shown < first + count:
            order.append(number)
            found.append(picture)
        shown += 1
        if shown == first + count and not params["last"]:
            break
    if len(found) != count or (params["last"] and shown != len(samples)):
        raise Refused(FEWER_FRAMES)
    return order, found


def _hashes(frames: Sequence[Picture], boxes: Sequence[Sequence[int]]) -> list[dict[str, str]]:
    """Per frame `sha256` and `overlay`. Coding makes what stands still outside the boxes tremble: a frame that is nowhere
    further than `_TREMBLE` from one before it in this stretch has that one's overlay."""
    found: list[dict[str, str]] = []
    known: list[tuple[str, Plane]] = []
    outside = _outside(frames[0].y.shape, boxes)
    for picture in frames:
        samples = picture.samples()
        part = samples[outside]
        overlay = next((name for name, other in known if boxes and _is_near(part, other)), "")
        if not overlay:
            overlay = overlay_hash(samples, boxes)
            known = [*known, (overlay, part)][-_LATEST:]
        found.append({"sha256": hash_of(samples), "overlay": overlay})
    return found


def _outside(shape: tuple[int, ...], boxes: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
    outside = np.ones(shape, bool)
    for x0, y0, x1, y1 in boxes:
        outside[y0:y1, x0:x1] = False
    return outside


def _is_near(one: Plane, two: Plane) -> bool:
    return not one.size or int((np.maximum(one, two) - np.minimum(one, two)).max()) <= _TREMBLE


def _coded(source: list[Picture], boxes: list[_Box], params: dict[str, Any]) -> tuple[_Coded, float]:
    """The best coding that is near enough, and its worst frame's PSNR in dB (luma, outside the boxes)."""
    size = int(params["columns"]), int(params["rows"])
    if size[0] % 2 or size[1] % 2:
        raise Held("Video of an odd width or height cannot be masked here.")
    painted = [_painted(picture, boxes) for picture in source]
    for quality in _QUALITIES:
        config, samples = _encoded(painted, quality, params)
        again = list(pictures(config, samples, *size))
        if [number for number, _ in again] != list(range(len(source))):
            raise Held(_INEXACT)
        coded = _Coded(config, samples, [picture for _, picture in again])
        if not all(_is_black(picture, boxes) for picture in coded.pictures):
            continue
        worst = min(_psnr(one, two, boxes) for one, two in zip(source, coded.pictures, strict=True))
        if worst >= LEAST_PSNR:
            return coded, min(worst, 99.0)
    raise Held(_INEXACT)


def _painted(picture: Picture, boxes: Sequence[_Box]) -> Picture:
    y, u, v = picture.y.copy(), picture.u.copy(), picture.v.copy()
    for x0, y0, x1, y1 in boxes:
        y[y0:y1, x0:x1] = 0 if picture.is_full else 16
        for plane in (u, v):
            plane[y0 // 2 : -(-y1 // 2), x0 // 2 : -(-x1 // 2)] = 128
    return Picture(y, u, v, picture.is_full, picture.colours)


def _is_black(picture: Picture, boxes: Sequence[_Box]) -> bool:
    black = 0 if picture.is_full else 16
    for x0, y0, x1, y1 in boxes:
        chroma = [plane[y0 // 2 : -(-y1 // 2), x0 // 2 : -(-x1 // 2)] for plane in (picture.u, picture.v)]
        if picture.y[y0:y1, x0:x1].max() > black + _NEAR_BLACK:
            return False
        if any(np.abs(plane.astype(np.int16) - 128).max() > _NEAR_BLACK for plane in chroma):
            return False
    return True


def _psnr(one: Picture, two: Picture, boxes: Sequence[_Box]) -> float:
    outside = _outside(one.y.shape, boxes)
    if not outside.any():
        return math.inf
    error = one.y.astype(np.int16) - two.y.astype(np.int16)
    mean = float(np.square(error[outside].astype(np.int32)).mean())
    return math.inf if mean == 0 else 10 * math.log10(255**2 / mean)


def _encoded(frames: list[Picture], quality: int, params: dict[str, Any]) -> tuple[bytes, list[bytes]]:
    """One closed group without pictures that are shown in another order than coded; no note of the encoder's settings."""
    av = library()
    context, rate = av.CodecContext.create("libx264", "w"), Fraction(*params["rate"])
    context.width, context.height, context.pix_fmt = int(params["columns"]), int(params["rows"]), "yuv420p"
    context.time_base, context.framerate, context.thread_count = 1 / rate, rate, 1
    first = frames[0]
    context.color_range = 2 if first.is_full else 1
    context.colorspace, context.color_primaries, context.color_trc = first.colours
    context.options = {
        "preset": "fast",
        "tune": "psnr",
        "profile": "high",
        "crf": str(quality),
        "x264-params": f"bframes=0:keyint={_LONGER}:scenecut=0:stitchable=1"
        f":level={params['level']}:threads=1:force-cfr=1",
    }
    cleaner, samples = h264.Cleaner(), list[bytes]()
    try:
        for packet in _packets(av, context, frames):
            samples.append(cleaner.sample(h264.annex_b(packet))[0])
    except (av.error.FFmpegError, ValueError) as error:
        raise Held(_INEXACT) from error
    return cleaner.config(), samples


def _packets(av: Any, context: Any, frames: list[Picture]) -> Iterator[bytes]:  # noqa: ANN401
    for number, picture in enumerate(frames):
        frame = av.VideoFrame(picture.y.shape[1], picture.y.shape[0], "yuv420p")
        for plane, values in zip(frame.planes, (picture.y, picture.u, picture.v), strict=True):
            plane.update(_lined(values, plane.line_size))
        frame.pts = number
        frame.color_range = context.color_range
        yield from (bytes(packet) for packet in context.encode(frame))
    yield from (bytes(packet) for packet in context.encode(None))


def _lined(values: Plane, line: int) -> bytes:
    """The rows of a plane, each as long as the encoder's memory has them."""
    out = np.zeros((values.shape[0], line), np.uint8)
    out[:, : values.shape[1]] = values
    return out.tobytes()
