"""The site's keys: one folder of small files that only the service user can read, far from the data."""

import base64
import hmac
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.errors import BadConfiguration

KeyKind = Literal["seal", "index", "uids", "sign"]
KEY_ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
_KINDS: Final[tuple[KeyKind, ...]] = get_args(KeyKind)
_FILE_NAME: Final = re.compile(r"(seal|index|uids|sign)-([0-9]{4})\.key")
_FORMAT: Final = "sonobank-key-1"


@dataclass(frozen=True)
class Key:
    """One secret of 32 bytes. `id` follows from the secret, so a file whose bytes rotted is noticed."""

    kind: KeyKind
    number: int
    secret: bytes = field(repr=False)
    demo: bool = False

    @property
    def id(self) -> bytes:
        """8 bytes, safe to show: a keyed digest that says nothing about the secret."""
        return hmac.digest(self.secret, b"sonobank-key-id\0" + self.kind.encode(), "sha256")[:KEY_ID_BYTES]


@dataclass(frozen=True)
class Keys:
    """All keys of a site, each kind oldest first: the newest seals and signs, every one still opens."""

    seal: tuple[Key, ...]
    index: Key
    uids: tuple[Key, ...]
    sign: tuple[Key, ...]

    def signer(self) -> Ed25519PrivateKey:
        """The newest signing key (Ed25519, RFC 8032)."""
        return Ed25519PrivateKey.from_private_bytes(self.sign[-1].secret)

    @property
    def signer_id(self) -> str:
        return self.sign[-1].id.hex()


def is_demo(keys: Keys) -> bool:
    """True if any key was made by the demo: such keys must never guard real patients."""
    return any(key.demo for key in (*keys.seal, keys.index, *keys.uids, *keys.sign))


def create_keys(folder: Path, demo: bool = False) -> Keys:
    """Make a full set of new keys in `folder` (mode 0700), all or nothing; keys that exist are never overwritten.

    Raises BadConfiguration if the folder holds anything already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadConfiguration("The key folder is not empty, and keys are never overwritten. Choose an empty folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{secrets.token_hex(8)}.part"
    draft.mkdir(mode=0o700)
    try:
        for kind in _KINDS:
            _write_key(draft, Key(kind, 1, secrets.token_bytes(SECRET_BYTES), demo))
        fsync_folder(draft)
        # A folder can be renamed onto an empty one only, so a second creator at the same time loses.
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise BadConfiguration("The keys could not be written. Check the key folder and its disk.") from error
    fsync_folder(folder.parent)
    return _assemble(_read_folder(folder))


def add_key(folder: Path, kind: Literal["seal", "uids", "sign"]) -> Key:
    """Rotation: add a newer key of this kind. Old values stay readable until `Vault.reseal` has rewritten them."""
    existing = _read_folder(folder)
    same = [key for key in existing if key.kind == kind]
    if not same:
        raise BadConfiguration(f"There is no {kind} key to follow. Create or restore the keys first.")
    key = Key(kind, same[-1].number + 1, secrets.token_bytes(SECRET_BYTES), any(key.demo for key in existing))
    try:
        _write_key(folder, key)
    except FileExistsError as error:
        raise BadConfiguration("Another key was added at the same moment. Try again if it is not enough.") from error
    fsync_folder(folder)
    return key


def load_keys(folder: Path, data_dir: Path) -> Keys:
    """Read the site's keys.

    Raises BadConfiguration, saying the fix, when the folder is in the data folder or around it, a file is missing,
    readable by others, not owned by the service user, or damaged."""
    _check_apart(folder, data_dir)
    return _assemble(_read_folder(folder))


def _check_apart(folder: Path, data_dir: Path) -> None:
    keys, data = folder.resolve(), data_dir.resolve()
    if keys.is_relative_to(data) or data.is_relative_to(keys):
        raise BadConfiguration(
            "The key folder and the data folder lie in one another, so one lost disk or backup would lose both. "
            "Move the keys elsewhere and point SONOBANK_KEYS_DIR at them."
        )


def _read_folder(folder: Path) -> list[Key]:
    if not folder.is_dir():
        raise BadConfiguration("There is no key folder. Create the keys, or point SONOBANK_KEYS_DIR at them.")
    _check_owner(folder.stat(), 0o700, "The key folder", "0700")
    names = sorted(path.name for path in folder.iterdir() if _FILE_NAME.fullmatch(path.name))
    return [_read_key(folder, name) for name in names]


def _check_owner(status: os.stat_result, mode: int, what: str, wanted: str) -> None:
    if status.st_uid != os.geteuid():
        raise BadConfiguration(f"{what} does not belong to the service user. Fix: chown it to that user.")
    if stat.S_IMODE(status.st_mode) != mode:
        raise BadConfiguration(f"{what} must have mode {wanted}. Fix: chmod {wanted} on it.")


def _read_key(folder: Path, name: str) -> Key:
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BadConfiguration(
            f"The key file {name} cannot be opened. Fix: a plain file (no link), mode 0400, of the service user."
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise BadConfiguration(f"The key file {name} is not a plain file.")
        _check_owner(status, 0o400, f"The key file {name}", "0400")
        return _parse_key(file.read(4096), name)


def _parse_key(content: bytes, name: str) -> Key:
    damaged = BadConfiguration(f"The key file {name} is damaged. Fix: restore it from the backup of the keys.")
    match = _FILE_NAME.fullmatch(name)
    try:
        record = json.loads(content)
        secret = base64.b64decode(record["secret"], validate=True)
        stated, demo = record["id"], record["demo"]
        kind = next(kind for kind in _KINDS if kind == record["kind"])
    except (ValueError, KeyError, TypeError, StopIteration):
        raise damaged from None
    if match is None or len(secret) != SECRET_BYTES or record.get("format") != _FORMAT or match[1] != kind:
        raise damaged
    key = Key(kind, int(match[2]), secret, bool(demo))
    if stated != key.id.hex():
        raise damaged
    return key


def _assemble(found: Sequence[Key]) -> Keys:
    by_kind = {kind: tuple(key for key in found if key.kind == kind) for kind in _KINDS}
    missing = [kind for kind, keys in by_kind.items() if not keys]
    if missing:
        raise BadConfiguration(f"Keys are missing: {', '.join(missing)}. Create them, or restore their backup.")
    if len(by_kind["index"]) != 1:
        raise BadConfiguration("There must be one index key only, or records would no longer be found.")
    return Keys(by_kind["seal"], by_kind["index"][0], by_kind["uids"], by_kind["sign"])


def _write_key(folder: Path, key: Key) -> None:
    record = {
        "format": _FORMAT,
        "kind": key.kind,
        "id": key.id.hex(),
        "demo": key.demo,
        "secret": base64.b64encode(key.secret).decode(),
    }
    path = folder / f"{key.kind}-{key.number:04d}.key"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o400)
        file.write(json.dumps(record).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def fsync_folder(folder: Path) -> None:
    """Put new and renamed entries of a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
