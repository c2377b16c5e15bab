"""The key of a node's own door: it seals the secrets of authenticators and the state of a log-in under way."""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import BadConfiguration, Refused
from core.settings import Settings

FILE: Final = "door.key"
_BYTES: Final = 32
_NONCE: Final = 12
_VERSION: Final = b"\x01"


class DoorKey:
    """AES-256-GCM; purpose and owner are authenticated, so a value put elsewhere does not open there."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(secret)

    def seal(self, purpose: str, owner: str, plain: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, _place(purpose, owner))

    def open(self, purpose: str, owner: str, sealed: bytes) -> bytes:
        """Raises Refused if the value was altered, was sealed for something else, or the key is another one."""
        nonce, body = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        if sealed[:1] != _VERSION or len(nonce) < _NONCE:
            raise Refused("A sealed value is damaged.")
        try:
            return self._cipher.decrypt(nonce, body, _place(purpose, owner))
        except InvalidTag:
            raise Refused("A sealed value is damaged.") from None


def _place(purpose: str, owner: str) -> bytes:
    return f"sonobank-door-1\0{purpose}\0{owner}".encode()


def open_door_key(settings: Settings) -> DoorKey:
    """The key in SONOBANK_KEYS_DIR, made when it is first needed. Raises BadConfiguration with the fix."""
    path = settings.keys / FILE
    if settings.keys.resolve().is_relative_to(settings.data_dir.resolve()):
        raise BadConfiguration("SONOBANK_KEYS_DIR lies inside the data folder; move the keys to a folder of their own.")
    try:
        if not path.exists():
            _create(path)
        mode, secret = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except OSError:
        raise BadConfiguration(
            f"{FILE} in SONOBANK_KEYS_DIR cannot be read or made: give the folder to the service's account."
        ) from None
    if mode & 0o077:
        raise BadConfiguration(f"{FILE} in SONOBANK_KEYS_DIR can be read by others: chmod 0600 it.")
    if len(secret) != _BYTES:
        raise BadConfiguration(f"{FILE} in SONOBANK_KEYS_DIR is damaged: restore it from the backup of the keys.")
    return DoorKey(secret)


def _create(path: Path) -> None:
    """Whole or not at all, and never over an existing one: the link fails for whoever comes second."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{FILE}.{secrets.token_hex(8)}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            _link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return  # another process was quicker: its key is the key
