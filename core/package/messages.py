"""What central says to a site: signed, numbered objects, and the tombstones that ask for erasure.

Receipts, tombstones and heartbeats are each signed under a domain of their own, everything else as a message.
The exact canonical bytes are signed. A site acts on nothing that did not pass `open_message` and `accept_in_order`."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, StringConstraints, TypeAdapter, model_validator

from core.errors import Refused
from core.package import signing
from core.package.canonical import CaseVersion, KeyId, OutwardId, Sha256, SiteCode, Strict, canonical, read_canonical
from core.package.signing import Domain

MOST_MESSAGE_BYTES: Final = 2**20
SLACK: Final = timedelta(hours=24)
MODEL_PATH: Final = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Verdict(StrEnum):
    ACCEPTED = "ACCEPTED"
    QUARANTINED = "QUARANTINED"
    REFUSED = "REFUSED"


class Reason(StrEnum):
    """Why central did not accept a package; the pages say them in words."""

    SIGNATURE = "SIGNATURE"
    RECIPIENT = "RECIPIENT"
    CIPHERTEXT = "CIPHERTEXT"
    ARCHIVE = "ARCHIVE"
    CONTRACT = "CONTRACT"
    UNKNOWN_CODE = "UNKNOWN_CODE"
    OTHER_CONTENT = "OTHER_CONTENT"
    OLD_VERSION = "OLD_VERSION"
    TOMBSTONED = "TOMBSTONED"
    DUPLICATE = "DUPLICATE"
    GEOMETRY = "GEOMETRY"
    IMAGE_DIFFERS = "IMAGE_DIFFERS"
    UNREADABLE_IMAGE = "UNREADABLE_IMAGE"
    PERSONAL_TAG = "PERSONAL_TAG"
    PERSONAL_TEXT = "PERSONAL_TEXT"


Counter = Annotated[int, Field(ge=1, le=2**53 - 1)]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
ModelNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
MinuteText = Annotated[
    str,
    StringConstraints(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]Z$"),
]


class Signed(Strict):
    """`site`: for whom, or from whom (a site's tombstone). `key_id`: of the signing key. `n`: 1, 2, 3 … per site."""

    site: SiteCode
    key_id: KeyId
    n: Counter


class Receipt(Signed):
    """Central's verdict on exactly one ciphertext. `site_audit_head`: the record's; null when it was not read."""

    kind: Literal["receipt"]
    package_id: OutwardId
    case_version: CaseVersion
    ciphertext_sha256: Sha256
    verdict: Literal["ACCEPTED", "QUARANTINED", "REFUSED"]
    reasons: Annotated[tuple[Reason, ...], Field(max_length=16)]
    site_audit_head: Sha256 | None

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if (self.verdict == Verdict.ACCEPTED) == bool(self.reasons):
            raise ValueError("a verdict has reasons exactly when it is not ACCEPTED")
        if self.verdict == Verdict.ACCEPTED and self.site_audit_head is None:
            raise ValueError("an accepted package has an audit head")
        return self


class Replicated(Signed):
    """The cloud's copy of a package was read back. `list_sha256`: of its images' sha256, sorted, a line each."""

    kind: Literal["replicated"]
    package_id: OutwardId
    list_sha256: Sha256
    count: Annotated[int, Field(ge=1, le=1_000_000)]


class Erased(Signed):
    """What a tombstone named is gone from this place; bound to the tombstone's exact bytes."""

    kind: Literal["erased"]
    tombstone_id: OutwardId
    tombstone_sha256: Sha256
    place: Literal["central", "cloud"]
    count: Annotated[int, Field(ge=0, le=1_000_000)]


class Tombstone(Signed):
    """These cases must go, for good. Also sealed to its reader with `envelope.encrypt`; a site numbers its own."""

    kind: Literal["tombstone"]
    tombstone_id: OutwardId
    reason: Literal["withdrawal", "privacy", "wrong_label", "wrong_patient"]
    case_ids: Annotated[tuple[OutwardId, ...], Field(min_length=1, max_length=10_000)]


class OfferedFile(Strict):
    """A file of a model by its path in the model's folder; the next node gives its bytes by their hash."""

    path: Annotated[str, StringConstraints(pattern=MODEL_PATH)]
    sha256: Sha256
    size: Annotated[int, Field(ge=1, le=2**29)]


class ModelOffer(Signed):
    """A model that central lets a site have; there it answers for nobody until a named person accepts it.

    `sha256`: over the sorted lines "sha256 path" of its files. `domain`: an organ, or * for any."""

    kind: Literal["model"]
    name: ModelName
    version: ModelNumber
    domain: Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9_]{0,31})$")]
    sha256: Sha256
    files: Annotated[tuple[OfferedFile, ...], Field(min_length=1, max_length=40)]


class ModelWithdrawn(Signed):
    """Central no longer uses a model that it offered. It stays at the site, whose people decide what becomes of it."""

    kind: Literal["model_withdrawn"]
    name: ModelName
    version: ModelNumber
    sha256: Sha256


class Heartbeat(Strict):
    """Central lives. `n`: the last number it gave this site (0: none yet); `minute` is UTC."""

    kind: Literal["heartbeat"]
    site: SiteCode
    key_id: KeyId
    n: Annotated[int, Field(ge=0, le=2**53 - 1)]
    minute: MinuteText

    @model_validator(mode="after")
    def _real_minute(self) -> Self:
        moment(self)
        return self


Message = Receipt | Replicated | Erased | Tombstone | ModelOffer | ModelWithdrawn | Heartbeat

_MESSAGE: Final[TypeAdapter[Message]] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])
_TOMBSTONE: Final = TypeAdapter(Tombstone)
_DOMAINS: Final[dict[str, Domain]] = {
    "receipt": Domain.RECEIPT,
    "replicated": Domain.MESSAGE,
    "erased": Domain.MESSAGE,
    "tombstone": Domain.TOMBSTONE,
    "model": Domain.MESSAGE,
    "model_withdrawn": Domain.MESSAGE,
    "heartbeat": Domain.HEARTBEAT,
}


def seal_message(message: Message, key: Ed25519PrivateKey) -> tuple[bytes, str]:
    """The exact bytes and their signature. Raises Refused if the message names another key or breaks its own rules."""
    data = canonical(message)
    read_canonical(data, _MESSAGE, MOST_MESSAGE_BYTES, "message")
    if message.key_id != signing.key_id(key.public_key()):
        raise Refused("The message names another signing key.")
    return data, signing.sign(_DOMAINS[message.kind], data, key)


def open_message(data: bytes, signature: str, central_key: Ed25519PublicKey, *, site: str) -> Message:
    """What central said to this site. Its order is a second question: `accept_in_order`. Raises Refused."""
    message = read_canonical(data, _MESSAGE, MOST_MESSAGE_BYTES, "message")
    _check(message, data, signature, central_key, site)
    return message


def open_tombstone(data: bytes, signature: str, site_key: Ed25519PublicKey, *, site: str) -> Tombstone:
    """What a site asks to be erased; `site_key` is the key registered for `site`. Raises Refused."""
    tombstone = read_canonical(data, _TOMBSTONE, MOST_MESSAGE_BYTES, "tombstone")
    _check(tombstone, data, signature, site_key, site)
    return tombstone


def _check(message: Message, data: bytes, signature: str, key: Ed25519PublicKey, site: str) -> None:
    if message.key_id != signing.key_id(key):
        raise Refused("The message names another signing key.")
    signing.verify(_DOMAINS[message.kind], data, signature, key)
    if message.site != site:
        raise Refused("The message belongs to another site.")


def accept_in_order(last_n: int, message: Message) -> int:
    """The number of the last message after this one: exactly the next, or a heartbeat that repeats the last.

    Raises Refused on a replay or a gap; the caller asks again from `last_n` and acts on nothing meanwhile."""
    due = last_n if isinstance(message, Heartbeat) else last_n + 1
    if message.n < due:
        raise Refused("This message was here before: a replay.")
    if message.n > due:
        raise Refused("Messages of central are missing before this one.")
    return message.n


def accept_heartbeat(last: datetime | None, beat: Heartbeat, now: datetime) -> datetime:
    """The heartbeat's minute, for the next call and the 24 h alarm. Raises Refused if it is no newer or out of time."""
    at = moment(beat)
    if last is not None and at <= last:
        raise Refused("This heartbeat was here before: a replay.")
    if abs(now - at) > SLACK:
        raise Refused("This heartbeat's time is more than 24 hours from ours.")
    return at


def moment(beat: Heartbeat) -> datetime:
    return datetime.strptime(beat.minute, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)


def minute_text(at: datetime) -> str:
    """An aware time, cut to the minute, as heartbeats carry it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
