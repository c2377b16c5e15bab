"""Sealed columns open in their own place only, and a blind index tells equal from unequal and nothing else."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refused
from core.vault.keys import Key
from core.vault.seal import BlindIndex, ColumnSealer

OLD, NEW = Key("seal", 1, b"\x01" * 32), Key("seal", 2, b"\x02" * 32)
ROW = UUID(int=7)
SEALER = ColumnSealer([OLD, NEW])


@given(st.binary(max_size=300))
def test_what_is_sealed_opens(plain: bytes) -> None:
    sealed = SEALER.seal("patient", "sealed_chart", ROW, plain)
    assert SEALER.open("patient", "sealed_chart", ROW, sealed) == plain
    assert SEALER.seal("patient", "sealed_chart", ROW, plain) != sealed
    assert sealed[1:9] == NEW.id == SEALER.newest_id


@given(st.binary(max_size=40), st.data())
def test_any_changed_bit_and_any_cut_is_noticed(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal("patient", "sealed_chart", ROW, plain))
    cut = data.draw(st.integers(0, len(sealed) - 1))
    with pytest.raises(Refused, match="damaged"):
        SEALER.open("patient", "sealed_chart", ROW, bytes(sealed[:cut]))
    sealed[cut] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Refused, match="damaged"):
        SEALER.open("patient", "sealed_chart", ROW, bytes(sealed))


@pytest.mark.parametrize(
    "place", [("case", "sealed_chart", ROW), ("patient", "sealed_uid", ROW), ("patient", "sealed_chart", uuid4())]
)
def test_a_value_opens_in_its_own_place_only(place: tuple[str, str, UUID]) -> None:
    sealed = SEALER.seal("patient", "sealed_chart", ROW, b"12345")
    with pytest.raises(Refused):
        SEALER.open(*place, sealed)


def test_old_keys_open_and_missing_ones_do_not() -> None:
    sealed = ColumnSealer([OLD]).seal("t", "c", ROW, b"x")
    assert SEALER.open("t", "c", ROW, sealed) == b"x"
    with pytest.raises(Refused):
        ColumnSealer([NEW]).open("t", "c", ROW, sealed)


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_an_index_is_equal_for_equal_parts_only(one: list[str], other: list[str]) -> None:
    index = BlindIndex(Key("index", 1, b"\x03" * 32))
    assert (index.of("chart", *one) == index.of("chart", *other)) == (one == other)
    assert index.of("chart", *one) != index.of("accession", *one)
    assert index.of("chart", *one) != BlindIndex(Key("index", 1, b"\x04" * 32)).of("chart", *one)
