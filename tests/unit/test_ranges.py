"""One byte range of a request, as RFC 9110 section 14 reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ranges import RangeNotSatisfiable, asked_range

WHOLE = (0, 100, 200)


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (None, WHOLE),
        ("", WHOLE),
        ("bytes=0-", (0, 100, 206)),
        ("bytes=0-0", (0, 1, 206)),
        ("bytes=10-19", (10, 10, 206)),
        (" bytes=10-19 ", (10, 10, 206)),
        ("bytes=99-", (99, 1, 206)),
        ("bytes=99-5000", (99, 1, 206)),
        ("bytes=-1", (99, 1, 206)),
        ("bytes=-5000", (0, 100, 206)),
        ("bytes=-", WHOLE),
        ("bytes=1-2,5-6", WHOLE),
        ("bytes 1-2", WHOLE),
        ("items=1-2", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=１-２", WHOLE),
        ("bytes=1-" + "9" * 19, WHOLE),
    ],
)
def test_ranges(header: str | None, answer: tuple[int, int, int]) -> None:
    assert asked_range(header, 100) == answer


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=20-10"])
def test_a_range_outside_or_backwards_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        asked_range(header, 100)


def test_nothing_of_an_empty_file_is_satisfiable() -> None:
    assert asked_range(None, 0) == (0, 0, 200)
    for header in ("bytes=0-", "bytes=-1", "bytes=0-0"):
        with pytest.raises(RangeNotSatisfiable):
            asked_range(header, 0)


@given(st.text(max_size=30) | st.from_regex(r"bytes=\d{0,4}-\d{0,4}", fullmatch=True), st.integers(0, 2000))
def test_an_answer_always_lies_in_the_file(header: str, size: int) -> None:
    try:
        start, length, status = asked_range(header, size)
    except RangeNotSatisfiable:
        return
    assert 0 <= start <= start + length <= size
    assert status in {200, 206}
    assert (status == 206) <= (length > 0)
    if status == 200:
        assert (start, length) == (0, size)
