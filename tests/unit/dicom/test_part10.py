"""Opening real, malformed and made-up files: refused with a reason, or right to the last frame."""

import tracemalloc
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from core.dicom.frames import decode_stored, encode_jpeg
from core.dicom.part10 import Part10, frame_bytes, open_part10
from core.errors import Refused

OPENS = {  # of dicom_bad: what is odd with these does not make their pixels or identity uncertain
    "J2K_pixelrep_mismatch.dcm", "SC_rgb_small_odd_jpeg.dcm", "SC_rgb_small_odd.dcm", "explicit_VR-UN.dcm",
    "reportsi_with_empty_number_tags.dcm", "CTImageStorage_bad_meta.dcm", "us_mf_region_out_of_image.dcm",
    "us_mf_region_inverted.dcm", "us_mf_cp932_name.dcm",
}  # fmt: skip
FILL = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def opened(data: bytes) -> Part10:
    return open_part10(BytesIO(data), len(data))


def test_every_bad_file_is_refused_or_opens(data_folder: Path) -> None:
    for path in (data_folder / "dicom_bad").rglob("*"):
        if not path.is_file() or path.suffix == ".tsv":
            continue
        size = path.stat().st_size
        tracemalloc.start()
        try:
            with path.open("rb") as fp:
                part10 = open_part10(fp, size)
            assert path.name in OPENS, path.name
            assert part10.trailing_bytes == 0
        except Refused as refused:
            assert path.name not in OPENS, (path.name, refused.message)
            assert path.stem not in refused.message
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < size + (64 << 20)


def test_every_real_file_opens_and_decodes_as_pydicom_does(data_folder: Path) -> None:
    for path in (data_folder / "dicom").rglob("*.dcm"):
        with path.open("rb") as fp:
            part10 = open_part10(fp, path.stat().st_size)
            assert part10.pixel is not None
            assert len(part10.frames) == part10.pixel.frames
            ours = decode_stored(frame_bytes(fp, part10, 0), part10.pixel)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = pixel_array(path, index=0, raw=True)
        tolerance = 0
        if part10.transfer_syntax == JPEGBaseline8Bit:
            theirs, tolerance = convert_color_space(theirs, "YBR_FULL", "RGB"), 2
        assert ours.shape == theirs.shape
        assert np.abs(ours.astype(np.int32) - theirs).max() <= tolerance, path.name


def test_cine_frames_that_are_not_counted_are_refused(data_folder: Path) -> None:
    data = (data_folder / "dicom_bad/derived_here/us_mf_frames_too_few.dcm").read_bytes()
    with pytest.raises(Refused, match="more frames"):
        opened(data)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"SOPClassUID": None}, "no SOPClassUID"),
        ({"SeriesInstanceUID": "../etc"}, "not a UID"),
        ({"Rows": 5}, "shorter than the image"),
        ({"Rows": 3}, "longer than the image"),
        ({"Rows": 65535, "Columns": 65535}, "not possible"),
        ({"NumberOfFrames": 2}, "fewer frames"),
        ({"NumberOfFrames": 0}, "not possible"),
        ({"BitsAllocated": 32}, "8 or 16 bits"),
        ({"PhotometricInterpretation": "CMYK"}, "colours"),
        ({"SamplesPerPixel": 2}, "colours"),
        ({"BitsStored": 9}, "bits of the image"),
        ({"PixelData": None}, "no pixel data"),
    ],
)
def test_geometry_is_checked(
    make_image: Callable[..., Any], written: Callable[..., bytes], values: dict[str, Any], reason: str
) -> None:
    with pydicom.config.disable_value_validation():
        data = written(make_image(FILL, **values)) if "SOPClassUID" not in values else _without_class(make_image)
    with pytest.raises(Refused, match=reason):
        opened(data)


def _without_class(make_image: Callable[..., Any]) -> bytes:
    ds, out = make_image(FILL), BytesIO()
    del ds.SOPClassUID
    ds.save_as(out, enforce_file_format=False)
    return out.getvalue()


def test_a_bad_value_is_a_refusal_without_quoting_it(
    make_image: Callable[..., Any], written: Callable[..., bytes]
) -> None:
    data = written(make_image(FILL, InstanceNumber=12345678)).replace(b"12345678", b"Jane Doe")
    with pytest.raises(Refused) as caught:
        opened(data)
    assert "Jane" not in caught.value.message


def test_an_element_named_twice_is_refused(make_image: Callable[..., Any], written: Callable[..., bytes]) -> None:
    data = written(make_image(FILL))
    name = data[data.index(b"\x10\x00\x10\x00PN") :][:16]
    with pytest.raises(Refused, match="twice"):
        opened(data.replace(name, name * 2))


def test_bytes_after_the_last_element_are_counted(
    make_image: Callable[..., Any], written: Callable[..., bytes]
) -> None:
    assert opened(written(make_image(FILL)) + b"PK\3\4 a hidden archive").trailing_bytes == 21
    assert opened(written(make_image(FILL))).trailing_bytes == 0


def test_a_document_has_no_pixels(make_image: Callable[..., Any], written: Callable[..., bytes]) -> None:
    part10 = opened(written(make_image()))
    assert part10.pixel is None
    assert part10.frames == ()


def test_floating_point_pixels_are_refused(make_image: Callable[..., Any], written: Callable[..., bytes]) -> None:
    ds = make_image(FILL, PixelData=None)
    ds.FloatPixelData = bytes(64)
    with pytest.raises(Refused, match="Floating"):
        opened(written(ds))


def _jpeg_cine(make_image: Callable[..., Any], fragments: int, has_bot: bool, said: int = 3) -> tuple[Any, list[bytes]]:
    frames = [encode_jpeg(np.full((16, 16, 3), 60 * index, np.uint8), 90) for index in range(3)]
    ds = make_image(np.zeros((16, 16, 3), np.uint8), NumberOfFrames=said, PhotometricInterpretation="YBR_FULL")
    ds.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=has_bot)
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return ds, frames


@pytest.mark.parametrize("has_bot", [True, False])
@pytest.mark.parametrize("fragments", [1, 3])
def test_frames_may_span_fragments(
    make_image: Callable[..., Any], written: Callable[..., bytes], fragments: int, has_bot: bool
) -> None:
    ds, frames = _jpeg_cine(make_image, fragments, has_bot)
    data = written(ds)
    part10 = opened(data)
    for index, frame in enumerate(frames):
        assert frame_bytes(BytesIO(data), part10, index).rstrip(b"\0") == frame.rstrip(b"\0")
    with pytest.raises(Refused, match="no such frame"):
        frame_bytes(BytesIO(data), part10, 3)


@pytest.mark.parametrize("said", [1, 2, 4])
@pytest.mark.parametrize("has_bot", [True, False])
def test_hidden_or_missing_frames_are_refused(
    make_image: Callable[..., Any], written: Callable[..., bytes], said: int, has_bot: bool
) -> None:
    ds, _ = _jpeg_cine(make_image, 1, has_bot, said)
    with pytest.raises(Refused, match="frames than it says"):
        opened(written(ds))


def test_a_jpeg_of_another_size_is_refused(make_image: Callable[..., Any], written: Callable[..., bytes]) -> None:
    ds, _ = _jpeg_cine(make_image, 1, True)
    ds.Rows = 32
    with pytest.raises(Refused, match="another size"):
        opened(written(ds))


def test_deflated_frames_are_read(make_image: Callable[..., Any], written: Callable[..., bytes]) -> None:
    ds = make_image(FILL)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = written(ds)
    part10 = opened(data)
    assert part10.pixel is not None
    assert frame_bytes(BytesIO(data), part10, 0) == FILL.tobytes()


def test_odd_big_endian_words_are_put_in_order(make_image: Callable[..., Any], written: Callable[..., bytes]) -> None:
    frames = np.arange(18, dtype=np.uint8)
    ds = make_image(np.zeros((3, 3), np.uint8), NumberOfFrames=2)
    ds.add_new(0x7FE00010, "OW", frames.reshape(9, 2)[:, ::-1].tobytes())
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.2")
    data = written(ds, implicit_vr=False, little_endian=False)
    part10 = opened(data)
    assert [frame_bytes(BytesIO(data), part10, index) for index in (0, 1)] == [
        frames[:9].tobytes(),
        frames[9:].tobytes(),
    ]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_gets_past_the_refusal(
    make_image: Callable[..., Any], written: Callable[..., bytes], data: st.DataObject
) -> None:
    ds = make_image(FILL, PatientAge="041Y", PatientSize=1.6, InstanceNumber=3, StudyDate="20200101")
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    region = pydicom.Dataset()
    region.RegionLocationMinX0, region.PhysicalDeltaX, region.OperatorsName = 1, 0.5, "Op^A"
    ds.SequenceOfUltrasoundRegions = [region, region]
    whole = bytearray(written(ds))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(132, len(whole) - 1))] = data.draw(st.integers(0, 255))
    fp = BytesIO(bytes(whole))
    try:
        part10 = open_part10(fp, len(whole))
        if part10.pixel is not None:
            decode_stored(frame_bytes(fp, part10, 0), part10.pixel)
    except Refused as refused:
        assert refused.message.endswith(".")
