"""Measure masking: frames a second in several children, single stills, memory of a long cine, sizes and differences."""

import io
import os
import resource
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from core.deid.candidate import Plan, Writer, sandboxed_mask
from core.deid.candidate_frames import masked_frames
from core.deid.lossless import encode
from core.deid.masks import Rect
from core.deid.pixels import Masked, mask_frame
from core.dicom.codestream import DCT
from core.dicom.frames import Frame, decode_stored
from core.dicom.part10 import Part10, frame_bytes, open_part10
from core.dicom.pixel_format import PixelFormat
from core.errors import Refused
from core.sandbox import Caller, Sandbox

SHARED: Final = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "dicom"
CINES: Final = {
    "sonosite_240x320_420": "pydicom-pydicom/examples_ybr_color.dcm",
    "acuson_240x320": "cornerstonejs-dicomParser/IM00001.fragmented_no_bot_jpeg_baseline.50.dcm",
}
FRAMES, LONG, WORKERS = 87, 1000, 2
_LOSSLESS: Final = {
    "rle": "1.2.840.10008.1.2.5",
    "jpeg_lossless": "1.2.840.10008.1.2.4.70",
    "jpeg_ls": "1.2.840.10008.1.2.4.80",
    "jpeg_2000": "1.2.840.10008.1.2.4.90",
}
_BASELINE: Final = "1.2.840.10008.1.2.4.50"


def pixels(rounds: int, enough: float = 3600.0) -> dict[str, Any]:
    """All of it: raw samples of every round, and `medians`. Real files are left out where they are absent.

    After `enough` seconds one round is made of each."""
    until = time.monotonic() + enough
    cines = {name: _stored(SHARED / path) for name, path in CINES.items() if (SHARED / path).exists()}
    cines |= {
        "speckle_1024x768_422_q90": speckle(768, 1024, FRAMES),
        "speckle_743x975_422_q90": speckle(743, 975, FRAMES),
    }
    result: dict[str, Any] = {
        "cine": {
            name: {mask: _cine(*cine, mask, rounds, until) for mask in ("top", "frame")} for name, cine in cines.items()
        },
        "still_ms": stills(rounds),
        "still_cpu_ms": stills(rounds, in_child=False),
        "long_cine": long_cine(),
        "real_files": {path.name: found for path in sorted(SHARED.rglob("*.dcm")) if (found := proof(path))},
    }
    result["medians"] = {
        "cine_frames_per_second": {
            name: {mask: statistics.median(one["frames_per_second"]) for mask, one in masks.items()}
            for name, masks in result["cine"].items()
        },
        "still_ms": {name: statistics.median(samples) for name, samples in result["still_ms"].items()},
    }
    return result


def speckle(rows: int, columns: int, frames: int) -> tuple[PixelFormat, list[bytes]]:
    """A fan of moving speckle with a ruler and a coloured box on black, as 4:2:2 JPEG of quality 90."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:rows, 0:columns]
    depth, angle = np.hypot(y - 20, x - columns / 2), np.arctan2(x - columns / 2, y - 20)
    fan = (depth > 40) & (depth < 0.95 * rows) & (np.abs(angle) < 0.7)
    light = np.where(fan, 90 * np.exp(-depth / (0.8 * rows)), 0)
    coded = []
    for _ in range(frames):
        grey = (light * _blurred(rng, rows, columns)).clip(0, 255).astype(np.uint8)
        picture = np.repeat(grey[:, :, None], 3, axis=2)
        picture[rows // 3 : rows // 2, columns // 2 : columns // 2 + 80, 2] //= 3
        picture[60:-60:20, -30:-24] = 255
        coded.append(simplejpeg.encode_jpeg(picture, 90, "RGB", "422"))
    return PixelFormat(_BASELINE, rows, columns, 3, 8, 8, 0, "YBR_FULL_422", 0, frames), coded


def _blurred(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """The envelope of complex noise with grains of about 4 by 8 pixels, mean near 1.25."""
    noise = rng.normal(size=(2, rows // 3 + 1, columns // 6 + 1)).repeat(3, 1).repeat(6, 2)[:, :rows, :columns]
    for axis, reach in ((2, 6), (1, 3), (2, 6), (1, 3)):
        noise = sum((np.roll(noise, step, axis) for step in range(1, reach)), noise) / reach
    grains: NDArray[np.float64] = np.hypot(noise[0], noise[1]) * 1.6
    return grains


def _stored(path: Path) -> tuple[PixelFormat, list[bytes]]:
    fp, source = _opened(path)
    if source.pixel is None:
        raise Refused("This object has no picture.")
    return source.pixel, [frame_bytes(fp, source, number) for number in range(len(source.frames))]


def _opened(path: Path) -> tuple[io.BytesIO, Part10]:
    data = path.read_bytes()
    return io.BytesIO(data), open_part10(io.BytesIO(data), len(data))


def _rects(fmt: PixelFormat, mask: str) -> tuple[Rect, ...]:
    width, height = fmt.columns, fmt.rows
    band = Rect(0, 0, width, max(height // 12, 16))
    if mask == "top":
        return (band,)
    side = max(width // 25, 8)
    return (band, Rect(0, 0, side, height), Rect(width - side, 0, side, height), Rect(0, height - side, width, side))


def _plan(fmt: PixelFormat, mask: str) -> Plan:
    """The rest of the image is the kept region, as a device with regions has it."""
    return Plan(fmt, _rects(fmt, mask), ((0, max(fmt.rows // 12, 16), fmt.columns, fmt.rows),), None, 0)


def _cine(fmt: PixelFormat, stored: Sequence[bytes], mask: str, rounds: int, until: float) -> dict[str, Any]:
    """Decode, mask, decode and compare, both hashes, write: as a candidate is made, in WORKERS children."""
    frames = [stored[number % len(stored)] for number in range(max(FRAMES, len(stored)))]
    plan = _plan(replace(fmt, frames=len(frames)), mask)
    rates: list[float] = []
    used: list[float] = []
    while not rates or (len(rates) < rounds and time.monotonic() < until):
        with Sandbox(size=WORKERS) as sandbox:
            for _ in masked_frames(sandbox, frames[:32], plan, WORKERS):
                pass  # the children are up, their tables are made
            begun, before = time.perf_counter(), sum(map(_cpu_seconds, _children()))
            size = sum(map(len, Writer(plan).stream(masked_frames(sandbox, frames, plan, WORKERS))))
            rates.append(round(len(frames) / (time.perf_counter() - begun), 1))
            used.append(round(1000 * (sum(map(_cpu_seconds, _children())) - before) / len(frames), 2))
    return {
        "bytes_per_frame": sum(map(len, stored)) // len(stored),
        "growth": round(size / sum(map(len, frames)), 3),
        "frames_per_second": rates,
        "child_cpu_ms_per_frame": used,  # what the rate is where no core has other work: 2000 / this
    }


def stills(rounds: int, *, in_child: bool = True) -> dict[str, list[float]]:
    """Milliseconds for the whole candidate of one 1024 x 768 still in a child that is up, without looking for text.

    Without `in_child` milliseconds of the processor, measured in this process: other work does not count."""
    rng = np.random.default_rng(5)
    samples = (90 * _blurred(rng, 768, 1024)).clip(0, 255).astype(np.uint8)[:, :, None].repeat(3, 2)
    plain = PixelFormat("1.2.840.10008.1.2.1", 768, 1024, 3, 8, 8, 0, "RGB", 0, 1)
    jpeg, coded = speckle(768, 1024, 1)
    images = {
        "rgb": (plain, samples.tobytes()),
        "ybr_full": (replace(plain, photometric="YBR_FULL"), samples.tobytes()),
    }
    images["jpeg"] = (jpeg, coded[0])
    for name, syntax in _LOSSLESS.items():
        data, fmt = encode(samples, plain, syntax)
        images[name] = (replace(fmt, transfer_syntax=syntax), data)
    with Sandbox(size=1) as sandbox:
        caller, clock = (sandbox, time.perf_counter) if in_child else (_Here(), time.process_time)
        return {name: _still(caller, clock, fmt, data, rounds) for name, (fmt, data) in images.items()}


def _still(caller: Caller, clock: Callable[[], float], fmt: PixelFormat, data: bytes, rounds: int) -> list[float]:
    plan, taken = _plan(fmt, "frame"), []
    for _ in range(rounds + 1):
        begun, writer = clock(), Writer(plan)
        for _ in writer.stream(masked_frames(caller, [data], plan, 1)):
            pass
        writer.index()
        taken.append(round(1000 * (clock() - begun), 1))
    return taken[1:]


class _Here:
    """In place of the sandbox: the same function in this process."""

    def call(
        self, target: str, params: Mapping[str, Any], blobs: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], list[bytes]]:
        return sandboxed_mask(dict(params), list(blobs))


def long_cine() -> dict[str, Any]:
    """Peak resident memory of this process and its children together while a cine of LONG frames is masked, in MiB."""
    fmt, stored = speckle(768, 1024, 8)
    plan = _plan(replace(fmt, frames=LONG), "top")
    begun, watch = time.perf_counter(), _Peak()
    with Sandbox(size=WORKERS) as sandbox, watch:
        frames = (stored[number % len(stored)] for number in range(LONG))
        writer = Writer(plan)
        for _ in writer.stream(masked_frames(sandbox, frames, plan, WORKERS)):
            pass
        index = writer.index()
    seconds = time.perf_counter() - begun
    return {"frames": len(index.offsets), "peak_mib": round(watch.most, 1), "seconds": round(seconds, 1)}


class _Peak:
    """Reads /proc every 50 ms: the proportional set size, so that shared pages count once."""

    def __init__(self) -> None:
        self.most, self._is_over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.05):
            self.most = max(self.most, sum(map(_pss, ["self", *_children()])))


def _children() -> Iterator[str]:
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            yield from task.read_text().split()
        except OSError:
            continue


def _cpu_seconds(process: str) -> float:
    """What a process has used, 0 where /proc does not say."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pss(process: str) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # of another user, as the children are when started by root
        return _rss(process)
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _rss(process: str) -> float:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)
    except OSError:
        return 0.0


def proof(path: Path) -> dict[str, Any]:
    """Of a real file, masked by a top band and by a frame: PSNR outside (None: identical), growth and syntax."""
    try:
        fmt, stored = _stored(path)
        return {"syntax": fmt.transfer_syntax} | {mask: _compared(fmt, stored, mask) for mask in ("top", "frame")}
    except Refused as refused:
        return {"refused": refused.message}


def _compared(fmt: PixelFormat, stored: Sequence[bytes], mask: str) -> dict[str, Any]:
    worst, before, after, new = 0.0, 0, 0, fmt
    for data in stored:
        masked = mask_frame(data, fmt, _rects(fmt, mask), fill=0)
        worst = max(worst, _mean_square(decode_stored(data, fmt), masked, fmt))
        before, after, new = before + len(data), after + len(masked.data), masked.format
    peak = (1 << fmt.bits_stored) - 1
    psnr = round(10 * float(np.log10(peak**2 / worst)), 1) if worst else None
    return {"psnr_outside_db": psnr, "growth": round(after / before, 3), "syntax": new.transfer_syntax}


def _mean_square(original: Frame, masked: Masked, fmt: PixelFormat) -> float:
    ring = 1 if fmt.transfer_syntax in DCT else 0  # the one pixel of smoothed chroma around spliced black
    outside = np.ones(original.shape[:2], np.bool_)
    for x0, y0, x1, y1 in masked.boxes:
        outside[max(y0 - ring, 0) : y1 + ring, max(x0 - ring, 0) : x1 + ring] = False
    difference = original[outside].astype(np.float64) - masked.decoded[outside]
    return float((difference**2).mean()) if difference.size else 0.0
