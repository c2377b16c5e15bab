"""The PACS peers of this site as the IT desk sees them: what is set, and whether each answers."""

import socket
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from sqlmodel import Session

from core import audit
from core.dicom.peer import PeerTrouble
from core.errors import BadConfiguration, Unavailable
from core.permissions import Actor, Verb, check
from core.services.retrieve import open_peer
from core.settings import Peer, Settings

LONGEST_CONNECT: Final = 10.0


@dataclass(frozen=True)
class Known:
    """The peers of the settings; or why their file cannot be used."""

    peers: tuple[Peer, ...]
    trouble: str | None = None


@dataclass(frozen=True)
class Tried:
    """How far a test came. `seconds` is None for a step that was not reached."""

    name: str
    connect_seconds: float | None = None
    search_seconds: float | None = None
    reason: str | None = None

    @property
    def is_fine(self) -> bool:
        return self.reason is None


def known(settings: Settings) -> Known:
    """A file that cannot be used is said, not raised: the page is where it is mended."""
    try:
        return Known(settings.peers)
    except BadConfiguration as trouble:
        return Known((), trouble.message)


def try_peer(session: Session, settings: Settings, actor: Actor, name: str) -> Tried:
    """Connect, then ask for one study (QIDO-RS), as a retrieval would begin; the reason is in words."""
    check(actor, Verb.PEERS)
    connected = searched = reason = None
    try:
        peer = settings.peer(name)
        connected = _connect(peer)
        with open_peer(settings, name) as opened:
            begun = time.monotonic()
            opened.echo()
            searched = time.monotonic() - begun
    except (Unavailable, BadConfiguration) as trouble:
        reason = trouble.message
    audit.record(session, actor, "peer.test", name[:64], ok=reason is None)
    return Tried(name, connected, searched, reason)


def _connect(peer: Peer) -> float:
    """Seconds until the peer's port answers. Raises PeerTrouble."""
    parts, begun = urlsplit(peer.url), time.monotonic()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), min(peer.timeout_seconds, LONGEST_CONNECT)):
            return time.monotonic() - begun
    except OSError:
        raise PeerTrouble("The PACS cannot be reached: is it running, and is the address right?") from None
