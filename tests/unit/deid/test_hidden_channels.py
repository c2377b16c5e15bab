"""A secret in every place where a coded frame or its file can carry one: it is not in the stream that leaves, or nothing leaves."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import jpeg_ls
import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from rle.utils import encode_pixel_data

from core.deid import candidate, jpeg_lossless
from core.deid.candidate import write_candidate
from core.deid.channels import check_channels
from core.deid.masks import Rect
from core.dicom.part10 import frame_bytes, open_part10
from core.errors import Held, Refused

SECRET = b"YAMADA^HANAKO"
JPEG, LOSSLESS, LS, J2K, J2K_LOSSY, RLE, EXPLICIT = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.1",
)
PICTURE = np.random.default_rng(2).integers(0, 256, (48, 64), np.uint8)
COLOUR = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)


def jpeg(**options: object) -> bytes:
    out = BytesIO()
    Image.fromarray(COLOUR).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


CODED: dict[str, tuple[str, bytes]] = {
    "baseline": (JPEG, jpeg()),
    "progressive": (JPEG, jpeg(progressive=True)),
    "lossless": (LOSSLESS, jpeg_lossless.encode(PICTURE, 8)),
    "jpeg-ls": (LS, bytes(jpeg_ls.encode_buffer(PICTURE.tobytes(), 48, 64, 1, 8))),
    "jpeg 2000": (J2K, bytes(encode_array(PICTURE))),
    "jpeg 2000, lossy": (J2K_LOSSY, bytes(encode_array(COLOUR, photometric_interpretation=1, compression_ratios=[6]))),
    "rle": (
        RLE,
        encode_pixel_data(PICTURE.tobytes(), rows=48, columns=64, samples_per_pixel=1, bits_allocated=8, byteorder="<"),
    ),
    "native": (EXPLICIT, PICTURE.tobytes()),
}


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def after_start(segments: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:2] + segments + data[2:]


def before_scan(segments: bytes) -> Callable[[bytes], bytes]:
    def put(data: bytes) -> bytes:
        at = data.index(b"\xff\xda")
        return data[:at] + segments + data[at:]

    return put


def in_main_header(segments: bytes) -> Callable[[bytes], bytes]:
    def put(data: bytes) -> bytes:
        at = data.index(b"\xff\x90")
        return data[:at] + segments + data[at:]

    return put


def as_jp2(data: bytes) -> bytes:
    box = struct.pack(">I4s", 8 + len(SECRET), b"uuid") + SECRET
    return b"\x00\x00\x00\x0cjP  \r\n\x87\n" + box + struct.pack(">I4s", 8 + len(data), b"jp2c") + data


def behind_a_tile(data: bytes) -> bytes:
    """Bytes behind the coded data of the last tile part, counted in its length."""
    at = data.index(b"\xff\x90")
    (length,) = struct.unpack_from(">I", data, at + 6)
    end = at + length if length else len(data) - 2
    told = struct.pack(">I", length + len(SECRET)) if length else b"\0\0\0\0"
    return data[: at + 6] + told + data[at + 10 : end] + SECRET + data[end:]


def thumbnail(data: bytes) -> bytes:
    pixels = (SECRET + b"\0" * 20)[:27]
    jfif = segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\x03\x03" + pixels)
    rest = data[2:]
    if rest[:2] == b"\xff\xe0":
        rest = rest[2 + struct.unpack(">H", rest[2:4])[0] :]
    return data[:2] + jfif + rest


def between_segments(data: bytes) -> bytes:
    """A gap between the RLE header and the first segment."""
    count, *offsets = struct.unpack("<16I", data[:64])
    moved = [offset + 14 if offset else 0 for offset in offsets]
    return struct.pack("<16I", count, *moved) + (SECRET + b"\0") + data[64:]


IN_JPEG: dict[str, Callable[[bytes], bytes]] = {
    **{f"APP{n}": after_start(segment(0xE0 + n, SECRET)) for n in range(16)},
    "comment": after_start(segment(0xFE, SECRET)),
    "comment before the scan": before_scan(segment(0xFE, SECRET)),
    "EXIF": after_start(segment(0xE1, b"Exif\0\0" + SECRET)),
    "Adobe": after_start(segment(0xEE, b"Adobe\0\x64" + SECRET[:4] + b"\x01" + SECRET)),
    "behind the end": lambda data: data + SECRET,
    "reserved marker": after_start(segment(0xF5, SECRET)),
    "in the coded data": lambda data: data[:-2] + SECRET + data[-2:],
    "second image": lambda data: data + data[:-2] + segment(0xFE, SECRET) + data[-2:],
}
IN_JPEG_2000: dict[str, Callable[[bytes], bytes]] = {
    "comment": in_main_header(segment(0x64, b"\0\x01" + SECRET)),
    "binary comment": in_main_header(segment(0x64, b"\0\0" + SECRET)),
    "tile lengths": in_main_header(segment(0x55, b"\0\0" + SECRET)),
    "box": as_jp2,
    "behind the end": lambda data: data + SECRET,
    "behind the tile": behind_a_tile,
}
PLACES: dict[str, dict[str, Callable[[bytes], bytes]]] = {
    "baseline": IN_JPEG | {"thumbnail": thumbnail},
    "progressive": IN_JPEG,
    "lossless": IN_JPEG,
    "jpeg-ls": IN_JPEG | {"colour transform": after_start(segment(0xE8, b"mrfx\0" + SECRET))},
    "jpeg 2000": IN_JPEG_2000,
    "jpeg 2000, lossy": IN_JPEG_2000,
    "rle": {
        "behind the segments": lambda data: data + SECRET + b"\0",
        "before the segments": between_segments,
        "unused offsets": lambda data: data[:8] + (SECRET + b"\0" * 43)[:56] + data[64:],
    },
    "native": {"behind the frame": lambda data: data + SECRET, "pad byte": lambda data: data + b"Y"},
}


def file_of(part10: Callable[..., bytes], ultrasound: Dataset, coded: str, pixel_data: bytes) -> bytes:
    syntax = CODED[coded][0]
    ultrasound.PixelData = pixel_data
    if coded in {"baseline", "progressive", "jpeg 2000, lossy"}:
        ultrasound.PhotometricInterpretation = "YBR_FULL_422" if syntax == JPEG else "YBR_ICT"
    else:
        ultrasound.SamplesPerPixel, ultrasound.PhotometricInterpretation = 1, "MONOCHROME2"
        ultrasound.pop("PlanarConfiguration", None)
    ultrasound["PixelData"].VR = "OB"
    ultrasound["PixelData"].is_undefined_length = coded != "native"
    return part10(ultrasound, syntax)


def left_in(data: bytes, rects: tuple[Rect, ...]) -> bytes | None:
    """The candidate's stream, None when the file goes no further."""
    fp, stream = BytesIO(data), BytesIO()
    try:
        source = open_part10(fp, len(data))
        assert source.pixel is not None
        plan = candidate.plan(source.dataset, source.pixel, rects, [])
        frames = [frame_bytes(fp, source, number) for number in range(len(source.frames))]
        index = write_candidate(
            plan.responses(*candidate.sandboxed_mask(*plan.request(*frames)), len(frames)), plan, stream
        )
    except Refused as refused:
        assert refused.message and "YAMADA" not in refused.message
        return None
    for number, length in zip(index.offsets, index.lengths, strict=True):
        check_channels(stream.getvalue()[number : number + length], index.format.transfer_syntax)
    return stream.getvalue()


@pytest.mark.parametrize("rects", [(), (Rect(0, 0, 64, 9),)], ids=["clean", "masked"])
@pytest.mark.parametrize(("coded", "place"), [(coded, place) for coded in PLACES for place in PLACES[coded]])
def test_a_secret_beside_the_image_does_not_leave(
    coded: str, place: str, rects: tuple[Rect, ...], part10: Callable[..., bytes], ultrasound: Dataset
) -> None:
    hidden = PLACES[coded][place](CODED[coded][1])
    pixel_data = hidden if coded == "native" else encapsulate([hidden])
    stream = left_in(file_of(part10, ultrasound, coded, pixel_data), rects)
    assert stream is None or (SECRET not in stream and SECRET[:4] not in stream)


@pytest.mark.parametrize("coded", [one for one in CODED if one != "native"])
def test_without_a_secret_the_same_files_pass(coded: str, part10: Callable[..., bytes], ultrasound: Dataset) -> None:
    data = file_of(part10, ultrasound, coded, encapsulate([CODED[coded][1]]))
    for rects in ((), (Rect(0, 0, 64, 9),)):
        assert left_in(data, rects) is not None


@pytest.mark.parametrize("coded", [one for one in CODED if one != "native"])
def test_more_frames_than_are_counted_do_not_leave(
    coded: str, part10: Callable[..., bytes], ultrasound: Dataset
) -> None:
    frame = CODED[coded][1]
    ultrasound.NumberOfFrames = 2
    data = file_of(part10, ultrasound, coded, encapsulate([frame, frame, frame]))
    assert left_in(data, ()) is None


def test_more_native_frames_than_are_counted_do_not_leave(part10: Callable[..., bytes], ultrasound: Dataset) -> None:
    ultrasound.NumberOfFrames = 2
    assert left_in(file_of(part10, ultrasound, "native", PICTURE.tobytes() * 3), ()) is None


def item(data: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize("coded", [one for one in CODED if one != "native"])
def test_fragments_and_gaps_that_no_frame_uses_do_not_leave(
    coded: str, part10: Callable[..., bytes], ultrasound: Dataset
) -> None:
    """A fragment between two frames or behind the last; with a table that passes over it and with none."""
    frame = CODED[coded][1] + b"\0" * (len(CODED[coded][1]) % 2)
    ultrasound.NumberOfFrames = 2
    hidden, end = SECRET + b"\0", b""
    for table in (b"", struct.pack("<2I", 0, 16 + len(frame) + len(hidden))):
        for pieces in ((frame, hidden, frame), (frame, frame, hidden)):
            value = item(table) + b"".join(map(item, pieces)) + end
            data = file_of(part10, ultrasound, coded, value)
            for rects in ((), (Rect(0, 0, 64, 9),)):
                stream = left_in(data, rects)
                assert stream is None or SECRET not in stream


def test_bytes_behind_the_last_element_do_not_leave(part10: Callable[..., bytes], ultrasound: Dataset) -> None:
    data = file_of(part10, ultrasound, "native", PICTURE.tobytes()) + SECRET
    stream = left_in(data, ())
    assert stream == PICTURE.tobytes()


def test_bytes_behind_a_deflated_data_set_do_not_leave(part10: Callable[..., bytes], ultrasound: Dataset) -> None:
    """Deflated comes back as explicit little endian: deflation is a coding of the data set, not of its pixels."""
    data = file_of(part10, ultrasound, "native", PICTURE.tobytes())
    at = data.index(b"\x08\x00\x05\x00CS")
    head = data[:at].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    grown = len(head) - at
    length = struct.unpack_from("<I", head, 140)[0] + grown
    uid = head.index(b"1.2.840.10008.1.2.1.99") - 2
    head = head[:140] + struct.pack("<I", length) + head[144:uid] + struct.pack("<H", 22) + head[uid + 2 :]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = packer.compress(data[at:]) + packer.flush()
    assert left_in(head + deflated, ()) == PICTURE.tobytes()
    stream = left_in(head + deflated + SECRET, ())
    assert stream is None or stream == PICTURE.tobytes()


def test_the_second_gate_sees_every_place() -> None:
    """What the first one takes out the second one, which looks at the finished file, would hold."""
    for coded, places in PLACES.items():
        for place, hide in places.items():
            if coded in {"native"} or place in {"in the coded data", "behind the tile"}:
                continue  # these show when the frame is decoded, or not at all in what is written here
            if coded == "rle":
                continue
            with pytest.raises((Held, Refused)):
                check_channels(hide(CODED[coded][1]), CODED[coded][0])
