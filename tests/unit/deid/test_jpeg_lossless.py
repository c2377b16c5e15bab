"""Lossless JPEG as it is written here: proper parameters, nothing but the image, exact to independent decoders."""

from io import BytesIO

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from core.deid.jpeg_lossless import encode
from core.deid.jpeg_segments import clean, segments
from core.deid.lossless import encode as encode_as
from core.deid.masks import Rect
from core.deid.pixels import LOSSLESS, mask_frame, output_syntax
from core.dicom.frames import decode_stored
from core.dicom.pixel_format import PixelFormat

SV1, PROCESS_14 = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.57"


def described(samples: np.ndarray, bits: int, **more: object) -> PixelFormat:
    count = samples.shape[2] if samples.ndim == 3 else 1
    photometric = "RGB" if count == 3 else "MONOCHROME2"
    given = {"photometric": photometric, "pixel_representation": 0, "planar": 0, "frames": 1, **more}
    rows, columns = samples.shape[:2]
    return PixelFormat(SV1, rows, columns, count, 8 if bits <= 8 else 16, bits, **given)  # type: ignore[arg-type]


def noise(bits: int, *shape: int) -> np.ndarray:
    kind = np.uint8 if bits <= 8 else np.uint16
    return np.random.default_rng(bits).integers(0, 1 << bits, shape).astype(kind)


@pytest.mark.parametrize("shape", [(33, 41), (33, 41, 3), (1, 1), (1, 9), (9, 1, 3)], ids=str)
@pytest.mark.parametrize("bits", [2, 7, 8, 10, 12, 15, 16])
def test_samples_come_back_and_the_header_says_what_they_are(bits: int, shape: tuple[int, ...]) -> None:
    for samples in (noise(bits, *shape), np.full(shape, (1 << bits) - 1, noise(bits, 1).dtype)):
        data = encode(samples, bits)
        found = list(segments(data))
        assert [one.marker for one in found] == [0xC3, 0xC4, 0xDA] and clean(data) == data
        count = shape[2] if len(shape) == 3 else 1
        assert found[0].payload[:6] == bytes([bits, 0, shape[0], 0, shape[1], count])
        assert found[2].payload[-3:] == b"\x01\x00\x00"  # predictor 1, no point transform
        assert np.array_equal(decode_stored(data, described(samples, bits)), samples)


@given(st.integers(2, 16), st.integers(1, 12), st.integers(1, 12), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_any_picture_comes_back(bits: int, rows: int, columns: int, is_colour: bool, random: object) -> None:
    """Extremes and long runs too: a difference of 32768 has a category of its own, and rare ones get long codes."""
    shape = (rows, columns, 3) if is_colour else (rows, columns)
    values = [0, 1, (1 << bits) - 1, 1 << (bits - 1)]
    flat = [random.choice(values) for _ in range(int(np.prod(shape)))]  # type: ignore[attr-defined]
    samples = np.array(flat).reshape(shape).astype(np.uint8 if bits <= 8 else np.uint16)
    assert np.array_equal(decode_stored(encode(samples, bits), described(samples, bits)), samples)


def test_codes_are_no_longer_than_16_bits() -> None:
    """Counts like Fibonacci's numbers want a code of one bit more for each; T.81 figure K.3 shortens them."""
    counts, samples = [1, 1], [np.zeros(1, np.uint16)]
    while len(counts) < 17:
        counts.append(counts[-1] + counts[-2])
    value = 0
    for size, count in enumerate(counts):
        step = 1 << (size - 1) if size else 0
        for _ in range(count):
            value = (value + step) % 65536
            samples.append(np.array([value], np.uint16))
    row = np.concatenate(samples)[None, :]
    data = encode(row, 16)
    assert (
        max(n for n, count in enumerate(next(s for s in segments(data) if s.marker == 0xC4).payload[1:17], 1) if count)
        <= 16
    )
    assert np.array_equal(decode_stored(data, described(row, 16)), row)


@pytest.mark.parametrize(("bits", "shape"), [(8, (30, 40)), (8, (30, 40, 3)), (12, (30, 40)), (16, (30, 40))])
def test_pydicom_reads_the_same(bits: int, shape: tuple[int, ...]) -> None:
    """By its own plug-in for GDCM, from a file."""
    samples = noise(bits, *shape)
    form, ds = described(samples, bits), Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(SV1)
    ds.Rows, ds.Columns, ds.SamplesPerPixel = form.rows, form.columns, form.samples
    ds.PhotometricInterpretation, ds.PixelRepresentation, ds.PlanarConfiguration = form.photometric, 0, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = form.bits_allocated, bits, bits - 1
    ds.PixelData = encapsulate([encode(samples, bits)])
    ds["PixelData"].is_undefined_length = True
    assert np.array_equal(pydicom.pixels.pixel_array(ds, raw=True, decoding_plugin="gdcm"), samples)


@pytest.mark.parametrize("syntax", [SV1, PROCESS_14])
@pytest.mark.parametrize(
    ("bits", "colours", "photometric", "signed", "black"),
    [
        (8, 1, "MONOCHROME2", 0, 0),
        (8, 3, "RGB", 0, (0, 0, 0)),
        (8, 3, "YBR_FULL", 0, (0, 128, 128)),
        (12, 1, "MONOCHROME1", 0, 4095),
        (12, 1, "MONOCHROME2", 1, -2048),
        (16, 1, "MONOCHROME2", 0, 0),
        (8, 1, "PALETTE COLOR", 0, 7),
    ],
)
def test_masked_it_stays_what_it_was(
    syntax: str, bits: int, colours: int, photometric: str, signed: int, black: int | tuple[int, ...]
) -> None:
    samples = noise(bits, *((30, 40, 3) if colours == 3 else (30, 40)))
    form = described(samples, bits, photometric=photometric, pixel_representation=signed)
    data = encode(samples, bits)
    before = decode_stored(data, form)
    form = PixelFormat(**{**form.__dict__, "transfer_syntax": syntax})
    masked = mask_frame(data, form, [Rect(3, 2, 20, 5)], fill=7)
    assert masked.format == PixelFormat(**{**form.__dict__, "transfer_syntax": SV1})
    assert masked.method == LOSSLESS and output_syntax(form) == SV1
    after = decode_stored(masked.data, masked.format)
    inside = np.zeros((30, 40), bool)
    inside[2:7, 3:23] = True
    assert (after[inside] == black).all() and np.array_equal(after[~inside], before[~inside])
    assert len(masked.data) <= 1.05 * len(data)


def test_the_encoder_of_all_syntaxes_knows_it() -> None:
    samples = noise(8, 30, 40)
    data, form = encode_as(samples, described(samples, 8), SV1)
    assert data == encode(samples, 8) and form.transfer_syntax == SV1
    assert BytesIO(data).read(4) == b"\xff\xd8\xff\xc3"
