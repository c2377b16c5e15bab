"""The walk over hostile files: bounded, without recursion, refusing with a reason."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dicom import guard, walk
from core.dicom.guard import DEFLATED, Layout, check
from core.errors import Refused

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    length = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr in {b"OB", b"OW", b"SQ", b"UN"}:
        return head + struct.pack("<HI", 0, length) + value
    return head + struct.pack("<H", length) + value


def file_of(body: bytes, syntax: str = EXPLICIT) -> bytes:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    return b"\0" * 128 + b"DICM" + element(0x00020010, b"UI", uid) + body


def run(data: bytes) -> Layout:
    return check(BytesIO(data), len(data))


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        run(data)
    return caught.value.message


def item(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value) if length is None else length) + value


END_ITEM = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
END_SEQUENCE = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
NAME = element(0x00100010, b"PN", b"Doe^Jane")


def nested(depth: int) -> bytes:
    opening = element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + item(b"", 0xFFFFFFFF)
    return opening * depth + (END_ITEM + END_SEQUENCE) * depth


def test_records_native_pixel_data() -> None:
    layout = run(file_of(NAME + element(0x7FE00010, b"OB", b"\1\2\3\4")))
    assert (layout.elements, layout.pixel_length, layout.trailing_bytes) == (1, 4, 0)
    assert layout.pixel_tag == 0x7FE00010


def test_records_fragments_and_offset_table() -> None:
    table = struct.pack("<II", 0, 12)
    pixels = element(0x7FE00010, b"OB", b"", 0xFFFFFFFF) + item(table) + item(b"abcd") + item(b"ef") + END_SEQUENCE
    data = file_of(NAME + pixels, "1.2.840.10008.1.2.4.50")
    layout = run(data + b"hidden")
    assert [data[start : start + length] for start, length in layout.fragments] == [b"abcd", b"ef"]
    assert layout.basic_offsets == (0, 12)
    assert layout.trailing_bytes == 6


@pytest.mark.parametrize("depth", [33, 200_000])
def test_nesting_is_bounded_without_recursion(depth: int) -> None:
    assert "nested deeper" in refusal(file_of(nested(depth)))


def test_thirty_two_levels_are_fine() -> None:
    assert run(file_of(nested(32) + NAME)).elements == 2


def test_a_million_elements_are_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    assert walk.MAX_ELEMENTS == 1_000_000
    monkeypatch.setattr(walk, "MAX_ELEMENTS", 1000)
    private = b"".join(struct.pack("<HHI", 0x0009, 0x1000, 0) for _ in range(1001))
    assert "million" in refusal(file_of(private, IMPLICIT))


def test_file_size_is_bounded_before_reading() -> None:
    with pytest.raises(Refused, match="4 GiB"):
        check(BytesIO(b""), guard.MAX_FILE + 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (element(0x00100010, b"PN", b"Doe", 400), "ends in the middle"),
        (element(0x00081140, b"SQ", item(b"", 5000)), "longer than what holds it"),
        (element(0x00081140, b"SQ", item(element(0x00100010, b"PN", b"Doe", 400))), "longer than what holds it"),
        (element(0x00081140, b"SQ", b"nonsense"), "sequences of the file are broken"),
        (element(0x00100010, b"ZZ", b"Doe"), "unknown value representation"),
        (element(0x00100010, b"OB", b"Doe", 0xFFFFFFFF), "has no length"),
        (END_ITEM + NAME, "sequences of the file are broken"),
        (element(0x7FE00010, b"OB", b"", 0xFFFFFFFF), "not written in the transfer syntax"),
    ],
)
def test_lengths_stay_inside_their_parent(body: bytes, reason: str) -> None:
    assert reason in refusal(file_of(body))


def test_private_sequences_are_walked() -> None:
    bomb = struct.pack("<HHI", 0x0009, 0x1001, 24) + item(struct.pack("<HHI", 0x0009, 0x1002, 5000) + b"12345678")
    assert "longer than what holds it" in refusal(file_of(bomb, IMPLICIT))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "DICM mark"),
        (b"x" * 500, "DICM mark"),
        (b"\0" * 128 + b"DICM", "does not name its transfer syntax"),
        (file_of(NAME, "1.2.3.4"), "not known"),
        (file_of(NAME, "1.2.840.10008.1.2.4.94"), "not known"),
    ],
)
def test_refuses_what_is_not_part_10(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


def test_inflates_in_pieces() -> None:
    body = NAME + element(0x7FE00010, b"OB", bytes(100_000))
    engine = zlib.compressobj(wbits=-15)
    packed = engine.compress(body) + engine.flush()
    layout = run(file_of(packed, DEFLATED) + b"\0")
    assert (layout.pixel_length, layout.trailing_bytes) == (100_000, 0)
    assert refusal(file_of(packed[:-20], DEFLATED))
    assert "broken" in refusal(file_of(b"\xff" * 50, DEFLATED))


def test_an_inflating_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_INFLATED", 1 << 20)
    engine = zlib.compressobj(wbits=-15)
    packed = engine.compress(bytes(4 << 20)) + engine.flush()
    assert "beyond 1 GiB" in refusal(file_of(packed, DEFLATED))


def test_inflated_source_reads_anywhere() -> None:
    body = np.random.default_rng(1).integers(0, 50, 300_000, np.uint8).tobytes()
    engine = zlib.compressobj(wbits=-15)
    source = walk.Inflated(BytesIO(b"head" + engine.compress(body) + engine.flush()), 4)
    whole = b"head" + body
    for offset, count in [(200_000, 70_000), (0, 4), (10, 100), (299_000, 1004), (5, 5)]:
        source.seek(offset)
        assert source.read(count) == whole[offset : offset + count]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_ends_in_a_refusal_or_a_layout(data: st.DataObject) -> None:
    body = NAME + element(0x00081140, b"SQ", item(NAME) + item(NAME + nested(2), 0xFFFFFFFF) + END_ITEM)
    whole = bytearray(file_of(body + element(0x7FE00010, b"OB", bytes(64))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(128, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        layout = run(cut)
    except Refused:
        return
    assert layout.pixel_offset + layout.pixel_length <= len(cut)
    assert all(start + length <= len(cut) for start, length in layout.fragments)


def test_reads_little_of_a_large_file(make_image: Callable[..., Any], written: Callable[..., bytes]) -> None:
    data = written(make_image(np.zeros((2000, 2000), np.uint8)))

    class Counting(BytesIO):
        got = 0

        def read(self, size: int | None = -1, /) -> bytes:
            piece = super().read(size)
            self.got += len(piece)
            return piece

    fp = Counting(data)
    check(fp, len(data))
    assert fp.got < 100_000
