"""Attacks on the inside of a package: members, sizes, order, hashes and the ids that must agree with the header."""

import hashlib
import io
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Literal
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import Buffer

from core.errors import Refused
from core.package import archive, contract
from core.package.contract import CaseRecord, ImageRecord
from core.package.envelope import Header
from tests.factories.packages import make_address, make_image, make_packed, make_record

PACKED = make_packed()
Member = tuple[tarfile.TarInfo, bytes]


def keep(_image: ImageRecord, chunks: Iterator[bytes]) -> None:
    for _ in chunks:
        pass


def read(tar: bytes, header: Header | None = None) -> CaseRecord:
    return archive.read_archive(io.BytesIO(tar), header or roomy(PACKED.facts), keep)


def roomy(header: Header) -> Header:
    """The header with so much room that only the rule under test can refuse."""
    return header.model_copy(update={"ciphertext_size": 2**30})


def members() -> list[Member]:
    with tarfile.open(fileobj=io.BytesIO(PACKED.tar)) as tar:
        return [(info, file.read()) for info in tar if (file := tar.extractfile(info))]


def built(found: list[Member], form: Literal[0, 1, 2] = tarfile.USTAR_FORMAT) -> bytes:
    """A tar as this archive's writer ends it: two zero blocks, no padding to a record."""
    return b"".join(info.tobuf(form) + data + bytes(-len(data) % 512) for info, data in found) + bytes(1024)


def named(name: str, data: bytes = b"", **facts: object) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, data


def test_the_archive_comes_back_image_by_image() -> None:
    seen: dict[str, bytes] = {}

    def sink(image: ImageRecord, chunks: Iterator[bytes]) -> None:
        seen[image.sha256] = b"".join(chunks)

    assert archive.read_archive(io.BytesIO(PACKED.tar), PACKED.facts, sink) == PACKED.record
    assert seen == PACKED.files


def test_any_tar_and_bagit_tool_can_read_it() -> None:
    found = {info.name: data for info, data in members()}
    assert built(members()) == PACKED.tar
    assert list(found)[:4] == ["bagit.txt", "bag-info.txt", "manifest-sha256.txt", "data/record.json"]
    for name in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        for line in found[name].decode("ascii").splitlines():
            digest, file = line.split("  ")
            assert hashlib.sha256(found[file]).hexdigest() == digest
    assert all((info.mtime, info.uid, info.gid, info.mode, info.uname) == (0, 0, 0, 0o644, "") for info, _ in members())


def test_the_same_case_makes_the_same_bytes() -> None:
    out = io.BytesIO()
    archive.write_archive(out, PACKED.record, PACKED.address, PACKED.open_image)
    assert out.getvalue() == PACKED.tar


@given(st.integers(0, len(PACKED.tar) - 1), st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_any_changed_byte_is_refused(place: int, change: int) -> None:
    body = bytearray(PACKED.tar)
    body[place] ^= change
    with pytest.raises(Refused):
        read(bytes(body))


@given(st.integers(0, len(PACKED.tar) - 1))
@settings(max_examples=30, deadline=None)
def test_any_cut_is_refused(cut: int) -> None:
    with pytest.raises(Refused):
        read(PACKED.tar[:cut])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("site", "OSAKA01"),
        ("site_key_id", "c" * 32),
        ("recipient_key_id", "c" * 32),
        ("package_id", uuid4()),
        ("case_version", 2),
    ],
)
def test_an_inside_that_differs_from_the_header_is_refused(field: str, value: object) -> None:
    with pytest.raises(Refused, match="another site, key, recipient, package or version"):
        read(PACKED.tar, roomy(PACKED.facts).model_copy(update={field: value}))


@pytest.mark.parametrize(("field", "value"), [("site", "OSAKA01"), ("package_id", uuid4()), ("case_version", 2)])
def test_a_record_that_differs_from_header_and_bag_is_refused(field: str, value: object) -> None:
    """The bag agrees with the header; only the record inside is of another package."""
    strange = PACKED.record.model_copy(update={field: value})
    out = io.BytesIO()
    archive.write_archive(out, strange, PACKED.address.model_copy(update={field: value}), PACKED.open_image)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        swapped = [(info, file.read()) for info in tar if (file := tar.extractfile(info))]
    swapped[1] = members()[1]
    with pytest.raises(Refused, match=f"differ in {field}"):
        read(built(swapped))
    with pytest.raises(Refused, match=f"differ in {field}"):
        archive.write_archive(io.BytesIO(), strange, PACKED.address, PACKED.open_image)


Change = Callable[[list[Member]], list[Member]]
SNEAKED: list[tuple[str, Member]] = [
    ("dots", named("data/images/../../../etc/passwd", b"x")),
    ("absolute", named("/etc/passwd", b"x")),
    ("symlink", named("data/images/link.dcm", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    ("hardlink", named("data/images/link.dcm", type=tarfile.LNKTYPE, linkname="data/record.json")),
    ("character device", named("data/images/dev.dcm", type=tarfile.CHRTYPE)),
    ("block device", named("data/images/dev.dcm", type=tarfile.BLKTYPE)),
    ("fifo", named("data/images/pipe.dcm", type=tarfile.FIFOTYPE)),
    ("folder", named("data/images", type=tarfile.DIRTYPE)),
    ("old regular", named("data/images/x.dcm", b"x", type=tarfile.AREGTYPE)),
    ("contiguous", named("data/images/x.dcm", b"x", type=tarfile.CONTTYPE)),
    ("sparse", named("data/images/x.dcm", b"x", type=tarfile.GNUTYPE_SPARSE)),
    ("long name", named("././@LongLink", b"data/record.json\0", type=tarfile.GNUTYPE_LONGNAME)),
    ("pax", named("PaxHeaders/x", b"13 size=9999\n25 path=data/record.json\n", type=tarfile.XHDTYPE)),
    ("global pax", named("PaxHeaders/x", b"13 size=9999\n", type=tarfile.XGLTYPE)),
    ("extra", named("data/notes.txt", b"x")),
    ("upper case", named(f"data/images/{'A' * 64}.dcm", b"x")),
    ("unknown image", named(archive.image_name("a" * 64), b"x")),
]


@pytest.mark.parametrize("place", range(len(members()) + 1))
@pytest.mark.parametrize("sneaked", [member for _, member in SNEAKED], ids=[name for name, _ in SNEAKED])
def test_a_sneaked_member_is_refused_wherever_it_stands(sneaked: Member, place: int) -> None:
    found = members()
    found.insert(place, sneaked)
    with pytest.raises(Refused, match=r"regular file|due here|too many"):
        read(built(found))


@pytest.mark.parametrize("place", range(len(members())))
def test_a_missing_doubled_or_moved_member_is_refused(place: int) -> None:
    whole = members()
    with pytest.raises(Refused):
        read(built(whole[:place] + whole[place + 1 :]))
    with pytest.raises(Refused, match=r"due here|too many"):
        read(built([*whole[: place + 1], *whole[place:]]))
    turned = [*whole[:place], *whole[place + 1 :], whole[place]]
    if turned != whole:
        with pytest.raises(Refused, match="due here"):
            read(built(turned))


def test_pax_and_gnu_spellings_of_a_header_are_refused() -> None:
    with pytest.raises(Refused, match="one form"):
        read(built(members(), tarfile.GNU_FORMAT))
    info, data = members()[3]
    info.pax_headers = {"path": "data/record.json", "size": "1"}
    with pytest.raises(Refused, match="regular file"):
        read(built([*members()[:3], (info, data), *members()[4:]], tarfile.PAX_FORMAT))


@pytest.mark.parametrize("facts", [{"mode": 0o755}, {"uid": 1000}, {"mtime": 1_700_000_000}, {"uname": "yamada"}])
def test_a_header_with_an_owner_a_time_or_a_mode_is_refused(facts: dict[str, Any]) -> None:
    found = members()
    for key, value in facts.items():
        setattr(found[4][0], key, value)
    with pytest.raises(Refused, match="one form"):
        read(built(found))


def with_size(block: bytes, size: bytes) -> bytes:
    """A header block with another size field and a fitting checksum."""
    head = block[:124] + size + block[136:148] + b" " * 8 + block[156:]
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


@pytest.mark.parametrize(
    "size",
    [
        b"77777777777\0",
        b"\x80" + b"\0" * 3 + b"\xff" * 8,
        b"-0000000001\0",
        b"          1\0",
        b"0x000000001\0",
        b"00000000000\0",
    ],
)
@pytest.mark.parametrize("place", range(len(members())))
def test_a_claimed_size_is_refused_before_anything_is_held(place: int, size: bytes) -> None:
    whole = built(members())
    start = sum(512 + len(data) + -len(data) % 512 for _, data in members()[:place])
    block = with_size(whole[start : start + 512], size)
    tracemalloc.start()
    with pytest.raises(Refused):
        read(whole[:start] + block + whole[start + 512 :])
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_more_bytes_than_the_signed_header_allows_are_refused() -> None:
    tight = PACKED.facts.model_copy(update={"ciphertext_size": len(PACKED.tar) - 1})
    with pytest.raises(Refused, match="more bytes"):
        read(PACKED.tar, tight)


def test_bytes_after_the_end_or_between_members_are_refused() -> None:
    with pytest.raises(Refused, match="after its end"):
        read(PACKED.tar + bytes(512))
    with pytest.raises(Refused, match="too many"):
        read(PACKED.tar[:-1] + b"x")
    hidden = bytearray(PACKED.tar)
    hidden[512 + len(archive.BAGIT)] = 1
    with pytest.raises(Refused, match="hides bytes"):
        read(bytes(hidden))


def test_a_swapped_image_is_refused_in_the_sink_and_after_it() -> None:
    found = members()
    info, data = found[4]
    found[4] = (info, bytes(len(data)))
    stored: list[str] = []

    def store(image: ImageRecord, chunks: Iterator[bytes]) -> None:
        b"".join(chunks)
        stored.append(image.sha256)

    with pytest.raises(Refused, match="not the one"):
        archive.read_archive(io.BytesIO(built(found)), roomy(PACKED.facts), store)
    assert stored == []

    def lazy(_image: ImageRecord, _chunks: Iterator[bytes]) -> None:
        return None

    def deaf(_image: ImageRecord, chunks: Iterator[bytes]) -> None:
        with pytest.raises(Refused):
            list(chunks)

    for sink in (lazy, deaf):
        with pytest.raises(Refused, match="not the one"):
            archive.read_archive(io.BytesIO(built(found)), roomy(PACKED.facts), sink)


def test_a_manifest_that_lists_other_files_is_refused() -> None:
    found = members()
    info, data = found[2]
    for text in (data + data[-160:], data.replace(b"  ", b" *"), b"", data[::-1]):
        info.size = len(text)
        found[2] = (info, text)
        with pytest.raises(Refused, match="manifest"):
            read(built(found))


@pytest.mark.parametrize(
    "turn", [lambda file: file[:-1], lambda file: file + b"x", lambda file: bytes(len(file)), lambda file: b""]
)
def test_an_image_whose_bytes_are_not_the_records_is_not_packed(turn: Callable[[bytes], bytes]) -> None:
    def open_image(sha256: str) -> BinaryIO:
        return io.BytesIO(turn(PACKED.files[sha256]))

    with pytest.raises(Refused, match="not the one"):
        archive.write_archive(io.BytesIO(), PACKED.record, PACKED.address, open_image)


class Slow(io.BytesIO):
    """A pipe gives fewer bytes than asked."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 7) if size is not None and size > 0 else size)


def test_short_reads_change_nothing() -> None:
    assert archive.read_archive(Slow(PACKED.tar), PACKED.facts, keep) == PACKED.record


class Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1, /) -> bytes:
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


class Count(io.BytesIO):
    def write(self, data: Buffer, /) -> int:
        return memoryview(data).nbytes


def test_memory_stays_flat_while_writing_a_large_image() -> None:
    size = 2**26
    digest = hashlib.sha256()
    for _ in range(2**6):
        digest.update(bytes(2**20))
    record = make_record(images=(make_image(sha256=digest.hexdigest(), size=size),))
    opened: Callable[[str], Any] = lambda _sha256: Zeros(size)  # noqa: E731
    tracemalloc.start()
    archive.write_archive(Count(), record, make_address(record), opened)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_the_record_in_the_archive_is_the_canonical_one() -> None:
    assert members()[3][1] == contract.write(PACKED.record)
