"""The inside of a package: an uncompressed ustar tar in one fixed order and form, with BagIt files (RFC 8493).

Given header, record and images, every byte of the archive is determined; the reader rebuilds each tar header and
compares, so links, devices, sparse, pax and GNU members, other names, orders or sizes have no way to be said. The bag
stands at the top, without RFC 8493's base directory: it is read as a stream and never extracted by name."""

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from core.errors import Refused
from core.package import contract
from core.package.contract import CaseRecord, ImageRecord
from core.package.envelope import CHUNK, Address, Header

BLOCK: Final = 512
BAGIT: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
BAGIT_NAME: Final = "bagit.txt"
INFO_NAME: Final = "bag-info.txt"
MANIFEST_NAME: Final = "manifest-sha256.txt"
RECORD_NAME: Final = "data/record.json"
TAGMANIFEST_NAME: Final = "tagmanifest-sha256.txt"
MOST_TAG_BYTES: Final = 2**20
_SIZE: Final = re.compile(rb"[0-7]{11}\0")

OpenImage = Callable[[str], BinaryIO]
Sink = Callable[[ImageRecord, Iterator[bytes]], None]


def image_name(sha256: str) -> str:
    return f"data/images/{sha256}.dcm"


def bag_info(address: Address) -> bytes:
    """The bag's own statement of from whom to whom; machine fields only, no date."""
    return (
        f"Sonobank-Case-Version: {address.case_version}\n"
        f"Sonobank-Contract-Version: {address.contract_version}\n"
        f"Sonobank-Package: {address.package_id}\n"
        f"Sonobank-Recipient-Key: {address.recipient_key_id}\n"
        f"Sonobank-Site: {address.site}\n"
        f"Sonobank-Site-Key: {address.site_key_id}\n"
    ).encode("ascii")


def write_archive(out: BinaryIO, record: CaseRecord, address: Address, open_image: OpenImage) -> None:
    """Write the archive as a stream, memory flat. `open_image`: from an image's sha256 to its bytes.

    Raises Refused if the record is not for this address or an image's bytes are not those that the record names;
    what was written until then is worthless."""
    _same_ids(record, address)
    body = contract.write(record)
    images = _in_order(record)
    info, manifest = bag_info(address), _manifest(body, images)
    for name, data in ((BAGIT_NAME, BAGIT), (INFO_NAME, info), (MANIFEST_NAME, manifest), (RECORD_NAME, body)):
        _write_small(out, name, data)
    for image in images:
        _write(out, _tar_header(image_name(image.sha256), image.size))
        with open_image(image.sha256) as source:
            _copy(source, out, image)
        _write(out, bytes(-image.size % BLOCK))
    _write_small(out, TAGMANIFEST_NAME, _tagmanifest(info, manifest))
    _write(out, bytes(2 * BLOCK))


def read_archive(stream: BinaryIO, header: Header, sink: Sink) -> CaseRecord:
    """Read and check the whole archive of a checked header; each image goes to `sink` as chunks.

    The chunks raise Refused at their end when the bytes are not those that the record names, so a sink that stores only
    what ended well stores nothing false; what the sink leaves unread is read and checked all the same. Nothing is
    accepted before this returns. Raises Refused."""
    reader = _Reader(stream, header.ciphertext_size)
    reader.exactly(BAGIT_NAME, BAGIT, "The bag is of another version.")
    info = bag_info(header)
    reader.exactly(
        INFO_NAME, info, "The inside names another site, key, recipient, package or version than the header."
    )
    manifest = reader.small(MANIFEST_NAME, MOST_TAG_BYTES)
    body = reader.small(RECORD_NAME, contract.MOST_RECORD_BYTES)
    record = contract.parse(body)
    _same_ids(record, header)
    images = _in_order(record)
    if manifest != _manifest(body, images):
        raise Refused("The manifest does not list exactly the record and its images.")
    for image in images:
        reader.open(image_name(image.sha256), image.size, image.size)
        member = _Member(reader, image)
        sink(image, member)
        for _ in member:
            pass
    reader.exactly(TAGMANIFEST_NAME, _tagmanifest(info, manifest), "The tag manifest does not fit.")
    reader.end()
    return record


def _same_ids(record: CaseRecord, address: Address) -> None:
    for field in ("contract_version", "site", "package_id", "case_version"):
        if getattr(record, field) != getattr(address, field):
            raise Refused(f"The record and the header differ in {field}.")


def _in_order(record: CaseRecord) -> list[ImageRecord]:
    return sorted(record.images, key=lambda image: image.sha256)


def _manifest(body: bytes, images: list[ImageRecord]) -> bytes:
    lines = [f"{image.sha256}  {image_name(image.sha256)}\n" for image in images]
    return f"{hashlib.sha256(body).hexdigest()}  {RECORD_NAME}\n{''.join(lines)}".encode("ascii")


def _tagmanifest(info: bytes, manifest: bytes) -> bytes:
    files = ((BAGIT_NAME, BAGIT), (INFO_NAME, info), (MANIFEST_NAME, manifest))
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files).encode("ascii")


def _tar_header(name: str, size: int) -> bytes:
    """The one header block (POSIX.1-1988 ustar) that a regular file of this name and size may have here."""
    mode_and_owner = b"0000644\0" + 2 * b"0000000\0"
    size_and_time = b"%011o\0" % size + b"00000000000\0"
    head = name.encode("ascii").ljust(100, b"\0") + mode_and_owner + size_and_time
    tail = b"0" + bytes(100) + b"ustar\x0000" + bytes(247)
    return head + b"%06o\0 " % (sum(head) + 8 * 0x20 + sum(tail)) + tail


def _write(out: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[out.write(rest) :]


def _write_small(out: BinaryIO, name: str, data: bytes) -> None:
    _write(out, _tar_header(name, len(data)) + data + bytes(-len(data) % BLOCK))


def _copy(source: BinaryIO, out: BinaryIO, image: ImageRecord) -> None:
    digest, left = hashlib.sha256(), image.size
    while chunk := source.read(min(CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            break
        digest.update(chunk)
        _write(out, chunk)
    if left or digest.hexdigest() != image.sha256:
        raise Refused("An image is not the one that the record names.")


class _Reader:
    """Takes members off the stream in the order that is due, never more bytes than the signed header allows."""

    def __init__(self, stream: BinaryIO, most_bytes: int) -> None:
        self._stream = stream
        self._left = most_bytes

    def take(self, size: int) -> bytes:
        if size > self._left:
            raise Refused("The archive claims more bytes than its signed header allows.")
        self._left -= size
        parts: list[bytes] = []
        while size and (part := self._stream.read(size)):
            parts.append(part)
            size -= len(part)
        if size:
            raise Refused("The archive ends too early.")
        return b"".join(parts)

    def open(self, name: str, least: int, most: int) -> int:
        """Take the header block of the member that must come now; returns its size."""
        block = self.take(BLOCK)
        if not any(block):
            raise Refused("The archive lacks a member.")
        if block[156:157] != b"0":
            raise Refused("The archive holds something that is not a regular file.")
        if block[:100] != name.encode("ascii").ljust(100, b"\0"):
            raise Refused("The archive has a member that is not the one due here.")
        if not _SIZE.fullmatch(block[124:136]):
            raise Refused("A member's size is not written in its one form.")
        size = int(block[124:135], 8)
        if not least <= size <= most or size > self._left:
            raise Refused("A member has not the size that it should have.")
        if block != _tar_header(name, size):
            raise Refused("A member's header is not in its one form.")
        return size

    def pad(self, size: int) -> None:
        if any(self.take(-size % BLOCK)):
            raise Refused("The archive hides bytes between its members.")

    def small(self, name: str, most: int) -> bytes:
        data = self.take(self.open(name, 0, most))
        self.pad(len(data))
        return data

    def exactly(self, name: str, data: bytes, reason: str) -> None:
        if self.small(name, MOST_TAG_BYTES) != data:
            raise Refused(reason)

    def end(self) -> None:
        if any(self.take(2 * BLOCK)):
            raise Refused("The archive has a member too many.")
        if self._stream.read(1):
            raise Refused("The archive goes on after its end.")


class _Member(Iterator[bytes]):
    """One image's chunks. Not a generator: a sink could close that, and the check at the end would not run."""

    def __init__(self, reader: _Reader, image: ImageRecord) -> None:
        self._reader, self._image = reader, image
        self._left = image.size
        self._digest = hashlib.sha256()
        self._padded = False

    def __next__(self) -> bytes:
        if self._left:
            chunk = self._reader.take(min(CHUNK, self._left))
            self._left -= len(chunk)
            self._digest.update(chunk)
            return chunk
        if self._digest.hexdigest() != self._image.sha256:
            raise Refused("An image is not the one that the record names.")
        if not self._padded:
            self._padded = True
            self._reader.pad(self._image.size)
        raise StopIteration
