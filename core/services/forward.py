"""The relay's work: forward complete parcels to central, and mirror central's signed messages for the sites."""

from collections.abc import Callable
from typing import BinaryIO
from uuid import UUID

from sqlmodel import Session, col, func, select

from core import failpoints, jobs
from core.clock import now_utc
from core.db import reading, transaction
from core.errors import Refused, Unavailable
from core.models.bank import Site
from core.models.transfer import Parcel, ParcelState, SignedMessage
from core.node import Node
from core.services import offers, parcels
from core.services.courier import NextNode
from core.settings import read_secret

LONGEST_BACK_OFF = 3600
PAGE = 200


def central_of(node: Node) -> NextNode:
    if not node.settings.central_url:
        raise Unavailable("SONOBANK_CENTRAL_URL is not set; the parcels wait.")
    return NextNode(
        node.settings.central_url, read_secret(node.settings.central_token_file, "SONOBANK_CENTRAL_TOKEN_FILE")
    )


def forward(node: Node, parcel_id: UUID) -> None:
    """The job `parcel` at the relay: COMPLETE -> FORWARDED; then the ciphertext is deleted here. May run twice."""
    with reading(node.engine) as session:
        parcel = session.get_one(Parcel, parcel_id)
    if parcel.state == ParcelState.COMPLETE:
        path = parcels.spool_path(node, parcel)
        try:
            with path.open("rb") as file, central_of(node) as central:
                read = _reader(file)
                central.deliver(parcel.site, parcel.package_id, parcel.header, parcel.signature, read, parcel.size)
            failpoints.hit("forward.delivered:after")
        except Unavailable as trouble:
            return _again(node, parcel_id, trouble.message)
        except OSError:
            return _again(node, parcel_id, "The spool cannot be read.")
        except Refused as refusal:
            return _refused(node, parcel, refusal.message)
        with transaction(node.engine, "forward.done") as session:
            row = session.get_one(Parcel, parcel_id, with_for_update=True)
            if row.state == ParcelState.COMPLETE:
                parcels.move(session, row, ParcelState.FORWARDED)
    return _drop(node, parcel)


def _reader(file: BinaryIO) -> Callable[[int, int], bytes]:
    """Reads chunk after chunk; asked again from an earlier place, the other side got other bytes, and it waits."""
    furthest = 0

    def read(offset: int, length: int) -> bytes:
        nonlocal furthest
        if offset < furthest:
            raise Unavailable("The parcel arrived damaged; it is sent again.")
        file.seek(offset)
        chunk = file.read(length)
        furthest = offset + len(chunk)
        return chunk

    return read


def _drop(node: Node, parcel: Parcel) -> None:
    parcels.drop_spool(node, parcel)
    with transaction(node.engine, "forward.dropped") as session:
        session.get_one(Parcel, parcel.id).spool_deleted_at = now_utc()


def _again(node: Node, parcel_id: UUID, reason: str) -> None:
    with transaction(node.engine, "forward.again") as session:
        row = session.get_one(Parcel, parcel_id, with_for_update=True)
        row.failures, row.last_error = row.failures + 1, reason
        delay = min(LONGEST_BACK_OFF, 2**row.failures)
        jobs.enqueue(
            session, "parcel", "transfer", key=f"parcel:{row.package_id}", in_seconds=delay, parcel_id=str(row.id)
        )


def _refused(node: Node, parcel: Parcel, reason: str) -> None:
    """Central refuses it for good: nothing is kept here either."""
    with transaction(node.engine, "forward.refused") as session:
        row = session.get_one(Parcel, parcel.id, with_for_update=True)
        if row.state == ParcelState.COMPLETE:
            parcels.move(session, row, ParcelState.REFUSED)
            row.last_error = reason
    _drop(node, parcel)


def mirror_messages(node: Node) -> int:
    """Fetch what central signed for each site; the relay passes it on and cannot change it."""
    count = 0
    with reading(node.engine) as session:
        sites = list(session.exec(select(Site.code).where(Site.active)))
        last = {site: last_number(session, site) for site in sites}
    with central_of(node) as central:
        for site in sites:
            for entry in central.messages(site, last[site]):
                offers.bring(node, central, str(entry["body"]))
                with transaction(node.engine, "mirror.message") as session:
                    session.add(
                        SignedMessage(
                            site=site, n=int(entry["n"]), body=str(entry["body"]), signature=str(entry["signature"])
                        )
                    )
                count += 1
    return count


def last_number(session: Session, site: str) -> int:
    return session.exec(select(func.max(SignedMessage.n)).where(SignedMessage.site == site)).one() or 0


def messages_after(session: Session, site: str, after: int) -> list[SignedMessage]:
    statement = select(SignedMessage).where(SignedMessage.site == site, SignedMessage.n > after)
    return list(session.exec(statement.order_by(col(SignedMessage.n)).limit(PAGE)))
