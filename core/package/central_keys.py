"""Central's own keys: the age identity that opens packages and the Ed25519 key that signs messages; sites get the public half."""

import base64
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pyrage import x25519

from core.errors import BadConfiguration
from core.package import signing
from core.package.envelope import read_identity, read_recipient

_FILE = "central.json"


@dataclass(frozen=True)
class CentralKeys:
    identity: x25519.Identity = field(repr=False)
    signer: Ed25519PrivateKey = field(repr=False)
    demo: bool = False

    def public(self) -> "CentralPublicKeys":
        return CentralPublicKeys(self.identity.to_public(), self.signer.public_key())


@dataclass(frozen=True)
class CentralPublicKeys:
    """What a site needs of central: where to seal to, and whose signature to obey."""

    recipient: x25519.Recipient
    verify_key: Ed25519PublicKey

    def dump(self) -> str:
        return json.dumps(
            {"recipient": str(self.recipient), "verify_key": signing.write_public(self.verify_key)}, indent=1
        )


def create(folder: Path, demo: bool = False) -> CentralKeys:
    """Make both keys in `folder` (0700, the file 0400); never overwrites. Raises BadConfiguration."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = CentralKeys(x25519.Identity.generate(), Ed25519PrivateKey.generate(), demo)
    body = {
        "identity": str(keys.identity),
        "sign": base64.b64encode(keys.signer.private_bytes_raw()).decode(),
        "demo": demo,
    }
    try:
        fd = os.open(folder / _FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    except FileExistsError:
        raise BadConfiguration("Central has keys already, and keys are never overwritten.") from None
    with os.fdopen(fd, "w") as file:
        json.dump(body, file)
        file.flush()
        os.fsync(file.fileno())
    return keys


def load(folder: Path, data_dir: Path) -> CentralKeys:
    """Raises BadConfiguration when the keys are missing, readable by others, or beside the data."""
    if folder.resolve().is_relative_to(data_dir.resolve()):
        raise BadConfiguration("SONOBANK_KEYS_DIR lies inside the data folder; move the keys to a folder of their own.")
    path = folder / _FILE
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        body = json.loads(path.read_text())
        identity = read_identity(body["identity"])
        signer = Ed25519PrivateKey.from_private_bytes(base64.b64decode(body["sign"]))
    except (OSError, ValueError, KeyError):
        raise BadConfiguration(
            "Central's keys cannot be read: `./run admin keys create --role central` makes them."
        ) from None
    if mode & 0o077:
        raise BadConfiguration("Central's key file can be read by others: chmod 0400 it.")
    return CentralKeys(identity, signer, bool(body.get("demo")))


def load_public(path: Path | None) -> CentralPublicKeys:
    """The public half, as central's operator gave it to the site."""
    if path is None:
        raise BadConfiguration("SONOBANK_CENTRAL_KEYS_FILE is not set: ask central's operator for its public keys.")
    try:
        body = json.loads(path.read_text())
        return CentralPublicKeys(read_recipient(body["recipient"]), signing.read_public(body["verify_key"]))
    except (OSError, ValueError, KeyError):
        raise BadConfiguration(
            "SONOBANK_CENTRAL_KEYS_FILE cannot be read or is not central's public key file."
        ) from None
