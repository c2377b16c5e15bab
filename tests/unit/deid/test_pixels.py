"""Each stored form: black where asked in its own colour space, bit-identical elsewhere, read back by other decoders."""

from collections.abc import Callable
from io import BytesIO

import jpeg_ls
import numpy as np
import pydicom
import pytest
import simplejpeg
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID
from rle.utils import encode_pixel_data

from core.deid.masks import Rect
from core.deid.pixels import IN_PLACE, LOSSLESS, RECODED, UNTOUCHED, mask_frame, output_syntax
from core.dicom.frames import decode_stored
from core.dicom.pixel_format import PixelFormat
from core.errors import Held, Refused

RECTS = [Rect(0, 0, 50, 7), Rect(41, 10, 30, 5), Rect(-4, 20, 9, 3), Rect(7, 39, 2, 50)]
EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
RLE, BASELINE, LS, J2K = (
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
)


def fmt(syntax: str, photometric: str, samples: int = 1, bits: int = 8, stored: int = 0, **more: int) -> PixelFormat:
    given = {"pixel_representation": 0, "planar": 0, "frames": 1, **more}
    return PixelFormat(syntax, 40, 50, samples, bits, stored or bits, photometric=photometric, **given)


def values(form: PixelFormat) -> np.ndarray:
    shape = (40, 50) if form.samples == 1 else (40, 50, 3)
    lowest = -(1 << (form.bits_stored - 1)) if form.pixel_representation else 1
    highest = (1 << (form.bits_stored - 1)) if form.pixel_representation else (1 << form.bits_stored) - 1
    return np.random.default_rng(9).integers(lowest, highest, shape)


def native(form: PixelFormat) -> bytes:
    found = values(form)
    if form.samples == 3 and form.planar:
        found = found.transpose(2, 0, 1)
    if form.photometric == "YBR_FULL_422":
        found = np.stack([found[:, ::2, 0], found[:, 1::2, 0], found[:, ::2, 1], found[:, ::2, 2]], axis=2)
    if form.bits_allocated == 8:
        return found.astype(np.uint8).tobytes()
    return found.astype("<u2" if form.transfer_syntax != BIG else ">u2").tobytes()


FORMS: dict[str, tuple[PixelFormat, tuple[int, ...]]] = {
    "rgb": (fmt(EXPLICIT, "RGB", 3), (0, 0, 0)),
    "rgb by plane": (fmt(IMPLICIT, "RGB", 3, planar=1), (0, 0, 0)),
    "ybr full": (fmt(EXPLICIT, "YBR_FULL", 3), (0, 128, 128)),
    "ybr full by plane": (fmt(EXPLICIT, "YBR_FULL", 3, planar=1), (0, 128, 128)),
    "ybr 422": (fmt(EXPLICIT, "YBR_FULL_422", 3), (0, 128, 128)),
    "palette": (fmt(EXPLICIT, "PALETTE COLOR"), (77,)),
    "palette 16": (fmt(EXPLICIT, "PALETTE COLOR", bits=16), (77,)),
    "monochrome 1": (fmt(EXPLICIT, "MONOCHROME1"), (255,)),
    "monochrome 2": (fmt(EXPLICIT, "MONOCHROME2"), (0,)),
    "12 of 16 bits": (fmt(EXPLICIT, "MONOCHROME1", bits=16, stored=12), (4095,)),
    "signed": (fmt(EXPLICIT, "MONOCHROME2", bits=16, stored=12, pixel_representation=1), (-2048,)),
    "big endian 16": (fmt(BIG, "MONOCHROME2", bits=16), (0,)),
    "big endian rgb": (fmt(BIG, "RGB", 3), (0, 0, 0)),
}


def inside(form: PixelFormat, boxes: tuple[tuple[int, int, int, int], ...]) -> np.ndarray:
    found = np.zeros((form.rows, form.columns), bool)
    for x0, y0, x1, y1 in boxes:
        found[y0:y1, x0:x1] = True
    return found


def check(
    data: bytes, form: PixelFormat, black: tuple[int, ...], read: Callable[[bytes, PixelFormat], np.ndarray]
) -> None:
    """Masked, then read back by `read`."""
    before = read(data, form)
    masked = mask_frame(data, form, RECTS, 77)
    after, area = read(masked.data, masked.format), inside(form, masked.boxes)
    assert np.array_equal(after[~area], before[~area])
    assert (after[area] == (black if len(black) > 1 else black[0])).all()
    assert area[0:7, 0:50].all() and area[39, 7:9].all() and not area[8, 0:40].any() and not area[30].any()
    assert np.array_equal(masked.decoded, decode_stored(masked.data, masked.format))


@pytest.mark.parametrize("form", FORMS)
def test_uncompressed(form: str) -> None:
    described, black = FORMS[form]
    data = native(described)
    check(data, described, black, decode_stored)
    masked = mask_frame(data, described, RECTS, 77)
    assert len(masked.data) == len(data) and masked.is_lossy is None
    wanted = EXPLICIT if described.transfer_syntax == BIG else described.transfer_syntax
    assert masked.format.transfer_syntax == output_syntax(described) == wanted


@pytest.mark.parametrize(
    "form", [name for name, (one, _) in FORMS.items() if one.transfer_syntax != BIG and "422" not in name]
)
def test_rle(form: str) -> None:
    described, black = FORMS[form]
    plain = native(described)
    if described.planar:
        plain = np.frombuffer(plain, np.uint8).reshape(3, 40, 50).transpose(1, 2, 0).tobytes()
    coded = encode_pixel_data(plain, rows=40, columns=50, samples_per_pixel=described.samples,
                              bits_allocated=described.bits_allocated, byteorder="<")  # fmt: skip
    stored = PixelFormat(**{**described.__dict__, "transfer_syntax": RLE})
    check(coded, stored, black, decode_stored)
    if described.samples == 1 and not described.pixel_representation:
        check(coded, stored, black, by_pydicom)


def by_pydicom(data: bytes, form: PixelFormat) -> np.ndarray:
    """An independent way: the frame in a file, read by pydicom's own handlers."""
    ds = Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(form.transfer_syntax)
    ds.Rows, ds.Columns, ds.SamplesPerPixel = form.rows, form.columns, form.samples
    ds.PhotometricInterpretation, ds.PlanarConfiguration = form.photometric, form.planar
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = form.bits_allocated, form.bits_stored, form.bits_stored - 1
    ds.PixelRepresentation = form.pixel_representation
    ds.PixelData = encapsulate([data])
    ds["PixelData"].is_undefined_length = True
    return np.asarray(pydicom.pixels.pixel_array(ds, raw=True))


@pytest.mark.parametrize(("photometric", "black"), [("RGB", (0, 0, 0)), ("YBR_FULL", (0, 128, 128))])
def test_colour_jpeg_ls(photometric: str, black: tuple[int, ...]) -> None:
    form = fmt(LS, photometric, 3)
    data = bytes(jpeg_ls.encode_buffer(values(form).astype(np.uint8).tobytes(), 40, 50, 3, 8, interleave_mode=2))
    check(data, form, black, decode_stored)
    check(data, form, black, by_pydicom)


@pytest.mark.parametrize(("photometric", "stored", "black"), [("MONOCHROME2", 8, 0), ("MONOCHROME1", 12, 4095)])
def test_grey_jpeg_ls(photometric: str, stored: int, black: int) -> None:
    form = fmt(LS, photometric, bits=8 if stored == 8 else 16, stored=stored)
    words = values(form).astype(np.uint8 if stored == 8 else "<u2").tobytes()
    check(bytes(jpeg_ls.encode_buffer(words, 40, 50, 1, stored)), form, (black,), by_pydicom)


def test_near_lossless_jpeg_ls_becomes_lossless_and_stays_lossy() -> None:
    form = fmt("1.2.840.10008.1.2.4.81", "MONOCHROME2")
    data = bytes(jpeg_ls.encode_buffer(values(form).astype(np.uint8).tobytes(), 40, 50, 1, 8, lossy_error=3))
    masked = mask_frame(data, form, RECTS)
    assert masked.format.transfer_syntax == LS and masked.is_lossy and masked.method == LOSSLESS


@pytest.mark.parametrize(
    ("photometric", "samples", "stored", "new", "black"),
    [
        ("YBR_RCT", 3, 8, "YBR_RCT", (0, 0, 0)),
        ("RGB", 3, 8, "RGB", (0, 0, 0)),
        ("MONOCHROME2", 1, 12, "MONOCHROME2", (0,)),
    ],
)
def test_jpeg_2000(photometric: str, samples: int, stored: int, new: str, black: tuple[int, ...]) -> None:
    form = fmt(J2K, photometric, samples, 8 if stored == 8 else 16, stored)
    array = values(form).astype(np.uint8 if stored == 8 else np.uint16)
    is_transformed = photometric == "YBR_RCT"
    data = bytes(
        encode_array(array, bits_stored=stored, photometric_interpretation=int(is_transformed), use_mct=is_transformed)
    )
    check(data, form, black, decode_stored)
    masked = mask_frame(data, form, RECTS)
    assert masked.format.photometric == new and masked.format.transfer_syntax == J2K and masked.is_lossy is None
    assert b"OpenJPEG" in data and b"OpenJPEG" not in masked.data


def smooth_j2k(ratio: float) -> tuple[bytes, PixelFormat]:
    form = PixelFormat("1.2.840.10008.1.2.4.91", 120, 160, 3, 8, 8, 0, "YBR_ICT", 0, 1)
    y, x = np.mgrid[0:120, 0:160]
    array = np.stack([60 + x, 40 + y, 200 - x + y // 4], axis=2).clip(0, 255).astype(np.uint8)
    array[40:44, 50:90] = 255
    return bytes(encode_array(array, photometric_interpretation=1, compression_ratios=[ratio])), form


def test_a_still_in_lossy_jpeg_2000_stays_so_small_and_nearly_the_same() -> None:
    data, form = smooth_j2k(20)
    masked = mask_frame(data, form, [Rect(0, 0, 160, 20), Rect(100, 60, 30, 20)])
    assert masked.method == RECODED and masked.format == form and masked.is_lossy
    assert len(masked.data) <= 1.05 * len(data)
    before, after, area = decode_stored(data, form), masked.decoded, inside(form, masked.boxes)
    mean = ((before[~area].astype(float) - after[~area]) ** 2).mean()
    assert 10 * np.log10(255**2 / mean) >= 45
    assert after[:20].max() <= 8 and after[60:80, 100:130].max() <= 8
    assert np.array_equal(after, decode_stored(masked.data, masked.format))


@pytest.mark.parametrize("frames", [1, 5])
def test_what_cannot_stay_lossy_is_stored_without_loss_in_the_same_syntax(frames: int) -> None:
    """Noise at a sixth of its size is far from 45 dB; the frames of a cine must all be stored in one way."""
    form = fmt("1.2.840.10008.1.2.4.91", "YBR_ICT", 3, frames=frames)
    data = bytes(encode_array(values(form).astype(np.uint8), photometric_interpretation=1, compression_ratios=[6]))
    if frames > 1:
        data, form = smooth_j2k(20)
        form = PixelFormat(**{**form.__dict__, "frames": frames})
    masked = mask_frame(data, form, RECTS)
    lossless = PixelFormat(**{**form.__dict__, "photometric": "YBR_RCT"})
    assert masked.format == lossless and masked.method == LOSSLESS and masked.is_lossy
    plain = mask_frame(data, form, [])
    assert plain.format == form and plain.is_lossy and b"OpenJPEG" not in plain.data


def jpeg(**options: object) -> bytes:
    out = BytesIO()
    Image.fromarray(values(fmt(BASELINE, "RGB", 3)).astype(np.uint8)).save(out, "JPEG", quality=95, **options)
    return out.getvalue()


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"keep_rgb": True}])
def test_jpeg_baseline_keeps_its_coded_blocks(options: dict[str, object]) -> None:
    form = fmt(BASELINE, "RGB" if "keep_rgb" in options else "YBR_FULL_422", 3)
    data = jpeg(**options)
    masked = mask_frame(data, form, [Rect(0, 0, 50, 7)])
    before, after = (simplejpeg.decode_jpeg(one, "RGB", fastupsample=True) for one in (data, masked.data))
    area = inside(form, masked.boxes)
    assert masked.method == IN_PLACE and masked.format == form and masked.is_lossy
    assert not after[:7].any() and np.array_equal(after[~area], before[~area])


def test_progressive_jpeg_is_stored_without_loss_instead() -> None:
    masked = mask_frame(jpeg(progressive=True), fmt(BASELINE, "YBR_FULL_422", 3), RECTS)
    assert (masked.format.transfer_syntax, masked.format.photometric) == (J2K, "YBR_RCT")
    assert masked.method == LOSSLESS and masked.is_lossy and not masked.decoded[:7].any()


def test_without_a_rectangle_nothing_is_coded_again_and_hidden_channels_go() -> None:
    data = jpeg(comment=b"Yamada Hanako") + b"Hanako"
    masked = mask_frame(data, fmt(BASELINE, "YBR_FULL_422", 3), [Rect(50, 0, 9, 9)])
    assert masked.method == UNTOUCHED and masked.boxes == () and b"anako" not in masked.data
    entropy = data[data.index(b"\xff\xda") : data.rindex(b"\xff\xd9")]
    assert entropy in masked.data


def test_bytes_inside_the_coded_data_do_not_pass() -> None:
    data = jpeg()
    hidden = data[:-2] + b"HANAKO HANAKO" + data[-2:]
    for rects in ([], [Rect(0, 0, 50, 7)]):
        with pytest.raises(Refused):
            mask_frame(hidden, fmt(BASELINE, "YBR_FULL_422", 3), rects)


def test_rle_is_cut_to_its_image() -> None:
    form = fmt(RLE, "MONOCHROME2")
    plain = values(form).astype(np.uint8).tobytes()
    coded = encode_pixel_data(plain, rows=40, columns=50, samples_per_pixel=1, bits_allocated=8, byteorder="<")
    masked = mask_frame(coded + b"HANAKO\x80\x80", form, [])
    assert masked.data == coded and masked.method == UNTOUCHED


def test_bits_above_the_stored_ones_are_emptied() -> None:
    form = fmt(EXPLICIT, "MONOCHROME2", bits=16, stored=12)
    data = (values(form).astype(np.uint16) | 0x5000).tobytes()
    words = np.frombuffer(mask_frame(data, form, []).data, "<u2").reshape(40, 50)
    assert np.array_equal(words, values(form))


def test_a_palette_without_a_usable_black_is_held() -> None:
    form = fmt(EXPLICIT, "PALETTE COLOR")
    for fill in (None, 256, -1):
        with pytest.raises(Held):
            mask_frame(native(form), form, RECTS, fill)


def test_what_cannot_be_masked_is_held_with_a_reason() -> None:
    with pytest.raises(Held, match=r"H\.264"):
        mask_frame(b"", fmt("1.2.840.10008.1.2.4.102", "YBR_PARTIAL_420", 3), RECTS)
    with pytest.raises(Refused):
        mask_frame(b"\xff\xd8\xff", fmt(BASELINE, "YBR_FULL_422", 3), RECTS)


def patched(data: bytes, marker: int, offset: int, value: bytes) -> bytes:
    """The stream with bytes of one segment's payload replaced."""
    at = data.index(bytes((0xFF, marker))) + 4 + offset
    return data[:at] + value + data[at + len(value) :]


def test_jpeg_with_12_bits_says_what_to_do() -> None:
    form = fmt("1.2.840.10008.1.2.4.51", "MONOCHROME2", bits=16, stored=12)
    grey = BytesIO()
    Image.fromarray(values(fmt(BASELINE, "MONOCHROME2")).astype(np.uint8)).save(grey, "JPEG")
    with pytest.raises(Refused, match=r"12 bits .* uncompressed"):
        mask_frame(patched(grey.getvalue(), 0xC0, 0, b"\x0c"), form, RECTS)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: patched(data, 0xC0, 1, b"\0\0"),  # its height comes in a DNL segment behind the scan
        lambda data: patched(data, 0xC0, 1, b"\0\0")[:-2] + b"\xff\xdc\x00\x04\x00\x28\xff\xd9",
        lambda data: data.replace(b"\xff\xc0", b"\xff\xc9"),  # arithmetic coding
        lambda data: data.replace(b"\xff\xc0", b"\xff\xc5"),  # hierarchical
        lambda data: data.replace(b"\xff\xda", b"\xff\xdd\x00\x04\x00\x07\xff\xda"),  # restarts that are not there
        lambda data: data[: len(data) // 2] + b"\xff\xd9",
        lambda data: data[: len(data) // 2],
    ],
    ids=["no height", "DNL", "arithmetic", "hierarchical", "missing restarts", "cut", "cut before the end"],
)
def test_jpeg_that_does_not_decode_is_refused(change: Callable[[bytes], bytes]) -> None:
    for rects in (RECTS, []):
        with pytest.raises(Refused):
            mask_frame(change(jpeg()), fmt(BASELINE, "YBR_FULL_422", 3), rects)


@pytest.mark.parametrize("syntax", [BASELINE, "1.2.840.10008.1.2.4.51"])
@pytest.mark.parametrize("sampling", ["411", "440"])
def test_other_subsampling(syntax: str, sampling: str) -> None:
    form = fmt(syntax, "YBR_FULL_422", 3)
    data = simplejpeg.encode_jpeg(values(form).astype(np.uint8), 95, "RGB", sampling)
    masked = mask_frame(data, form, [Rect(0, 0, 50, 7)])
    before, after = (simplejpeg.decode_jpeg(one, "RGB", fastupsample=True) for one in (data, masked.data))
    area = inside(form, masked.boxes)
    assert masked.method == IN_PLACE and not after[:7].any() and np.array_equal(after[~area], before[~area])


def test_extended_jpeg_is_spliced_as_baseline_is() -> None:
    """SOF1 with 8 bits differs in nothing that the splice touches."""
    form = fmt("1.2.840.10008.1.2.4.51", "YBR_FULL_422", 3)
    data = jpeg(subsampling=1).replace(b"\xff\xc0", b"\xff\xc1")
    masked = mask_frame(data, form, [Rect(0, 0, 50, 7)])
    assert masked.method == IN_PLACE and masked.format == form and b"\xff\xc1" in masked.data


@pytest.mark.parametrize(
    ("stated", "ratios", "methods"),
    [
        ({}, 1, ["ISO_15444_1"]),
        (
            {"LossyImageCompressionRatio": "20", "LossyImageCompressionMethod": "ISO_10918_1"},
            2,
            ["ISO_10918_1", "ISO_15444_1"],
        ),
        ({"LossyImageCompressionRatio": "20"}, 2, ["ISO_15444_1", "ISO_15444_1"]),
    ],
    ids=["nothing stated", "both stated", "ratio stated"],
)
def test_the_file_says_that_it_was_coded_again_with_loss(
    stated: dict[str, str],
    ratios: int,
    methods: list[str],
    ultrasound: Dataset,
    part10: Callable[..., bytes],
    release_file: Callable[..., object],
) -> None:
    data, form = smooth_j2k(20)
    ultrasound.Rows, ultrasound.Columns, ultrasound.PhotometricInterpretation = form.rows, form.columns, "YBR_ICT"
    ultrasound.PixelData = encapsulate([data])
    ultrasound["PixelData"].is_undefined_length = True
    for keyword, value in {"LossyImageCompression": "01", **stated}.items():
        setattr(ultrasound, keyword, value)
    header = release_file(part10(ultrasound, form.transfer_syntax), (Rect(0, 0, 160, 20),)).header  # type: ignore[attr-defined]
    found = header.LossyImageCompressionMethod
    assert header.LossyImageCompression == "01" and ([found] if isinstance(found, str) else list(found)) == methods
    ratio = header.LossyImageCompressionRatio
    assert (len(ratio) if isinstance(ratio, pydicom.multival.MultiValue) else 1) == ratios
    assert float(ratio if ratios == 1 else ratio[-1]) > 15
