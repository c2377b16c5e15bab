"""Decoding every supported syntax, and what people see of it."""

from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID

from core.dicom import frames
from core.dicom.frames import Palette, decode_stored, decoded_photometric, encode_jpeg, encode_png, palette_of, to_rgb
from core.dicom.pixel_format import PixelFormat
from core.errors import Refused

RNG = np.random.default_rng(7)
GREY8 = RNG.integers(0, 256, (65, 70), np.uint8)
GREY16 = RNG.integers(0, 1 << 12, (65, 70), np.uint16)
SIGNED = RNG.integers(-2000, 2000, (65, 70)).astype(np.int16)
COLOUR = RNG.integers(0, 256, (65, 70, 3), np.uint8)


def fmt_of(syntax: str, pixels: np.ndarray, photometric: str = "", **values: object) -> PixelFormat:
    base: dict[str, Any] = {
        "transfer_syntax": syntax, "rows": pixels.shape[0], "columns": pixels.shape[1],
        "samples": 3 if pixels.ndim == 3 else 1, "bits_allocated": 8 * pixels.itemsize,
        "bits_stored": 8 * pixels.itemsize, "pixel_representation": int(pixels.dtype.kind == "i"),
        "photometric": photometric or ("RGB" if pixels.ndim == 3 else "MONOCHROME2"), "planar": 0, "frames": 1,
    }  # fmt: skip
    return PixelFormat(**{**base, **values})


@pytest.mark.parametrize("pixels", [GREY8, GREY16, SIGNED, COLOUR], ids=["grey8", "grey16", "signed", "colour"])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
def test_lossless_syntaxes_give_the_stored_samples(
    make_image: Callable[..., Any], pixels: np.ndarray, syntax: str
) -> None:
    ds = make_image(pixels)
    ds.compress(UID(syntax), generate_instance_uid=False)
    photometric = str(ds.PhotometricInterpretation)
    data = next(generate_frames(ds.PixelData, number_of_frames=1))
    decoded = decode_stored(data, fmt_of(syntax, pixels, photometric))
    assert decoded.dtype == pixels.dtype
    assert np.array_equal(decoded, pixels)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
@pytest.mark.parametrize("pixels", [GREY8, GREY16, SIGNED, COLOUR], ids=["grey8", "grey16", "signed", "colour"])
def test_native_samples_in_both_byte_orders(pixels: np.ndarray, syntax: str) -> None:
    stored = pixels.byteswap().tobytes() if syntax.endswith("2.2") else pixels.tobytes()
    assert np.array_equal(decode_stored(stored, fmt_of(syntax, pixels)), pixels)
    with pytest.raises(Refused):
        decode_stored(stored[:-1], fmt_of(syntax, pixels))


def test_colour_by_plane() -> None:
    fmt = fmt_of("1.2.840.10008.1.2.1", COLOUR, planar=1)
    assert np.array_equal(decode_stored(COLOUR.transpose(2, 0, 1).tobytes(), fmt), COLOUR)


def test_halved_chroma_is_doubled() -> None:
    fmt = fmt_of("1.2.840.10008.1.2.1", np.zeros((1, 4, 3), np.uint8), "YBR_FULL_422")
    decoded = decode_stored(bytes([10, 11, 100, 200, 12, 13, 101, 201]), fmt)
    assert decoded.tolist() == [[[10, 100, 200], [11, 100, 200], [12, 101, 201], [13, 101, 201]]]
    assert decoded_photometric(fmt) == "YBR_FULL"


def test_bits_above_the_stored_ones_are_no_part_of_the_value() -> None:
    overlaid = GREY16 | np.uint16(0x8000)
    fmt = fmt_of("1.2.840.10008.1.2.1", GREY16, bits_stored=12)
    assert np.array_equal(decode_stored(overlaid.tobytes(), fmt), GREY16)
    negative = np.full((2, 2), 0x0FFF, np.uint16)
    signed = fmt_of("1.2.840.10008.1.2.1", negative, bits_stored=12, pixel_representation=1)
    assert decode_stored(negative.tobytes(), signed).tolist() == [[-1, -1], [-1, -1]]


def _jpeg_rgb_without_transform(rgb: np.ndarray) -> bytes:
    """A JPEG whose components are R, G, B and that says nothing about it, as some consoles write."""
    out = BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=98, subsampling=0, keep_rgb=True)
    data = out.getvalue()
    at = data.find(b"\xff\xee")
    return data if at < 0 else data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def test_jpeg_follows_the_stream_or_the_image_in_its_colours() -> None:
    smooth = np.zeros((16, 16, 3), np.uint8)
    smooth[..., 0], smooth[..., 1] = 200, 40
    fmt = fmt_of("1.2.840.10008.1.2.4.50", smooth, "RGB")
    plain = decode_stored(_jpeg_rgb_without_transform(smooth), fmt)
    assert np.abs(plain.astype(int) - smooth).max() <= 3
    jfif = decode_stored(encode_jpeg(smooth, 98), fmt)  # a JFIF stream is YCbCr whatever the image says
    assert np.abs(jfif.astype(int) - smooth).max() <= 4
    ybr = fmt_of("1.2.840.10008.1.2.4.50", smooth, "YBR_FULL_422")
    assert np.array_equal(decode_stored(encode_jpeg(smooth, 98), ybr), jfif)
    assert decoded_photometric(ybr) == "RGB"


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        ("1.2.840.10008.1.2.4.100", "MPEG-2 .* JPEG cine"),
        ("1.2.840.10008.1.2.4.106", "Stereoscopic .* JPEG cine"),
        ("1.2.840.10008.1.2.4.107.1", "HEVC .* JPEG cine"),
        ("1.2.840.10008.1.2.4.201", "HTJ2K .* JPEG 2000"),
        ("1.2.840.10008.1.2.4.111", "JPEG XL .* uncompressed"),
        ("1.2.840.10008.1.2.4.93", "transfer syntax"),
    ],
)
def test_other_syntaxes_are_refused_with_what_can_be_done(syntax: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        decode_stored(b"", fmt_of(syntax, GREY8))


@pytest.mark.parametrize("last", ["50", "51", "57", "70", "80", "81", "90", "91"])
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=300))
def test_noise_is_refused(last: str, data: bytes) -> None:
    start = b"\xff\x4f\xff\x51" if last.startswith("9") else b"\xff\xd8\xff"
    for stream in (data, start + data):
        with pytest.raises(Refused):
            decode_stored(stream, fmt_of(f"1.2.840.10008.1.2.4.{last}", COLOUR))


def test_a_cut_jpeg_is_refused() -> None:
    data = encode_jpeg(COLOUR, 90)
    with pytest.raises(Refused):
        decode_stored(data[: len(data) // 2], fmt_of("1.2.840.10008.1.2.4.50", COLOUR))


def test_a_stream_of_another_size_is_refused_before_decoding() -> None:
    data = encode_jpeg(COLOUR, 90)
    with pytest.raises(Refused, match="another size"):
        decode_stored(data, fmt_of("1.2.840.10008.1.2.4.50", COLOUR[:5]))
    with pytest.raises(Refused, match="number of colours"):
        decode_stored(data, fmt_of("1.2.840.10008.1.2.4.50", GREY8))


def test_monochrome1_is_inverted() -> None:
    native = "1.2.840.10008.1.2.1"
    dark = to_rgb(GREY8, fmt_of(native, GREY8, "MONOCHROME1"), None)
    assert np.array_equal(255 - dark, to_rgb(GREY8, fmt_of(native, GREY8), None))
    assert dark.shape == (65, 70, 3)


def test_deep_greys_are_windowed() -> None:
    frame = np.array([[0, 1000, 2000, 4000]], np.uint16)
    fmt = fmt_of("1.2.840.10008.1.2.1", frame)
    assert to_rgb(frame, fmt, None)[0, :, 0].tolist() == [0, 64, 128, 255]
    assert to_rgb(frame, fmt, None, (1000, 1000))[0, :, 0].tolist() == [0, 128, 255, 255]
    with pytest.raises(Refused):
        to_rgb(frame, fmt, None, (1000, float("nan")))


def _palette_image(bits: int, data: list[bytes], segmented: bool = False, entries: int = 4, first: int = 2) -> Dataset:
    ds = Dataset()
    ds.set_original_encoding(False, True)
    ds.PhotometricInterpretation, ds.PixelRepresentation = "PALETTE COLOR", 0
    for name, values in zip(("Red", "Green", "Blue"), data, strict=True):
        ds.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [entries, first, bits])
        ds.add_new(("Segmented" if segmented else "") + f"{name}PaletteColorLookupTableData", "OW", values)
    return ds


def test_palettes_of_16_bits_are_scaled() -> None:
    red = np.array([0, 0x4000, 0x8000, 0xFF00], "<u2").tobytes()
    palette = palette_of(_palette_image(16, [red, red, bytes(8)]))
    assert palette is not None
    frame = np.array([[0, 2, 3, 4, 5, 200]], np.uint8)
    rgb = to_rgb(frame, fmt_of("1.2.840.10008.1.2.1", frame, "PALETTE COLOR"), palette)
    assert rgb[0, :, 0].tolist() == [0, 0, 64, 128, 255, 255]
    assert rgb[0, :, 2].max() == 0


def test_segmented_palettes_are_expanded() -> None:
    ramp = np.array([0, 1, 0, 1, 3, 0x0300], "<u2").tobytes()  # one entry of 0, then a ramp of three up to 0x0300
    palette = palette_of(_palette_image(16, [ramp, ramp, ramp], segmented=True))
    assert palette is not None
    assert palette.lut[:, 0].tolist() == [0, 0x100, 0x200, 0x300]


def test_a_broken_palette_is_refused() -> None:
    with pytest.raises(Refused, match="palette"):
        palette_of(_palette_image(16, [b"\0\0", b"", b"\0\0\0\0"]))
    frame = GREY8
    with pytest.raises(Refused, match="palette"):
        to_rgb(frame, fmt_of("1.2.840.10008.1.2.1", frame, "PALETTE COLOR"), None)
    assert palette_of(Dataset()) is None


def test_pictures_are_encoded() -> None:
    assert np.array_equal(np.asarray(Image.open(BytesIO(encode_png(COLOUR)))), COLOUR)
    flat = np.full((8, 8, 3), 77, np.uint8)
    assert np.asarray(Image.open(BytesIO(encode_jpeg(flat, 95)))).mean() == pytest.approx(77, abs=1)
    with pytest.raises(Refused):
        encode_jpeg(flat, 0)


def test_the_sandbox_functions_take_json_and_bytes() -> None:
    frame = np.array([[2, 3], [4, 5]], np.uint8)
    params: dict[str, Any] = {"fmt": asdict(fmt_of("1.2.840.10008.1.2.1", frame, "PALETTE COLOR"))}
    head, blobs = frames.sandboxed_decode(params, [frame.tobytes()])
    assert head == {"shape": [2, 2], "dtype": "uint8", "photometric": "PALETTE COLOR"}
    assert blobs == [frame.tobytes()]
    lut = Palette(2, np.arange(12, dtype=np.uint8).reshape(4, 3))
    params |= {"palette": {"first": lut.first, "dtype": "uint8"}, "media_type": "image/png", "crop": [1, 0, 1, 2]}
    head, blobs = frames.sandboxed_render(params, [frame.tobytes(), lut.lut.tobytes()])
    assert head == {"media_type": "image/png", "rows": 2, "columns": 1}
    assert np.asarray(Image.open(BytesIO(blobs[0]))).tolist() == [[[3, 4, 5]], [[9, 10, 11]]]
    with pytest.raises(Refused, match="inside the image"):
        frames.sandboxed_render(params | {"crop": [0, 0, 3, 3]}, [frame.tobytes(), lut.lut.tobytes()])
