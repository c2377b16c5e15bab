"""Any cutting of the stream gives the same parts; a cut body is an error."""

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dicom.multipart import content_type, media_type, new_boundary, parts, write_parts
from core.errors import Malformed

BOUNDARY = "b"
RELATED = content_type(BOUNDARY, "application/dicom")
BODIES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from([b"\r\n", b"--", b"-", b"b", b"\r", b"\n", b" ", b"x"]), max_size=20)
        .map(b"".join)
        .filter(lambda body: not re.search(rb"\r\n--b(--|[ \t]*\r)", b"\r\n" + body + b"\r")),
    ),
    max_size=4,
)  # fmt: skip


def cut(data: bytes, at: list[int]) -> Iterator[bytes]:
    places = sorted({min(place, len(data)) for place in at} | {0, len(data)})
    yield b""
    for start, end in pairwise(places):
        yield data[start:end]


def read(pieces: Iterator[bytes] | list[bytes], kind: str = RELATED) -> list[tuple[dict[str, str], bytes]]:
    return [(dict(part.headers), b"".join(part.body)) for part in parts(pieces, kind)]


@settings(max_examples=400, deadline=None)
@given(BODIES, st.lists(st.integers(0, 400), max_size=40), st.sampled_from([b"", b"preamble\r\n", b"\r\n"]))
def test_any_cutting_gives_the_same_parts(bodies: list[bytes], at: list[int], preamble: bytes) -> None:
    written = b"".join(write_parts((({"Content-Type": "application/dicom"}, [body]) for body in bodies), BOUNDARY))
    whole = read([preamble + written + b"epilogue --b"])
    assert [body for _, body in whole] == bodies
    assert read(cut(preamble + written, at)) == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3), st.data())
def test_a_cut_body_is_malformed(bodies: list[bytes], data: st.DataObject) -> None:
    boundary = new_boundary()
    written = b"".join(write_parts((({"A": "b"}, [body]) for body in bodies), boundary))
    end = data.draw(st.integers(0, len(written) - 5))
    with pytest.raises(Malformed, match="closing boundary"):
        read([written[:end]], content_type(boundary, "application/dicom"))


def test_a_body_that_is_not_taken_is_passed_over() -> None:
    written = b"".join(write_parts([({}, [b"one"]), ({}, [b"two", b"!"])], BOUNDARY))
    kept = [b"".join(part.body) for index, part in enumerate(parts([written], RELATED)) if index]
    assert kept == [b"two!"]


def test_memory_does_not_grow_with_the_body() -> None:
    def stream() -> Iterator[bytes]:
        yield b"--b\r\n\r\n"
        for _ in range(64):
            yield bytes(1 << 16)
        yield b"\r\n--b--"

    (part,) = parts(stream(), RELATED)
    sizes = []
    for part in parts(stream(), RELATED):
        sizes = [len(piece) for piece in part.body]
    assert sum(sizes) == 64 << 16
    assert max(sizes) <= (1 << 16) + 8


def test_parts_without_headers_or_body() -> None:
    assert read([b"--b\r\n\r\nbody\r\n--b \t\r\nA: b\r\n\r\n--b--"]) == [({}, b"body"), ({"a": "b"}, b"")]
    assert read([b"--b--"]) == []


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/related; boundary=abc", "abc"),
        ('Multipart/Related; type="application/dicom"; boundary="a b:c=d?(e)"', "a b:c=d?(e)"),
        ('multipart/related;boundary="a\\"b"', None),
        ("multipart/related; type=application/dicom; boundary=a:b", "a:b"),
        ("multipart/related", None),
        (f"multipart/related; boundary={'x' * 71}", None),
        ("multipart/form-data; boundary=abc", None),
        ("nonsense", None),
        ('multipart/related; boundary="abc', None),
    ],
)
def test_boundaries(kind: str, boundary: str | None) -> None:
    if boundary is None:
        with pytest.raises(Malformed):
            list(parts([], kind))
        return
    body = f"--{boundary}\r\n\r\nx\r\n--{boundary}--".encode()
    assert read([body], kind) == [({}, b"x")]


def test_headers_are_capped_and_folded() -> None:
    folded = read([b'--b\r\nContent-Type: multipart/x;\r\n type="y"\r\nX: 1\r\n\r\nx\r\n--b--'])
    assert folded[0][0] == {"content-type": 'multipart/x; type="y"', "x": "1"}
    for headers in (b"A: " + b"x" * 20_000, b"no colon", b"A:1\r\n" * 100, b"bad name: 1"):
        with pytest.raises(Malformed, match="headers of a part"):
            read([b"--b\r\n" + headers + b"\r\n\r\nx\r\n--b--"])


def test_writing() -> None:
    assert new_boundary() != new_boundary()
    assert media_type(content_type("x", "image/jpeg")) == ("multipart/related", {"type": "image/jpeg", "boundary": "x"})
    with pytest.raises(ValueError, match="line break"):
        list(write_parts([({"A": "b\r\nC: d"}, [])], "x"))
