"""The splice: every coefficient outside the boxes as it was, inside black, in every sequential form that is met."""

from io import BytesIO

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from core.deid.jpeg import Box, Unsupported, splice
from core.deid.jpeg_huffman import Table, codes, extended
from core.deid.jpeg_segments import Segment, clean, segments
from core.errors import Refused

BOXES: list[list[Box]] = [
    [(0, 0, 200, 20)],
    [(5, 6, 30, 33), (90, 50, 91, 51), (150, 0, 199, 121)],
    [(0, 0, 200, 16), (0, 16, 16, 110), (184, 16, 200, 110), (0, 110, 200, 122)],
    [(0, 0, 200, 122)],
    [(0, 100, 200, 122)],
]


def picture(noise: int = 40) -> np.ndarray:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:122, 0:200]
    smooth = np.stack([x, 2 * y, 255 - x], axis=2)
    return (smooth + rng.integers(-noise, noise + 1, smooth.shape)).clip(0, 255).astype(np.uint8)


def coded(mode: str = "RGB", noise: int = 40, **options: object) -> bytes:
    out = BytesIO()
    image = Image.fromarray(picture(noise))
    image = image if mode == "RGB" else image.convert(mode)
    image.save(out, "JPEG", **{"quality": 90, **options})
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray:
    """Stored components; simplejpeg is strict, so that every warning of the decoder is an error."""
    grey = Image.open(BytesIO(data)).mode == "L"
    simplejpeg.decode_jpeg(data, "GRAY" if grey else "RGB")
    image = Image.open(BytesIO(data))
    image.draft(image.mode, image.size)
    return np.asarray(image)


FORMS = {
    "444": {"subsampling": 0},
    "422": {"subsampling": 1},
    "420": {"subsampling": 2},
    "optimised": {"optimize": True, "subsampling": 2},
    "restarts of a row": {"restart_marker_rows": 1, "subsampling": 1},
    "restarts of 7": {"restart_marker_blocks": 7, "subsampling": 2},
    "restarts of 1": {"restart_marker_blocks": 1, "subsampling": 0},
    "quality 100": {"quality": 100, "noise": 120, "subsampling": 0},
    "quality 10": {"quality": 10},
    "flat, optimised": {"noise": 0, "optimize": True, "quality": 30},
    "grey": {"mode": "L"},
    "grey with restarts": {"mode": "L", "restart_marker_blocks": 5},
}


@pytest.mark.parametrize("boxes", BOXES, ids=["top", "three", "frame", "all", "bottom"])
@pytest.mark.parametrize("form", FORMS)
def test_outside_is_identical_and_inside_black(form: str, boxes: list[Box]) -> None:
    data = coded(**FORMS[form])  # type: ignore[arg-type]
    new, black = splice(data, boxes, is_rgb=False)
    before, result = pixels(data), pixels(new)
    outside = np.ones(before.shape[:2], bool)
    for x0, y0, x1, y1 in black:
        outside[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = False
    assert np.array_equal(result[outside], before[outside])
    for x0, y0, x1, y1 in boxes:
        assert not result[y0:y1, x0:x1].any()


def by_scans(halved: bool) -> bytes:
    """A stream with one scan a component, put together from three grey ones with the same tables."""
    planes = [picture()[:, :, 0], picture()[:, :, 1], picture()[:, :, 2]]
    if halved:
        planes = [planes[0], planes[1][::2, ::2], planes[2][::2, ::2]]
    streams = []
    for plane in planes:
        out = BytesIO()
        Image.fromarray(np.ascontiguousarray(plane)).save(out, "JPEG", quality=90)
        streams.append({segment.marker: segment for segment in segments(out.getvalue())})
    factors = 0x22 if halved else 0x11
    head = streams[0][0xC0].payload[:5] + bytes([3, 1, factors, 0, 2, 0x11, 0, 3, 0x11, 0])
    parts = [streams[0][0xDB], streams[0][0xC4], Segment(0xC0, head)]
    parts += [Segment(0xDA, bytes([1, n, 0, 0, 63, 0]), one[0xDA].entropy) for n, one in enumerate(streams, 1)]
    tables = out.getvalue()
    dht = b"".join(segment.stored for segment in segments(tables) if segment.marker == 0xC4)
    return b"\xff\xd8" + parts[0].stored + dht + b"".join(part.stored for part in parts[2:]) + b"\xff\xd9"


@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("boxes", BOXES, ids=["top", "three", "frame", "all", "bottom"])
def test_one_scan_a_component(halved: bool, boxes: list[Box]) -> None:
    data = by_scans(halved)
    new, black = splice(data, boxes, is_rgb=False)
    before, result = pixels(data), pixels(new)
    outside = np.ones(before.shape[:2], bool)
    for x0, y0, x1, y1 in black:
        outside[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = False
    assert np.array_equal(result[outside], before[outside])
    for x0, y0, x1, y1 in boxes:
        assert not result[y0:y1, x0:x1].any()


def test_rgb_and_white_black() -> None:
    rgb = coded(keep_rgb=True)
    new, _ = splice(rgb, [(0, 0, 200, 20)], is_rgb=True)
    assert not pixels(new)[:20].any() and np.array_equal(pixels(new)[32:], pixels(rgb)[32:])
    grey, _ = splice(coded("L"), [(0, 0, 200, 20)], is_rgb=False, is_white_black=True)
    assert (pixels(grey)[:20] == 255).all()


def test_boxes_grow_by_a_pixel_and_snap_to_mcus() -> None:
    _, black = splice(coded(subsampling=2), [(16, 16, 32, 32), (190, 110, 200, 122)], is_rgb=False)
    assert black == [(0, 0, 48, 48), (176, 96, 200, 122)]


@pytest.mark.parametrize("data", [coded(progressive=True), coded("CMYK")], ids=["progressive", "four components"])
def test_other_forms_are_unsupported(data: bytes) -> None:
    with pytest.raises(Unsupported):
        splice(data, [(0, 0, 9, 9)], is_rgb=False)


@pytest.mark.parametrize("cut", [0, 1, 3, 40, 300, 700, -300, -2])
def test_cut_streams_are_refused(cut: int) -> None:
    with pytest.raises(Refused):
        splice(coded()[:cut], [(0, 0, 200, 122)], is_rgb=False)


def test_noise_never_escapes_as_another_error() -> None:
    data, rng = bytearray(coded()), np.random.default_rng(5)
    for _ in range(200):
        broken = bytearray(data)
        for place in rng.integers(2, len(data), 3):
            broken[place] = rng.integers(0, 256)
        try:
            splice(bytes(broken), [(0, 0, 60, 60)], is_rgb=False)
        except Refused:
            continue


def test_hidden_channels_go() -> None:
    exif = b"Exif\0\0" + b"HANAKO" * 9
    data = coded(exif=exif, comment=b"Yamada Hanako", dpi=(301, 77)) + b"trailing Hanako"
    marked = data[:2] + b"\xff\xe9\x00\x08HANAKO" + data[2:]
    for new in (clean(marked), splice(marked, [(0, 0, 9, 9)], is_rgb=False)[0]):
        assert b"anako" not in new and b"HANAKO" not in new and new.endswith(b"\xff\xd9")
        assert {segment.marker for segment in segments(new)} <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}
    assert np.array_equal(pixels(clean(marked)), pixels(data))
    assert clean(clean(marked)) == clean(marked)


def test_adobe_segment_keeps_its_transform_alone() -> None:
    rgb = coded(keep_rgb=True)
    position = rgb.index(b"Adobe")
    marked = rgb[: position + 5] + b"\x00\x65NAME" + rgb[position + 11 :]
    assert b"NAME" not in clean(marked) and np.array_equal(pixels(clean(marked)), pixels(rgb))


def test_missing_codes_are_added_behind_the_existing_ones() -> None:
    table = Table((0, 1, 2) + (0,) * 13, (1, 2, 3))
    longer = extended(table, range(12))
    before, after = codes(table), codes(longer)
    assert {symbol: after[symbol] for symbol in before} == before and set(after) == set(range(12))
    kraft = sum(count << (16 - length) for length, count in enumerate(longer.counts, 1))
    assert kraft < 1 << 16
    full = Table((1, 0, 3) + (0,) * 12 + (1,), (1, 2, 3, 4, 5))
    assert extended(full, (1, 2)) is full
    with pytest.raises(Unsupported):
        extended(Table((0, 3) + (0,) * 12 + (0, (1 << 14) - 1), tuple(range(256)) * 65), (300,))
