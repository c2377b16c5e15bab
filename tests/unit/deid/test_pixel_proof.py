"""What always holds of a masked frame, over photometric x syntax x planes x depth x frames x rectangles; and Doppler hues."""

import colorsys
from dataclasses import replace
from io import BytesIO

import jpeg_ls
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from openjpeg.utils import encode_buffer
from PIL import Image
from pydicom.dataset import Dataset

from core.deid import candidate, jpeg_lossless
from core.deid.candidate import Index, MaskedFrame, Plan, redigest, write_candidate
from core.deid.lossless import encode
from core.deid.masks import Rect
from core.deid.pixels import IN_PLACE, mask_frame
from core.dicom.display import Palette, to_rgb
from core.dicom.frames import decode_stored
from core.dicom.pixel_format import PixelFormat

IMPLICIT, EXPLICIT, DEFLATED, BIG = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
RLE, BASELINE, EXTENDED = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
SV1, LS, J2K = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
KEPT = {DEFLATED: EXPLICIT, BIG: EXPLICIT}  # neither is a coding of pixels: docs/decisions/0012
PALETTE = Palette(0, np.random.default_rng(8).integers(0, 256, (256, 3), np.uint8))
PALETTE.lut[77] = 0
GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
EXACT = (IMPLICIT, EXPLICIT, DEFLATED, BIG, RLE, SV1, LS, J2K)

rects = st.builds(Rect, st.integers(-5, 60), st.integers(-5, 60), st.integers(1, 70), st.integers(1, 70))


@st.composite
def formats(draw: st.DrawFn) -> PixelFormat:
    syntax = draw(st.sampled_from(EXACT))
    photometric = draw(st.sampled_from([*GREY, "RGB", "YBR_FULL"]))
    samples = 1 if photometric in GREY else 3
    allocated = 8 if samples == 3 or photometric == "PALETTE COLOR" else draw(st.sampled_from([8, 16]))
    stored = 8 if allocated == 8 else draw(st.sampled_from([10, 12, 16]))
    signed = draw(st.booleans()) if allocated == 16 else False
    planar = draw(st.integers(0, 1)) if samples == 3 and syntax in (IMPLICIT, EXPLICIT, DEFLATED, BIG) else 0
    least = {LS: 8, J2K: 32}.get(syntax, 1)  # their encoders take no picture of a few pixels
    rows, columns = draw(st.integers(least, 48)), draw(st.integers(least, 48))
    frames = draw(st.integers(1, 3))
    return PixelFormat(syntax, rows, columns, samples, allocated, stored, int(signed), photometric, planar, frames)


def stored_frame(fmt: PixelFormat, seed: int) -> bytes:
    """Half of it noise and half flat, so that the coders have both."""
    shape = (fmt.rows, fmt.columns) if fmt.samples == 1 else (fmt.rows, fmt.columns, 3)
    samples = np.random.default_rng(seed).integers(0, 1 << fmt.bits_stored, shape)
    samples[: fmt.rows // 2] = seed % 200
    pattern = samples.astype(np.uint8 if fmt.bits_allocated == 8 else "<u2")
    if fmt.transfer_syntax == SV1:
        return jpeg_lossless.encode(pattern, fmt.bits_stored)
    if fmt.transfer_syntax == LS:
        return bytes(
            jpeg_ls.encode_buffer(
                pattern.tobytes(), fmt.rows, fmt.columns, fmt.samples, fmt.bits_stored,
                interleave_mode=2 if fmt.samples == 3 else 0,
            )
        )  # fmt: skip
    if fmt.transfer_syntax == J2K:
        return bytes(encode_buffer(pattern.tobytes(), fmt.columns, fmt.rows, fmt.samples, fmt.bits_stored, False))
    if fmt.transfer_syntax == RLE:
        return encode(pattern, fmt, RLE)[0]
    planes = pattern.transpose(2, 0, 1) if fmt.planar else pattern
    return (
        planes.astype(">u2").tobytes() if fmt.transfer_syntax == BIG and fmt.bits_allocated == 16 else planes.tobytes()
    )


def inside(fmt: PixelFormat, boxes: tuple[tuple[int, int, int, int], ...], ring: int = 0) -> np.ndarray:
    found = np.zeros((fmt.rows, fmt.columns), bool)
    for x0, y0, x1, y1 in boxes:
        found[max(y0 - ring, 0) : y1 + ring, max(x0 - ring, 0) : x1 + ring] = True
    return found


def asked(fmt: PixelFormat, wanted: list[Rect]) -> np.ndarray:
    boxes = tuple(
        (max(one.x, 0), max(one.y, 0), max(one.x + one.width, 0), max(one.y + one.height, 0)) for one in wanted
    )
    return inside(fmt, boxes)


def run(plan: Plan, frames: list[bytes]) -> tuple[Index, bytes, list[MaskedFrame]]:
    masked = plan.responses(*candidate.sandboxed_mask(*plan.request(*frames)), len(frames))
    out = BytesIO()
    return write_candidate(masked, plan, out), out.getvalue(), masked


@given(formats(), st.lists(rects, max_size=4), st.integers(0, 999))
@settings(max_examples=100, deadline=None)
def test_whatever_is_stored_without_loss(fmt: PixelFormat, wanted: list[Rect], seed: int) -> None:
    """Outside identical, inside black as people see it, the syntax kept, no larger, and the same again every time."""
    frames = [stored_frame(fmt, seed + number) for number in range(fmt.frames)]
    palette = PALETTE if fmt.photometric == "PALETTE COLOR" else None
    plan = replace(
        candidate.plan(Dataset(), replace(fmt, photometric="RGB"), wanted, []), format=fmt, palette=palette, fill=77
    )
    index, stream, masked = run(plan, frames)
    area = asked(fmt, wanted)
    assert index.format.transfer_syntax == KEPT.get(fmt.transfer_syntax, fmt.transfer_syntax)
    for before, one in zip(frames, masked, strict=True):
        old, new = decode_stored(before, fmt), decode_stored(one.data, one.format)
        assert np.array_equal(new[~area], old[~area])
        if fmt.pixel_representation:
            lowest = -(1 << (fmt.bits_stored - 1))
            assert (new[area] == (lowest if fmt.photometric == "MONOCHROME2" else -lowest - 1)).all()
        else:
            window = (1 << (fmt.bits_stored - 1), 1 << fmt.bits_stored) if fmt.bits_stored > 8 else None
            assert not to_rgb(new, one.format, palette, window)[area].any()
        most = len(before) if fmt.transfer_syntax in (IMPLICIT, EXPLICIT, DEFLATED, BIG) else 1.05 * len(before) + 64
        assert len(one.data) <= most
    assert redigest(BytesIO(stream), index, decode_stored) == index.digest
    again, same, _ = run(plan, frames)
    assert (again.digest, same) == (index.digest, stream)


@st.composite
def jpegs(draw: st.DrawFn) -> tuple[PixelFormat, bytes]:
    rows, columns = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    noise = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (rows, columns, 3), np.uint8)
    noise[: rows // 2] //= 8
    options: dict[str, object] = {"quality": draw(st.sampled_from([30, 75, 90, 100])), "optimize": draw(st.booleans())}
    if draw(st.booleans()):
        options["restart_marker_blocks"] = draw(st.integers(1, 9))
    kind = draw(st.sampled_from(["grey", "444", "422", "420", "411", "rgb"]))
    out = BytesIO()
    if kind == "grey":
        Image.fromarray(noise[:, :, 0]).save(out, "JPEG", **options)
    elif kind == "rgb":
        Image.fromarray(noise).save(out, "JPEG", keep_rgb=True, **options)
    elif kind == "411":
        data = simplejpeg.encode_jpeg(noise, int(options["quality"]), "RGB", "411")  # type: ignore[call-overload]
        out.write(data)
    else:
        Image.fromarray(noise).save(out, "JPEG", subsampling={"444": 0, "422": 1, "420": 2}[kind], **options)
    photometric = {"grey": "MONOCHROME2", "rgb": "RGB"}.get(kind, "YBR_FULL_422")
    syntax = draw(st.sampled_from([BASELINE, EXTENDED]))
    return PixelFormat(syntax, rows, columns, 1 if kind == "grey" else 3, 8, 8, 0, photometric, 0, 1), out.getvalue()


@given(jpegs(), st.lists(rects, max_size=4))
@settings(max_examples=100, deadline=None)
def test_whatever_is_stored_as_sequential_jpeg(given: tuple[PixelFormat, bytes], wanted: list[Rect]) -> None:
    """The blocks outside bit for bit, so the samples too but for one pixel of smoothed chroma; tables may grow a little."""
    fmt, data = given
    masked = mask_frame(data, fmt, wanted)
    assert masked.format == fmt
    area = asked(fmt, wanted)
    old, new = decode_stored(data, fmt), decode_stored(masked.data, fmt)
    assert not new[area].any()
    ring = inside(fmt, masked.boxes, 1 if masked.method == IN_PLACE else 0)
    assert np.array_equal(new[~ring], old[~ring]) and (ring | ~area).all()
    assert len(masked.data) <= 1.05 * len(data) + 400
    assert mask_frame(data, fmt, wanted).data == masked.data
    assert np.array_equal(decode_stored(mask_frame(masked.data, fmt, wanted).data, fmt), new)


def doppler() -> np.ndarray:
    """A grey fan with a box of every hue of flow, red to blue, as (96, 128, 3)."""
    y, x = np.mgrid[0:96, 0:128]
    picture = np.repeat(((x * 3 + y * 5) % 180)[:, :, None], 3, axis=2).astype(np.uint8)
    for row in range(40, 80):
        for column in range(30, 110):
            hue = colorsys.hsv_to_rgb((column - 30) / 80, 1.0, 0.3 + (row - 40) / 60)
            picture[row, column] = [round(255 * part) for part in hue]
    return picture


def hues(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).convert("HSV"))[:, :, 0].astype(int)


@pytest.mark.parametrize(
    ("photometric", "syntax"),
    [
        *(
            (colours, syntax)
            for colours in ("RGB", "YBR_FULL", "PALETTE COLOR")
            for syntax in (EXPLICIT, RLE, SV1, LS, J2K)
        ),
        ("RGB", BASELINE),
        ("YBR_FULL", BASELINE),
    ],
)
def test_doppler_hues_are_intact(photometric: str, syntax: str) -> None:
    picture, palette = doppler(), None
    samples = picture
    if photometric == "PALETTE COLOR":
        indexed = Image.fromarray(picture).quantize(255)
        lut = np.zeros((256, 3), np.uint8)
        found = np.asarray(indexed.getpalette(), np.uint8).reshape(-1, 3)
        lut[: len(found)] = found
        lut[255] = 0
        palette, samples = Palette(0, lut), np.asarray(indexed)
    elif photometric == "YBR_FULL":
        samples = np.asarray(Image.fromarray(picture).convert("YCbCr"))
    count = 1 if palette else 3
    fmt = PixelFormat(EXPLICIT, 96, 128, count, 8, 8, 0, photometric, 0, 1)
    data = samples.tobytes()
    if syntax == BASELINE:
        kind = "444" if photometric == "RGB" else "422"
        fmt, data = replace(fmt, transfer_syntax=syntax), simplejpeg.encode_jpeg(picture, 95, "RGB", kind)
    elif syntax != EXPLICIT:
        data, fmt = encode(samples, fmt, syntax)
        fmt = replace(fmt, transfer_syntax=syntax)
    masked = mask_frame(data, fmt, [Rect(0, 0, 128, 14), Rect(100, 50, 28, 40)], 255)
    before = to_rgb(decode_stored(data, fmt), fmt, palette)
    after = to_rgb(decode_stored(masked.data, masked.format), masked.format, palette)
    outside = ~inside(fmt, masked.boxes, 1)
    assert not (hues(before) - hues(after))[outside].any() and np.array_equal(before[outside], after[outside])
    assert not after[:14].any() and len(np.unique(hues(after)[44:76, 32:90])) > 40
