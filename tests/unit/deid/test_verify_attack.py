"""Every value of a patient, in every disguise, at every place of a released file: the last gate holds it, and only it."""

import base64
import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from core.deid import verify
from core.deid.release import write_file
from core.deid.search import Search
from core.dicom.frames import decode_stored
from core.errors import Held, Refused

NEEDLES = ("Yamada", "Hanako", "山田", "花子", "ヤマダ", "KRZ-7001-2345", "70012345", "19500102", "4711", "Ana", "林")
ROOM = bytes((7, 200, 3, 9)) * 64  # of a table of numbers
HALF = {"ヤマダ": "ﾔﾏﾀﾞ"}
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "shift_jis", "euc_jp", "iso2022_jp", "gb18030")


def disguises(needle: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of a value as it may be hidden. Of one kanji, and of two in base64, UTF-8 and what is longer."""
    is_word = len(needle) < (4 if needle.isascii() else 3)
    for encoding in ENCODINGS:
        try:
            coded = needle.encode(encoding)
        except UnicodeEncodeError:
            continue
        if len(needle) == 1 and encoding in {"utf-16-le", "utf-16-be", "shift_jis", "euc_jp", "gb18030", "iso2022_jp"}:
            continue
        yield f"{encoding} plain", coded
        yield f"{encoding} percent", "".join(f"%{byte:02X}" for byte in coded).encode()
        yield f"{encoding} percent where needed", quote(coded).encode()
        if not needle.isascii() or not is_word:
            yield f"{encoding} hexadecimal", coded.hex().encode()
        if len(coded) > 7 or (len(coded) > 5 and not needle.isascii()):
            for before in range(3):
                yield f"{encoding} base64 after {before}", base64.b64encode(b"#" * before + coded + b"##")
                yield f"{encoding} base64 for addresses", base64.urlsafe_b64encode(b"#" * before + coded + b"##")
        else:
            yield f"{encoding} base64 alone", base64.b64encode(coded)
    if needle in HALF:
        yield "half width", HALF[needle].encode("shift_jis")
        yield "half width in UTF-16", HALF[needle].encode("utf-16-le")
    if needle.isascii():
        yield "full width", "".join(chr(ord(one) + 0xFEE0) for one in needle).encode()
        yield "capitals", needle.upper().encode()
        if len(needle) > 5:
            yield "spaced", b" ".join(bytes([byte]) for byte in needle.encode())


CASES = [(needle, name, data) for needle in NEEDLES for name, data in disguises(needle)]


@pytest.mark.parametrize(("needle", "data"), [pytest.param(n, d, id=f"{n} {name}") for n, name, d in CASES])
def test_every_disguise_is_found_in_bytes(needle: str, data: bytes) -> None:
    search = Search([needle])
    assert search.in_bytes(b"\0\x01\x02 " + data + b" \x03\0") and search.in_bytes(data)


@pytest.fixture(scope="module")
def make(pseudonyms: Any, release_file: Callable[..., Any]) -> Callable[..., Any]:
    def run(ds: Dataset, part10: Callable[..., bytes]) -> Any:
        ds.VOILUTSequence = Sequence([_table()])
        ds.SequenceOfUltrasoundRegions[0].TableOfPixelValues = list(struct.unpack("<64I", ROOM))
        ds.StudyDescription, ds.SeriesDescription = "US Abdomen", "腹部エコー 肝臓"
        return release_file(part10(ds))

    return run


def _table() -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [256, 0, 8]
    item.add_new(0x00283006, "OW", bytes(range(256)))
    return item


@pytest.fixture
def released(make: Callable[..., Any], ultrasound: Dataset, part10: Callable[..., bytes]) -> Any:
    return make(ultrasound, part10)


def rewritten(released: Any, change: Callable[[Dataset], object]) -> bytes:
    change(released.header)
    out = BytesIO()
    write_file(released.header, BytesIO(released.stream), released.index, out)
    return out.getvalue()


def check(data: bytes, *needles: str) -> None:
    verify.check_released(BytesIO(data), len(data), needles, decode=decode_stored)


def test_the_untouched_file_passes(released: Any) -> None:
    """The control: all of these values are looked for, and nothing is found."""
    assert released.header.SeriesDescription == "腹部エコー 肝臓" and "VOILUTSequence" in released.header
    check(released.file, *NEEDLES)
    check(released.file, "12345678", "ABCDEF")  # a plain ramp of grey spells these


def in_text(ds: Dataset, data: bytes) -> None:
    ds.SoftwareVersions = f"v {data.decode()} 1"


def in_code(ds: Dataset, data: bytes) -> None:
    ds.AnatomicRegionSequence[0].CodeMeaning = f"Liver {data.decode()}"


def in_probe(ds: Dataset, data: bytes) -> None:
    ds.TransducerData = ["C5-1", data.decode(), "1"]


def in_description(ds: Dataset, data: bytes) -> None:
    ds.StudyDescription = f"US {data.decode()}"


TEXTS = {"software": in_text, "code": in_code, "probe": in_probe, "description": in_description}


def test_every_disguise_is_held_among_numbers(released: Any) -> None:
    """Written over the numbers of a table of the region, where nothing else is a text."""
    assert released.file.count(ROOM) == 1
    for needle, name, data in CASES:
        if needle in {"Hanako", "花子", "19500102", "Ana"}:  # as others of their kind
            continue
        hidden = (b"\0\0" + data + b"\0\0").ljust(len(ROOM), b"\0")
        with pytest.raises(Held) as caught:
            check(released.file.replace(ROOM, hidden), needle)
            pytest.fail(f"{needle}: {name} passed")
        assert needle not in caught.value.message and len(hidden) == len(ROOM)


@pytest.mark.parametrize("place", TEXTS)
def test_disguises_are_held_in_texts(released: Any, place: str) -> None:
    for needle, name, data in CASES:
        if name.startswith("utf-8") and data.isascii() and len(data) < 50:
            with pytest.raises(Held):
                check(rewritten(released, lambda ds, data=data: TEXTS[place](ds, data)), needle)
                pytest.fail(f"{needle}: {name} passed")


@pytest.mark.parametrize(
    "change",
    [
        lambda data, found: found.ljust(128, b"\0")[:128] + data[128:],
        lambda data, found: data + found,
        lambda data, found: data.replace(b"SONOBANK_1", found[:10].ljust(10)),
        lambda data, found: data.replace(b"ISO_IR 192", found[:10].ljust(10)),
        lambda data, found: data.replace(b"113100", found[:6].ljust(6)),
        lambda data, found: data.replace(b"Clean Pixel Data Option", found[:23].ljust(23)),
        lambda data, found: data.replace(bytes(range(256)), found.ljust(256, b"\0")),
        lambda data, found: data.replace(bytes(range(256)), b"".join(bytes([b, 7]) for b in found).ljust(256, b"\0")),
    ],
    ids=["preamble", "behind", "implementation", "character set", "method", "meaning", "table", "words of a table"],
)
def test_a_value_put_into_the_bytes_is_held(released: Any, change: Callable[[bytes, bytes], bytes]) -> None:
    for needle in ("Yamada", "70012345", "KRZ-7001-2345"):
        data = change(released.file, needle.encode())
        assert data != released.file
        with pytest.raises(Refused) as caught:
            check(data, needle)
        assert needle not in caught.value.message


def test_a_comment_in_a_frame_is_held(release_file: Callable[..., Any], shared_file: Any) -> None:
    """Where a coded frame has room for a comment, one that was put in later is found."""
    from tests.planted import with_comment

    if shared_file.stem not in {"examples_ybr_color", "US1_J2KI", "JPGLosslessP14SV1_1s_1f_8b"}:
        return
    data = shared_file.read_bytes()
    released = release_file(data)
    start, length = released.index.offsets[0], released.index.lengths[0]
    frame = with_comment(released.stream[start : start + length], b"Yamada^Hanako")
    with pytest.raises(Held, match="beside its image"):
        from core.deid.channels import check_channels

        check_channels(frame, released.index.format.transfer_syntax)
