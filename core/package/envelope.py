"""The outside of a package: a signed header bound to its ciphertext, and the ciphertext (age, X25519, to central)."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, BinaryIO, Final, Literal, TypeVar

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, TypeAdapter
from pyrage import x25519

from core.errors import AppError, BadConfiguration, Refused
from core.package import signing
from core.package.canonical import CaseVersion, KeyId, OutwardId, Sha256, SiteCode, Strict, canonical, read_canonical

FORMAT: Final = "sonobank-package-v1"
MOST_HEADER_BYTES: Final = 64 * 2**10
MOST_CIPHERTEXT_BYTES: Final = 64 * 2**30
MOST_AGE_HEADER_BYTES: Final = 16 * 2**10
CHUNK: Final = 2**18
T = TypeVar("T")


class Address(Strict):
    """From whom to whom: what the header says outside and the bag repeats inside."""

    contract_version: Literal[1]
    site: SiteCode
    site_key_id: KeyId
    recipient_key_id: KeyId
    package_id: OutwardId
    case_version: CaseVersion


class Header(Address):
    format: Literal["sonobank-package-v1"]
    ciphertext_size: Annotated[int, Field(ge=1, le=MOST_CIPHERTEXT_BYTES)]
    ciphertext_sha256: Sha256


_HEADER: Final = TypeAdapter(Header)


def make_header(address: Address, ciphertext_size: int, ciphertext_sha256: str) -> bytes:
    """The exact bytes of header.json, which are what is signed. Raises ValidationError on impossible facts."""
    facts = address.model_dump(include=set(Address.model_fields))
    return canonical(
        Header(**facts, format=FORMAT, ciphertext_size=ciphertext_size, ciphertext_sha256=ciphertext_sha256)
    )


def sign_header(header: bytes, key: Ed25519PrivateKey) -> str:
    """The site's signature. Raises Refused if the header names another key: it could never be verified."""
    if read_header(header).site_key_id != signing.key_id(key.public_key()):
        raise Refused("The header names another signing key.")
    return signing.sign(signing.Domain.PACKAGE, header, key)


def read_header(header: bytes) -> Header:
    """The header's facts WITHOUT its signature: never act on them. Raises Refused."""
    return read_canonical(header, _HEADER, MOST_HEADER_BYTES, "package header")


def check_header(header: bytes, signature: str, site_keys: Mapping[tuple[str, str], Ed25519PublicKey]) -> Header:
    """The header, once a key registered for its site has signed it. `site_keys`: by (site, key id). Raises Refused."""
    facts = read_header(header)
    key = site_keys.get((facts.site, facts.site_key_id))
    if key is None or signing.key_id(key) != facts.site_key_id:
        raise Refused("No such site with such a signing key is registered here.")
    signing.verify(signing.Domain.PACKAGE, header, signature, key)
    return facts


def recipient_key_id(recipient: x25519.Recipient) -> str:
    """The key id of an age recipient (`age1…`)."""
    return signing.short_hash(str(recipient).encode("ascii"))


def read_recipient(text: str) -> x25519.Recipient:
    """An age recipient from settings. Raises BadConfiguration."""
    try:
        return x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise BadConfiguration("An age recipient must look like age1….") from None


def read_identity(text: str) -> x25519.Identity:
    """An age identity from a key file. Raises BadConfiguration, which never quotes it."""
    try:
        return x25519.Identity.from_str(text)
    except pyrage.IdentityError:
        raise BadConfiguration("An age identity must look like AGE-SECRET-KEY-….") from None


def encrypt(plain: BinaryIO, out: BinaryIO, recipient: x25519.Recipient) -> tuple[int, str]:
    """Encrypt as a stream, memory flat. Returns size and SHA-256 of the ciphertext. Raises what the streams raise."""
    source, sink = _Tap(plain), _Tap(out)
    _run(lambda: pyrage.encrypt_io(source, sink, [recipient]), source, sink, "The package could not be encrypted.")
    return sink.size, sink.digest.hexdigest()


def decrypt(ciphertext: BinaryIO, out: BinaryIO, identity: x25519.Identity) -> tuple[int, str]:
    """Decrypt as a stream. Returns size and SHA-256 of the CIPHERTEXT as it was read.

    Chunks are written before the end is proven: use nothing of `out` unless this returns. Raises Refused."""
    source, sink = _AgeTap(ciphertext), _Tap(out)
    _run(
        lambda: pyrage.decrypt_io(source, sink, [identity]),
        source,
        sink,
        "The ciphertext is damaged or for another key.",
    )
    return source.size, source.digest.hexdigest()


def decrypt_package(ciphertext: BinaryIO, out: BinaryIO, header: Header, identity: x25519.Identity) -> None:
    """Decrypt exactly the bytes that a checked header names, if they are for us. As `decrypt`. Raises Refused."""
    if header.recipient_key_id != recipient_key_id(identity.to_public()):
        raise Refused("The package is for another recipient.")
    _same(decrypt(ciphertext, out, identity), header)


def check_ciphertext(ciphertext: BinaryIO, header: Header) -> None:
    """Raises Refused unless the stream has the size and hash that the header names. Reads one byte more at the most."""
    tap = _Tap(ciphertext)
    while tap.size <= header.ciphertext_size:
        if not tap.read(min(CHUNK, header.ciphertext_size + 1 - tap.size)):
            break
    _same((tap.size, tap.digest.hexdigest()), header)


def _same(found: tuple[int, str], header: Header) -> None:
    if found[0] != header.ciphertext_size:
        raise Refused("The ciphertext has another size than the header says.")
    if found[1] != header.ciphertext_sha256:
        raise Refused("The ciphertext is not the one that the header names.")


class _Tap:
    """A stream that counts, hashes and keeps its own failure: pyrage reports a full disk as if the data were bad."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = 0
        self.digest = hashlib.sha256()
        self.failure: OSError | AppError | None = None

    def read(self, size: int = -1, /) -> bytes:
        data = self._try(lambda: self._stream.read(size))
        self._count(data)
        return data

    def write(self, data: bytes, /) -> int:
        self._try(lambda: _write_all(self._stream, data))
        self._count(data)
        return len(data)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)

    def _try(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except (OSError, AppError) as error:
            self.failure = error
            raise


class _AgeTap(_Tap):
    """Refuses an age header that does not end soon: age would keep all of it in memory."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._head: bytes | None = b""

    def _count(self, data: bytes) -> None:
        super()._count(data)
        if self._head is None:
            return
        self._head += data
        if b"\n--- " in self._head[:MOST_AGE_HEADER_BYTES]:
            self._head = None
        elif len(self._head) > MOST_AGE_HEADER_BYTES:
            self.failure = Refused("The ciphertext has no end of its age header.")
            raise self.failure


def _write_all(stream: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


def _run(step: Callable[[], None], source: _Tap, sink: _Tap, reason: str) -> None:
    broke = False
    try:
        step()
    except (pyrage.EncryptError, pyrage.DecryptError, OSError, AppError):
        broke = True
    # Asked in any case: pyrage returns as if all were well when only its last buffered write failed.
    if failure := source.failure or sink.failure:
        raise failure
    if broke:
        raise Refused(reason)
