"""Sealed files read like plain ones, and any change to their bytes, order, length or name is noticed."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Conflict, Refused
from core.vault import files
from core.vault.files import CHUNK_BYTES, SealedReader, SealedWriter
from core.vault.keys import Key

KEYS = [Key("seal", 1, b"\x01" * 32), Key("seal", 2, b"\x02" * 32)]
HEADER, SEALED_CHUNK = 73, CHUNK_BYTES + 16
SIZES = st.one_of(
    st.integers(0, 3 * CHUNK_BYTES + 5),
    st.builds(lambda n, d: n * CHUNK_BYTES + d, st.integers(1, 3), st.integers(-1, 1)),
)
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NOISE = os.urandom(4 * CHUNK_BYTES)


def written(path: Path, content: bytes, file_id: str = "a", pieces: int = 1 << 30) -> Path:
    with SealedWriter(path, file_id, KEYS, replace=True) as writer:
        for start in range(0, len(content), pieces):
            writer.write(content[start : start + pieces])
    assert writer.size == len(content)
    return path


def opened(path: Path, file_id: str = "a") -> SealedReader:
    return SealedReader(path, file_id, KEYS)


@SLOW
@given(size=SIZES, pieces=st.integers(1000, 150_000))
def test_any_chunking_gives_the_same_content(tmp_path: Path, size: int, pieces: int) -> None:
    path = written(tmp_path / "f", NOISE[:size], pieces=pieces)
    with opened(path) as reader:
        assert reader.size == size
        assert reader.read() == NOISE[:size]
        assert reader.read(1) == b""
    assert NOISE[:32] not in path.read_bytes() or size < 32


@SLOW
@given(
    size=SIZES,
    moves=st.lists(st.tuples(st.integers(0, 2), st.integers(-70_000, 200_000), st.integers(-1, 140_000)), max_size=12),
)
def test_seeking_and_reading_equal_a_plain_file(tmp_path: Path, size: int, moves: list[tuple[int, int, int]]) -> None:
    plain = io.BytesIO(NOISE[:size])
    with opened(written(tmp_path / "f", NOISE[:size])) as reader:
        for whence, offset, length in moves:
            if (0, plain.tell(), size)[whence] + offset < 0:
                with pytest.raises(ValueError):
                    reader.seek(offset, whence)
                continue
            assert reader.seek(offset, whence) == plain.seek(offset, whence)
            assert reader.read(length) == plain.read(length)
            assert reader.tell() == plain.tell()


def test_every_changed_byte_of_a_small_file_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "f", b"identified pixels")
    sealed = path.read_bytes()
    assert len(sealed) == HEADER + 17 + 16
    for place in range(len(sealed)):
        for flip in (1, 0x80):
            path.write_bytes(sealed[:place] + bytes([sealed[place] ^ flip]) + sealed[place + 1 :])
            with pytest.raises(Refused, match=r"^A sealed file is damaged\.$"):
                opened(path).read()


@SLOW
@given(place=st.integers(0, HEADER + 3 * SEALED_CHUNK - 101), flip=st.integers(1, 255))
def test_every_changed_byte_of_a_large_file_is_noticed(tmp_path: Path, place: int, flip: int) -> None:
    path = written(tmp_path / "f", NOISE[: 3 * CHUNK_BYTES - 100])
    sealed = bytearray(path.read_bytes())
    sealed[place] ^= flip
    path.write_bytes(sealed)
    with pytest.raises(Refused), opened(path) as reader:
        reader.read()


@SLOW
@given(keep=st.integers(0, HEADER + 3 * SEALED_CHUNK - 1))
def test_every_truncation_is_noticed_at_opening(tmp_path: Path, keep: int) -> None:
    path = written(tmp_path / "f", NOISE[: 3 * CHUNK_BYTES])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(Refused):
        opened(path)


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_cut_between_chunks_is_noticed_at_opening(tmp_path: Path, chunks: int) -> None:
    path = written(tmp_path / "f", NOISE[: 3 * CHUNK_BYTES])
    path.write_bytes(path.read_bytes()[: HEADER + chunks * SEALED_CHUNK])
    with pytest.raises(Refused):
        opened(path)


def test_bytes_behind_the_end_are_noticed(tmp_path: Path) -> None:
    for size in (0, 100, CHUNK_BYTES):
        path = written(tmp_path / "f", NOISE[:size])
        for tail in (b"\0", b"\0" * 16, b"\0" * SEALED_CHUNK, path.read_bytes()[HEADER:]):
            sealed = path.read_bytes()
            path.write_bytes(sealed + tail)
            with pytest.raises(Refused):
                opened(path)
            path.write_bytes(sealed)


def chunks_of(path: Path) -> tuple[bytes, list[bytes]]:
    sealed = path.read_bytes()
    return sealed[:HEADER], [sealed[at : at + SEALED_CHUNK] for at in range(HEADER, len(sealed), SEALED_CHUNK)]


def test_chunks_in_another_order_are_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "f", NOISE)
    header, (first, second, third, last) = chunks_of(path)
    for order in (
        (second, first, third, last),
        (first, first, third, last),
        (first, third, last),
        (last, second, third, first),
    ):
        path.write_bytes(header + b"".join(order))
        with pytest.raises(Refused), opened(path) as reader:
            reader.read()


def test_parts_of_another_file_are_noticed(tmp_path: Path) -> None:
    one, other = written(tmp_path / "one", NOISE, "one"), written(tmp_path / "other", NOISE, "other")
    header, chunks = chunks_of(one)
    other_header, other_chunks = chunks_of(other)
    for mixed in (other_header + b"".join(chunks), header + other_chunks[0] + b"".join(chunks[1:])):
        one.write_bytes(mixed)
        with pytest.raises(Refused), opened(one, "one") as reader:
            reader.read()
    other.replace(one)
    with pytest.raises(Refused):
        opened(one, "one")


def test_a_read_opens_only_its_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "f", NOISE)
    sealed = bytearray(path.read_bytes())
    sealed[HEADER + 5] ^= 1
    path.write_bytes(sealed)
    starts: list[int] = []
    read_at = files._read_at
    monkeypatch.setattr(
        files, "_read_at", lambda file, start, length: starts.append(start) or read_at(file, start, length)
    )
    with opened(path) as reader:
        reader.seek(2 * CHUNK_BYTES + 10)
        for _ in range(3):
            assert reader.read(20) == NOISE[reader.tell() - 20 : reader.tell()]
        assert starts == [0, HEADER + 3 * SEALED_CHUNK, HEADER + 2 * SEALED_CHUNK]
        reader.seek(0)
        with pytest.raises(Refused):
            reader.read(1)


def test_a_reader_serves_whoever_takes_a_file(tmp_path: Path) -> None:
    with io.BufferedReader(opened(written(tmp_path / "f", NOISE))) as buffered:
        assert buffered.read(10) == NOISE[:10]
        buffered.seek(-10, os.SEEK_END)
        assert buffered.read() == NOISE[-10:]
    reader = opened(tmp_path / "f")
    buffer = bytearray(100)
    assert reader.readinto(buffer) == 100
    assert bytes(buffer) == NOISE[:100]
    assert reader.readable() and reader.seekable() and not reader.writable()
    reader.close()
    reader.close()
    with pytest.raises(ValueError):
        reader.read()


def test_old_keys_open_and_missing_ones_do_not(tmp_path: Path) -> None:
    with SealedWriter(tmp_path / "f", "a", KEYS[:1]) as writer:
        writer.write(b"x")
    assert opened(tmp_path / "f").read() == b"x"
    with pytest.raises(Refused):
        SealedReader(tmp_path / "f", "a", KEYS[1:])


def test_nothing_stands_under_the_name_before_the_end(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), SealedWriter(tmp_path / "f", "a", KEYS) as writer:
        writer.write(NOISE)
        assert not (tmp_path / "f").exists()
        assert [path.name.endswith(".part") for path in tmp_path.iterdir()] == [True]
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError):
        writer.write(b"x")
    writer.close()


def test_a_file_is_created_once(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with SealedWriter(path, "a", KEYS) as writer:
        writer.write(memoryview(b"first"))
    with pytest.raises(Conflict), SealedWriter(path, "a", KEYS) as writer:
        writer.write(b"second")
    assert opened(path).read() == b"first"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_nlink == 1
    assert path.stat().st_mode & 0o777 == 0o600
