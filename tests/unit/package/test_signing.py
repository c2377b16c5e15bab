"""A signature fits one domain, one key and exactly one text."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadConfiguration, Refused
from core.package import signing
from core.package.signing import Domain

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def test_the_domain_strings_are_the_agreed_ones() -> None:
    assert {domain.value for domain in Domain} == {
        b"sonobank-package-v1\0",
        b"sonobank-receipt-v1\0",
        b"sonobank-message-v1\0",
        b"sonobank-tombstone-v1\0",
        b"sonobank-heartbeat-v1\0",
    }


@pytest.mark.parametrize("signed", Domain)
@pytest.mark.parametrize("claimed", Domain)
def test_a_signature_never_verifies_in_another_domain(signed: Domain, claimed: Domain) -> None:
    signature = signing.sign(signed, b"text", KEY)
    if signed is claimed:
        signing.verify(claimed, b"text", signature, KEY.public_key())
        return
    with pytest.raises(Refused, match="does not fit"):
        signing.verify(claimed, b"text", signature, KEY.public_key())


@given(st.binary(max_size=64), st.integers(0, 511))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_of_a_signature_never_verifies(data: bytes, bit: int) -> None:
    raw = bytearray.fromhex(signing.sign(Domain.PACKAGE, data, KEY))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused):
        signing.verify(Domain.PACKAGE, data, raw.hex(), KEY.public_key())


@pytest.mark.parametrize(
    "turn", [str.upper, lambda text: text[:-1], lambda text: text + "\n", lambda text: "", lambda t: "٣" * 128]
)
def test_another_spelling_of_a_signature_is_refused(turn: object) -> None:
    assert callable(turn)
    signature = signing.sign(Domain.PACKAGE, b"text", KEY)
    with pytest.raises(Refused, match="hex"):
        signing.verify(Domain.PACKAGE, b"text", turn(signature), KEY.public_key())


def test_public_keys_come_back_and_have_a_short_id() -> None:
    public = KEY.public_key()
    assert signing.key_id(signing.read_public(signing.write_public(public))) == signing.key_id(public)
    assert len(signing.key_id(public)) == 32
    with pytest.raises(BadConfiguration):
        signing.read_public("not a key")
