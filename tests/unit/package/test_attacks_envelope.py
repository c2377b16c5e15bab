"""Attacks on the outside of a package: header, signature, ciphertext and whom they are for."""

import errno
import hashlib
import io
import json
from collections.abc import Callable
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import x25519
from typing_extensions import Buffer

from core.errors import BadConfiguration, Refused
from core.package import envelope, signing
from core.package.signing import Domain
from tests.factories.packages import Packed, make_packed

PACKED = make_packed()


def rewritten(packed: Packed, **changes: object) -> bytes:
    plain = json.loads(packed.header) | changes
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode("ascii")


def opened(packed: Packed, ciphertext: bytes, header: bytes | None = None) -> bytes:
    out = io.BytesIO()
    facts = envelope.read_header(header or packed.header)
    envelope.decrypt_package(io.BytesIO(ciphertext), out, facts, packed.identity)
    return out.getvalue()


def test_a_package_opens_for_the_one_it_is_for() -> None:
    header = envelope.check_header(PACKED.header, PACKED.signature, PACKED.site_keys)
    envelope.check_ciphertext(io.BytesIO(PACKED.ciphertext), header)
    assert opened(PACKED, PACKED.ciphertext) == PACKED.tar
    assert header.format == envelope.FORMAT


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_of_the_header_is_refused(data: st.DataObject) -> None:
    body = bytearray(PACKED.header)
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Refused):
        envelope.check_header(bytes(body), PACKED.signature, PACKED.site_keys)


@given(st.integers(0, len(PACKED.ciphertext) - 1), st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_a_flipped_bit_of_the_ciphertext_is_refused_twice(place: int, bit: int) -> None:
    body = bytearray(PACKED.ciphertext)
    body[place] ^= 1 << bit
    with pytest.raises(Refused, match="ciphertext"):
        envelope.check_ciphertext(io.BytesIO(bytes(body)), PACKED.facts)
    with pytest.raises(Refused, match="ciphertext"):
        opened(PACKED, bytes(body))


@pytest.mark.parametrize("cut", [0, 1, 20, 200, -1])
def test_a_truncated_ciphertext_is_refused(cut: int) -> None:
    with pytest.raises(Refused):
        envelope.check_ciphertext(io.BytesIO(PACKED.ciphertext[:cut]), PACKED.facts)
    with pytest.raises(Refused):
        opened(PACKED, PACKED.ciphertext[:cut])


def test_an_extended_ciphertext_is_refused_after_one_byte_too_many() -> None:
    endless = io.BytesIO(PACKED.ciphertext + bytes(2**22))
    with pytest.raises(Refused, match="another size"):
        envelope.check_ciphertext(endless, PACKED.facts)
    assert endless.tell() == len(PACKED.ciphertext) + 1
    with pytest.raises(Refused):
        opened(PACKED, PACKED.ciphertext + b"x")


def test_a_header_signed_again_by_another_site_is_refused() -> None:
    other = make_packed(site="OSAKA01")
    keys = PACKED.site_keys | other.site_keys
    forged = signing.sign(Domain.PACKAGE, PACKED.header, other.site_key)
    with pytest.raises(Refused, match="does not fit"):
        envelope.check_header(PACKED.header, forged, keys)
    named = rewritten(PACKED, site_key_id=other.address.site_key_id)
    with pytest.raises(Refused, match="No such site"):
        envelope.check_header(named, signing.sign(Domain.PACKAGE, named, other.site_key), keys)


def test_a_key_registered_under_a_wrong_id_is_refused() -> None:
    stranger = Ed25519PrivateKey.generate()
    keys = {(PACKED.address.site, PACKED.address.site_key_id): stranger.public_key()}
    with pytest.raises(Refused, match="No such site"):
        envelope.check_header(PACKED.header, signing.sign(Domain.PACKAGE, PACKED.header, stranger), keys)


def test_the_ciphertext_of_one_site_under_the_header_of_another_is_refused() -> None:
    other = make_packed(site="OSAKA01", identity=PACKED.identity)
    with pytest.raises(Refused, match="ciphertext"):
        envelope.check_ciphertext(io.BytesIO(PACKED.ciphertext), other.facts)
    with pytest.raises(Refused, match="ciphertext"):
        opened(other, PACKED.ciphertext)


@pytest.mark.parametrize("domain", [domain for domain in Domain if domain is not Domain.PACKAGE])
def test_a_signature_of_another_domain_is_refused(domain: Domain) -> None:
    moved = signing.sign(domain, PACKED.header, PACKED.site_key)
    with pytest.raises(Refused, match="does not fit"):
        envelope.check_header(PACKED.header, moved, PACKED.site_keys)


def test_a_swapped_recipient_is_refused() -> None:
    stranger = x25519.Identity.generate()
    header = rewritten(PACKED, recipient_key_id=envelope.recipient_key_id(stranger.to_public()))
    with pytest.raises(Refused, match="does not fit"):
        envelope.check_header(header, PACKED.signature, PACKED.site_keys)
    with pytest.raises(Refused, match="another recipient"):
        opened(PACKED, PACKED.ciphertext, header)
    with pytest.raises(Refused, match="another key"):
        envelope.decrypt(io.BytesIO(PACKED.ciphertext), io.BytesIO(), stranger)


def test_a_ciphertext_locked_by_a_passphrase_is_refused() -> None:
    stanza = b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 18\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
    locked = b"age-encryption.org/v1\n" + stanza + b"--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" + bytes(64)
    with pytest.raises(Refused, match="another key"):
        envelope.decrypt(io.BytesIO(locked), io.BytesIO(), PACKED.identity)


def test_an_age_header_without_an_end_is_refused_early() -> None:
    body = io.BytesIO(b"age-encryption.org/v1\n" + b"-> X25519 AAAA\nAAAA\n" * 500_000)
    with pytest.raises(Refused, match="no end"):
        envelope.decrypt(body, io.BytesIO(), PACKED.identity)
    assert body.tell() < 2**20


@pytest.mark.parametrize(
    "turn",
    [
        lambda text: text.replace('"site":', '"site":"OSAKA01","site":'),
        lambda text: text.replace('"case_version":1', '"case_version":1.0'),
        lambda text: text.replace('"case_version":1', '"case_version":1e0'),
        lambda text: text.replace('"case_version":1', '"case_version":NaN'),
        lambda text: text.replace('"case_version":1', '"case_version":' + "9" * 5000),
        lambda text: text.replace('"case_version":1', '"case_version":"1"'),
        lambda text: text.replace('"case_version":1', '"case_version":true'),
        lambda text: text.replace("KYOTO01", "KYOTO01 "),
        lambda text: text.replace("KYOTO01", "kyoto01"),
        lambda text: text.replace("KYOTO01", "\\u004bYOTO01"),
        lambda text: text.replace("KYOTO01", "\\uff2bYOTO01"),
        lambda text: text.replace("KYOTO01", "KYOTO01\\u0000"),
        lambda text: text.replace("KYOTO01", "../KYOTO"),
        lambda text: text.replace("{", '{"comment":"x",', 1),
        lambda text: text.replace("sonobank-package-v1", "sonobank-package-v2"),
        lambda text: text + " ",
        lambda text: text + text,
        lambda text: "[" * 60_000,
        lambda text: text[:-1],
        lambda text: "",
    ],
)
def test_another_form_of_the_header_is_refused_even_when_signed(turn: Callable[[str], str]) -> None:
    header = turn(PACKED.header.decode("ascii")).encode()
    assert header != PACKED.header
    with pytest.raises(Refused) as refusal:
        envelope.check_header(header, signing.sign(Domain.PACKAGE, header, PACKED.site_key), PACKED.site_keys)
    assert "KYOTO" not in refusal.value.message and "OSAKA" not in refusal.value.message


def test_a_header_that_is_too_long_is_refused() -> None:
    with pytest.raises(Refused, match="larger"):
        envelope.check_header(PACKED.header.ljust(envelope.MOST_HEADER_BYTES + 1), PACKED.signature, PACKED.site_keys)


def test_a_header_is_not_signed_with_a_key_that_it_does_not_name() -> None:
    with pytest.raises(Refused, match="another signing key"):
        envelope.sign_header(PACKED.header, Ed25519PrivateKey.generate())


class FullDisk(io.BytesIO):
    def write(self, data: Buffer, /) -> int:
        raise OSError(errno.ENOSPC, "full")


class BrokenDisk(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, "broken")


def test_a_full_or_broken_disk_is_not_mistaken_for_a_bad_package() -> None:
    recipient = PACKED.identity.to_public()
    for source, sink, code in (
        (io.BytesIO(PACKED.ciphertext), FullDisk(), errno.ENOSPC),
        (BrokenDisk(), io.BytesIO(), errno.EIO),
    ):
        with pytest.raises(OSError, match=r"full|broken") as failure:
            envelope.decrypt(source, sink, PACKED.identity)
        assert failure.value.errno == code
    for size in (0, 1, 70_000):
        with pytest.raises(OSError, match="full"):
            envelope.encrypt(io.BytesIO(bytes(size)), FullDisk(), recipient)
    with pytest.raises(OSError, match="broken"):
        envelope.encrypt(BrokenDisk(), io.BytesIO(), recipient)


class LastWriteFails(io.BytesIO):
    """Fills up just before the end, so that only the last buffered write fails."""

    room = 0

    def write(self, data: Buffer, /) -> int:
        if self.tell() + memoryview(data).nbytes > self.room:
            raise OSError(errno.ENOSPC, "full")
        return super().write(data)


@pytest.mark.parametrize("short_of", [1, 10, 500])
def test_a_disk_that_fills_at_the_last_bytes_is_noticed(short_of: int) -> None:
    recipient = PACKED.identity.to_public()
    for size in (1_000, 70_000, 200_000):
        whole = io.BytesIO()
        envelope.encrypt(io.BytesIO(bytes(size)), whole, recipient)
        sink = LastWriteFails()
        # age may add up to some 300 bytes of grease to a header.
        sink.room = len(whole.getvalue()) - 700 - short_of
        with pytest.raises(OSError, match="full"):
            envelope.encrypt(io.BytesIO(bytes(size)), sink, recipient)
        sink = LastWriteFails()
        sink.room = size - short_of
        with pytest.raises(OSError, match="full"):
            envelope.decrypt(io.BytesIO(whole.getvalue()), sink, PACKED.identity)


def test_encryption_reports_the_bytes_that_it_wrote() -> None:
    out = io.BytesIO()
    size, sha256 = envelope.encrypt(io.BytesIO(b"x" * 300_000), out, PACKED.identity.to_public())
    assert (size, sha256) == (len(out.getvalue()), hashlib.sha256(out.getvalue()).hexdigest())


def test_keys_from_settings_are_read_or_refused_without_a_quote() -> None:
    text = str(PACKED.identity.to_public())
    assert str(envelope.read_recipient(text)) == text
    assert str(envelope.read_identity(str(PACKED.identity))) == str(PACKED.identity)
    for read in (envelope.read_recipient, envelope.read_identity):
        with pytest.raises(BadConfiguration) as error:
            read(f"AGE-SECRET-KEY-{uuid4()}")
        assert "KEY-1" not in error.value.message
