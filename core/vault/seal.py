"""Sealed columns (AES-256-GCM bound to their place) and blind indexes (HMAC-SHA-256)."""

import hmac
import os
from collections.abc import Sequence
from typing import Final, Literal
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import Refused
from core.vault.keys import KEY_ID_BYTES, Key

IndexField = Literal["chart", "accession", "study_uid", "sop_uid", "merged", "content"]
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
_VERSION: Final = b"\x01"
_HEADER_BYTES: Final = 1 + KEY_ID_BYTES + NONCE_BYTES


class ColumnSealer:
    """Seals values of database columns: version | key id (8) | nonce (12) | ciphertext and tag.

    Table, column, row id and key id are authenticated, so a value copied to another place does not open there."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._newest = keys[-1].id
        self._ciphers = {key.id: AESGCM(key.secret) for key in keys}

    @property
    def newest_id(self) -> bytes:
        """The id of the key that seals now: bytes 2 to 9 of every value that it sealed."""
        return self._newest

    def seal(self, table: str, column: str, row_id: UUID, plain: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        aad = _place(table, column, row_id, self._newest)
        return _VERSION + self._newest + nonce + self._ciphers[self._newest].encrypt(nonce, plain, aad)

    def open(self, table: str, column: str, row_id: UUID, sealed: bytes) -> bytes:
        """Raises Refused if the value was altered, stands in another place, or its key is not at hand."""
        key_id = sealed[1 : 1 + KEY_ID_BYTES]
        cipher = self._ciphers.get(key_id)
        if sealed[:1] != _VERSION or cipher is None or len(sealed) < _HEADER_BYTES + TAG_BYTES:
            raise Refused("A sealed value is damaged.")
        nonce = sealed[1 + KEY_ID_BYTES : _HEADER_BYTES]
        try:
            return cipher.decrypt(nonce, sealed[_HEADER_BYTES:], _place(table, column, row_id, key_id))
        except InvalidTag:
            raise Refused("A sealed value is damaged.") from None


class BlindIndex:
    """Keyed digests for exact look-up: without the index key a value cannot be tried against a copy of the tables."""

    def __init__(self, key: Key) -> None:
        self._secret = key.secret

    def of(self, field: IndexField, *parts: str) -> bytes:
        """32 bytes; the field's name is part of the digest, so equal values of two fields do not look equal."""
        return hmac.digest(self._secret, _join(f"sonobank-index-1:{field}", *parts), "sha256")


def _place(table: str, column: str, row_id: UUID, key_id: bytes) -> bytes:
    return _join("sonobank-column-1", table, column) + row_id.bytes + key_id


def _join(*parts: str) -> bytes:
    """Each part behind its length, so that no two lists of parts give the same bytes."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
