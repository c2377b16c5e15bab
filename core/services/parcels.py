"""The door for sealed parcels, the same at the relay and at central: announce, append, complete. Ciphertext only."""

import hashlib
import os
from io import BufferedRandom
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlmodel import Session, select

from core import audit, failpoints, jobs
from core.errors import Conflict, Denied, NotFound, Refused, Unavailable, WrongState
from core.models.bank import Site
from core.models.transfer import PARCEL_MOVES, Parcel, ParcelState
from core.node import Node
from core.package import envelope, signing
from core.permissions import ALL_DOMAINS, SYSTEM, Actor

LARGEST_CHUNK = 16 << 20


def move(session: Session, parcel: Parcel, to: ParcelState) -> None:
    """Change the state of a parcel. Raises WrongState when the table has no such move."""
    if to not in PARCEL_MOVES[ParcelState(parcel.state)]:
        raise WrongState(f"A parcel that is {parcel.state} cannot become {to}.")
    audit.record(session, SYSTEM, f"parcel.{to.lower()}", parcel.package_id, before=parcel.state, after=to)
    parcel.state = to


def spool_path(node: Node, parcel: Parcel) -> Path:
    folder = node.settings.data_dir / "spool"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{parcel.site}-{parcel.package_id}.age"


def speaks_for(actor: Actor, site: str) -> None:
    """Raise Denied unless this machine may deliver and ask for that site."""
    if actor.site not in {site, ALL_DOMAINS}:
        raise Denied


def site_keys(session: Session) -> dict[tuple[str, str], Ed25519PublicKey]:
    """Public keys of the active sites by (site, key id)."""
    sites = session.exec(select(Site).where(Site.active))
    return {(site.code, key_id): signing.read_public(raw) for site in sites for key_id, raw in site.keys.items()}


def announce(session: Session, actor: Actor, header_text: str, signature: str) -> Parcel:
    """Check the signed header and open the parcel, or find it: the same hash is the same parcel, for ever.

    Raises Refused for a bad signature, another hash under a known id or an older version."""
    header = envelope.check_header(header_text.encode(), signature, site_keys(session))
    speaks_for(actor, header.site)
    known = find(session, header.site, header.package_id)
    if known is not None:
        if known.sha256 != header.ciphertext_sha256 or known.header != header_text:
            raise Refused("Another package came under this id before; it is refused for good.")
        return known
    parcel = Parcel(
        site=header.site,
        package_id=header.package_id,
        case_version=header.case_version,
        header=header_text,
        signature=signature,
        size=header.ciphertext_size,
        sha256=header.ciphertext_sha256,
        state=ParcelState.RECEIVING,
    )
    session.add(parcel)
    session.flush()
    audit.record(session, actor, "parcel.announce", parcel.package_id, after=parcel.state)
    return parcel


def find(session: Session, site: str, package_id: UUID, *, lock: bool = False) -> Parcel | None:
    statement = select(Parcel).where(Parcel.site == site, Parcel.package_id == package_id)
    return session.exec(statement.with_for_update() if lock else statement).first()


def readable(session: Session, actor: Actor, site: str, package_id: UUID, *, lock: bool = False) -> Parcel:
    speaks_for(actor, site)
    parcel = find(session, site, package_id, lock=lock)
    if parcel is None:
        raise NotFound
    return parcel


def append(
    node: Node, session: Session, actor: Actor, site: str, package_id: UUID, offset: int, chunk: bytes
) -> Parcel:
    """Append one chunk at exactly the offset that is here; the last one completes the parcel or refuses it."""
    parcel = readable(session, actor, site, package_id, lock=True)
    if parcel.state != ParcelState.RECEIVING:
        return parcel
    if offset != parcel.received:
        raise Conflict(f"This parcel has {parcel.received} bytes; send from there.")
    if not chunk or len(chunk) > LARGEST_CHUNK or offset + len(chunk) > parcel.size:
        raise Refused("The chunk is empty, too large or longer than the package.")
    path = spool_path(node, parcel)
    try:
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.seek(offset)
            file.truncate()
            file.write(chunk)
            file.flush()
            failpoints.hit("spool.put:before")
            os.fsync(file.fileno())
            parcel.received = offset + len(chunk)
            failpoints.hit("spool.put:after")
            if parcel.received == parcel.size:
                _complete(session, parcel, file)
    except OSError:
        raise Unavailable("The spool cannot be written: is there room on the disk?") from None
    return parcel


def _complete(session: Session, parcel: Parcel, file: BufferedRandom) -> None:
    file.seek(0)
    if hashlib.file_digest(file, "sha256").hexdigest() != parcel.sha256:
        # Not for good: the same signed bytes may still arrive whole.
        parcel.received = 0
        file.truncate(0)
        return
    move(session, parcel, ParcelState.COMPLETE)
    jobs.enqueue(session, "parcel", "transfer", key=f"parcel:{parcel.package_id}", parcel_id=str(parcel.id))


def drop_spool(node: Node, parcel: Parcel) -> None:
    spool_path(node, parcel).unlink(missing_ok=True)
