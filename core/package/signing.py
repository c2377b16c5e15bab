"""Ed25519 signatures (RFC 8032) bound to what they sign: each kind of object has a domain string of its own."""

import hashlib
import re
from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.errors import BadConfiguration, Refused

SIGNATURE_FORM: Final = re.compile(r"[0-9a-f]{128}")
PUBLIC_FORM: Final = re.compile(r"[0-9a-f]{64}")


class Domain(Enum):
    """What a signature says. The text stands before the signed bytes, so no signature can be moved to another kind."""

    PACKAGE = b"sonobank-package-v1\0"
    RECEIPT = b"sonobank-receipt-v1\0"
    MESSAGE = b"sonobank-message-v1\0"
    TOMBSTONE = b"sonobank-tombstone-v1\0"
    HEARTBEAT = b"sonobank-heartbeat-v1\0"


def short_hash(public: bytes) -> str:
    """A key id: the first 16 bytes of SHA-256 over the public key, as hex."""
    return hashlib.sha256(public).hexdigest()[:32]


def key_id(key: Ed25519PublicKey) -> str:
    return short_hash(key.public_bytes_raw())


def write_public(key: Ed25519PublicKey) -> str:
    """The public key as 64 hex digits, as settings and tables keep it."""
    return key.public_bytes_raw().hex()


def read_public(text: str) -> Ed25519PublicKey:
    """The inverse of `write_public`. Raises BadConfiguration."""
    if not PUBLIC_FORM.fullmatch(text):
        raise BadConfiguration("A public signing key must be 64 hex digits.")
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))


def sign(domain: Domain, data: bytes, key: Ed25519PrivateKey) -> str:
    """The signature over the domain string and exactly these bytes, as 128 hex digits."""
    return key.sign(domain.value + data).hex()


def verify(domain: Domain, data: bytes, signature: str, key: Ed25519PublicKey) -> None:
    """Raises Refused unless `key` signed exactly these bytes under this domain."""
    if not SIGNATURE_FORM.fullmatch(signature):
        raise Refused("The signature is not 128 hex digits.")
    try:
        key.verify(bytes.fromhex(signature), domain.value + data)
    except InvalidSignature:
        raise Refused("The signature does not fit.") from None
