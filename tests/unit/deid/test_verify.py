"""The last gate finds a patient's value in any disguise and says where it is, never what."""

import base64
import hashlib
from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from core.deid import verify
from core.deid.search import Search
from core.dicom.frames import decode_stored
from core.dicom.part10 import open_part10
from core.errors import Held, Refused

NEEDLES = ("Yamada", "Hanako", "山田花子", "ヤマダ", "KRZ-7001-2345", "70012345")


@pytest.mark.parametrize(
    "text",
    [
        "yamada",
        "x Yamada^H",
        "ＹＡＭＡＤＡ",
        "ﾔﾏﾀﾞ",
        "やまだ",
        "ya-ma-da",
        "KRZ 7001 2345",
        "krz70012345",
        "170012345",
        "山田花子様",
    ],
)
def test_texts(text: str) -> None:
    assert Search(NEEDLES).in_text(text)


@pytest.mark.parametrize("text", ["", "Yamato", "7001234", "山田", "liver", "2.25.123700"])
def test_other_texts_pass(text: str) -> None:
    assert not Search(NEEDLES).in_text(text)


@pytest.mark.parametrize(
    ("needle", "found", "passed"),
    [
        ("AC", ["AC", "by ac."], ["ACUSON", "vac"]), ("林", ["林", "林 一郎"], ["小林", "林檎"]),
        ("1234", ["1234", "A1234", "0001234", "12-1234"], ["51234", "12345", "2.25.91234"]),
        ("MARY", ["mary", "Maryland"], ["Mar y"]),
    ],
)  # fmt: skip
def test_short_values_match_whole_words(needle: str, found: list[str], passed: list[str]) -> None:
    search = Search([needle])
    assert all(map(search.in_text, found)) and not any(map(search.in_text, passed))


def test_short_values_are_counted() -> None:
    assert verify.whole_words(["AC", "Lee", "林", "山田", "Yamada", "山田花"]) == 4
    assert verify.whole_words(["A", ""]) == 0


def disguises() -> dict[str, bytes]:
    name, kanji = "Yamada", "山田花子"
    found = {
        encoding: kanji.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be", "shift_jis", "euc_jp")
    }
    found["iso 2022"] = b"\x1b$B" + kanji.encode("iso2022_jp")[3:-3] + b"\x1b(B"
    found["half width"] = "ﾔﾏﾀﾞ".encode("shift_jis")
    found["full width"] = "ＹＡＭＡＤＡ".encode()
    found["percent"] = quote(kanji).encode()
    found["hexadecimal"] = kanji.encode().hex().upper().encode()
    for before in range(3):
        found[f"base64 after {before}"] = base64.b64encode(b"#" * before + kanji.encode() + b"##")
    for kind in ("md5", "sha1", "sha256"):
        found[kind] = hashlib.new(kind, name.encode()).hexdigest().encode()
        found[f"{kind} of capitals"] = hashlib.new(kind, name.upper().encode()).hexdigest().upper().encode()
    return found


@pytest.mark.parametrize("form", disguises())
def test_disguises_in_bytes(form: str) -> None:
    hidden = disguises()[form]
    search = Search(NEEDLES)
    assert search.in_bytes(b"\0\x01\x02 " + hidden + b" \x03\0")
    assert not search.in_bytes(bytes(range(256)) * 4)


@pytest.fixture
def released(ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any]) -> Any:
    return release_file(part10(ultrasound), needles=NEEDLES)


def check(data: bytes, **options: Any) -> None:
    verify.check_released(BytesIO(data), len(data), NEEDLES, **options)


def test_a_clean_file_passes(released: Any, ultrasound: Dataset) -> None:
    seen: list[int] = []
    check(released.file, original=ultrasound, decode=lambda data, fmt: seen.append(len(decode_stored(data, fmt))))
    assert seen == [48] and verify.find_leaks(released.file, NEEDLES) == []
    assert repr(Search(NEEDLES)).count("Yamada") == 0


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (lambda data: b"x" + data[1:], "preamble"),
        (lambda data: data.replace(b"5f7dd9c5-6f0b", b"Hanako-Yamada"), "PatientID|PatientName"),
        (lambda data: data.replace(b"CX50_3.1", b"Yamada 1"), "SoftwareVersions"),
        (lambda data: data.replace(b"Liver", "田花".encode()[:5]), "."),
        (lambda data: data + b"\xe0\x7f\x11\x00UN\0\0\x08\0\0\0Yamada--", "bytes|may not leave|."),
    ],
    ids=["preamble", "identity", "text", "broken text", "behind the pixels"],
)
def test_what_is_put_in_later_is_found(released: Any, place: Callable[[bytes], bytes], reason: str) -> None:
    with pytest.raises(Refused, match=reason) as caught:
        check(place(released.file))
    assert "amada" not in caught.value.message and "Hanako" not in caught.value.message


def rewritten(released: Any, change: Callable[[Dataset], object]) -> bytes:
    """The released file with one attribute changed, and everything else as it was."""
    from core.deid.release import write_file

    change(released.header)
    out = BytesIO()
    write_file(released.header, BytesIO(released.stream), released.index, out)
    return out.getvalue()


def private(ds: Dataset) -> None:
    ds.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "x")


def nested(ds: Dataset) -> None:
    item = Dataset()
    item.PatientName = "x"
    ds.ReferencedSeriesSequence = Sequence([item])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (private, r"\(0009,0010\)"), (nested, "ReferencedSeriesSequence"),
        (lambda ds: setattr(ds, "StudyDescription", "x"), "StudyDescription"),
        (lambda ds: setattr(ds.SequenceOfUltrasoundRegions[0], "StudyDescription", "x"), "StudyDescription"),
        (lambda ds: setattr(ds, "PatientBirthDate", "19500102"), "PatientBirthDate"),
        (lambda ds: setattr(ds, "PatientAge", "093Y"), "PatientAge"),
        (lambda ds: setattr(ds, "BurnedInAnnotation", "YES"), "BurnedInAnnotation"),
        (lambda ds: setattr(ds, "PatientIdentityRemoved", "NO"), "PatientIdentityRemoved"),
        (lambda ds: setattr(ds, "StudyInstanceUID", "1.2.3"), "StudyInstanceUID"),
        (lambda ds: setattr(ds, "FrameOfReferenceUID", "1.2.3"), "FrameOfReferenceUID"),
        (lambda ds: setattr(ds, "PatientName", "Someone"), "PatientID"),
        (lambda ds: setattr(ds, "DeidentificationMethodCodeSequence", Sequence()), "DeidentificationMethodCodeSequence"),
        (lambda ds: setattr(ds.file_meta, "SourceApplicationEntityTitle", "SCANNER"), "file meta"),
        (lambda ds: setattr(ds, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"), "SOPClassUID"),
    ],
)  # fmt: skip
def test_the_structure_is_checked(released: Any, change: Callable[[Dataset], object], named: str) -> None:
    with pytest.raises(Held, match=named):
        check(rewritten(released, change))


def test_the_original_uids_must_be_gone(released: Any, ultrasound: Dataset) -> None:
    ultrasound.StudyInstanceUID = released.header.StudyInstanceUID
    with pytest.raises(Held, match="StudyInstanceUID"):
        check(released.file, original=ultrasound)


def test_a_frame_that_does_not_decode_stops_the_file(released: Any) -> None:
    def broken(_data: bytes, _fmt: object) -> None:
        raise Refused("A frame of the image cannot be decoded.")

    with pytest.raises(Refused, match="decoded"):
        check(released.file, decode=broken)


def test_frames_are_checked_in_the_sandbox(released: Any) -> None:
    from core.deid.frame_check import sandboxed_check

    class Inside:
        calls = 0

        def call(self, target: str, params: Any, blobs: Any = ()) -> tuple[dict[str, Any], list[bytes]]:
            assert target == "core.deid.frame_check:sandboxed_check"
            self.calls += 1
            return sandboxed_check(dict(params), list(blobs))

    inside = Inside()
    verify.frames_decode(BytesIO(released.file), open_part10(BytesIO(released.file), len(released.file)), inside)
    assert inside.calls == 1
