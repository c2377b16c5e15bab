"""Pack, seal and send: the record of the contract and the released files, to the relay, and central's answers back."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO
from uuid import UUID

from sqlmodel import Session, func, select

from core import audit, failpoints, jobs
from core.db import reading, transaction
from core.errors import Refused, Unavailable, WrongState
from core.models.sitecase import CaseState
from core.models.transfer import Package, PackageState, SignedMessage
from core.node import SiteNode
from core.package import archive, contract, envelope, messages, signing
from core.permissions import SYSTEM, Actor
from core.services import cases, packages
from core.services.courier import NextNode
from core.services.record import build_record
from core.settings import read_secret
from core.store import sha256_of

LONGEST_BACK_OFF = 3600
_OF = {
    "ACCEPTED": PackageState.ACCEPTED,
    "QUARANTINED": PackageState.QUARANTINED,
    "REFUSED": PackageState.QUARANTINED,
}


def pack(node: SiteNode, package_id: UUID) -> None:
    """The job `pack`: DEIDENTIFIED -> STAGED. The plain archive goes through a pipe, never to disk. May run twice."""
    with reading(node.engine) as session:
        package = session.get_one(Package, package_id)
        if package.state != PackageState.DEIDENTIFIED:
            return
        head = audit.head(session)
    draft = node.folder("scratch") / f"{package_id}.{token_hex(8)}.part"
    try:
        record = build_record(node, package, head)
        size, sha256 = _seal_to(node, draft, package, record)
        _stage(node, package, draft, size, sha256)
    except Refused as refusal:
        _held(node, package_id, refusal.message, {PackageState.DEIDENTIFIED})
    finally:
        draft.unlink(missing_ok=True)  # what did not become the sealed file would only take room


def _stage(node: SiteNode, package: Package, draft: Path, size: int, sha256: str) -> None:
    """The draft becomes the sealed file under the package's lock: file and row are of the same run."""
    header = envelope.make_header(_address(node, package), size, sha256)
    with transaction(node.engine, "pack.staged") as session:
        row = packages.locked(session, package.id)
        if row.state != PackageState.DEIDENTIFIED:
            return
        failpoints.hit("outbox.put:before")
        draft.replace(node.outbox(package.id))
        failpoints.hit("outbox.put:after")
        row.header, row.signature = header.decode(), envelope.sign_header(header, node.keys.signer())
        row.size, row.sha256, row.sent_bytes = size, sha256, 0
        packages.move(session, SYSTEM, row, PackageState.STAGED)
        jobs.enqueue(session, "send", "transfer", key=f"package:{row.id}", package_id=str(row.id))


def _address(node: SiteNode, package: Package) -> envelope.Address:
    return envelope.Address(
        contract_version=contract.CONTRACT_VERSION,
        site=node.site_code,
        site_key_id=signing.key_id(node.keys.signer().public_key()),
        recipient_key_id=envelope.recipient_key_id(node.central.recipient),
        package_id=package.id,
        case_version=package.case_version,
    )


def _seal_to(node: SiteNode, path: Path, package: Package, record: contract.CaseRecord) -> tuple[int, str]:
    """Archive -> pipe -> age -> file; (size, sha256) of the ciphertext."""
    source, sink = os.pipe()

    def write() -> None:
        with os.fdopen(sink, "wb") as out:
            archive.write_archive(out, record, _address(node, package), node.open_blob)

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        try:
            with os.fdopen(source, "rb") as plain, path.open("wb") as out:
                size, sha256 = envelope.encrypt(plain, out, node.central.recipient)
                out.flush()
                os.fsync(out.fileno())
        except OSError:
            raise Unavailable("The outbox cannot be written: is there room on the disk?") from None
        written.result()  # an archive that was cut short must never count as sealed
    return size, sha256


def send(node: SiteNode, package_id: UUID) -> None:
    """The job `send`: STAGED -> SENT, in resumable chunks. A dropped link keeps the package and tries again later."""
    with reading(node.engine) as session:
        package = packages.locked(session, package_id)
        if package.state not in {PackageState.STAGED, PackageState.SEND_FAILED}:
            return
    try:
        with node.outbox(package_id).open("rb") as file:
            if not packages.is_out(package):  # else only the relay's answer is missing
                _may_leave(node, package, file)
            read = _reader(node, package_id, file)
            header, signature = package.header or "", package.signature or ""
            with next_node(node) as relay:
                relay.deliver(node.site_code, package.id, header, signature, read, package.size or 0)
        failpoints.hit("send.delivered:after")
    except Unavailable as trouble:
        _failed(node, package_id, trouble.message)
    except FileNotFoundError:
        _failed(node, package_id, "The sealed file is missing from the outbox.")
    except Refused as refusal:
        _held(node, package_id, refusal.message, {PackageState.STAGED, PackageState.SEND_FAILED})
    else:
        with transaction(node.engine, "send.done") as session:
            row = packages.locked(session, package_id)
            if row.state in {PackageState.STAGED, PackageState.SEND_FAILED}:
                packages.move(session, SYSTEM, row, PackageState.SENT)


def _may_leave(node: SiteNode, package: Package, file: BinaryIO) -> None:
    """Raises Refused for a patient who opted out, an approval that is over, or a sealed file that is not the signed one."""
    node.check_ethics()
    if node.vault.is_opted_out(case_id=package.case_id):
        raise Refused("This patient has opted out.")
    if sha256_of(file)[0] != package.sha256:
        raise Refused("The sealed file in the outbox is damaged; register the case again.")


def _reader(node: SiteNode, package_id: UUID, file: BinaryIO) -> Callable[[int, int], bytes]:
    """Reads a chunk and remembers, before it leaves, how far the package is out; one that was taken back stays here."""
    furthest = 0

    def read(offset: int, length: int) -> bytes:
        nonlocal furthest
        if offset < furthest:
            raise Unavailable("The package arrived damaged; it is sent again.")
        file.seek(offset)
        chunk = file.read(length)
        furthest = offset + len(chunk)
        with transaction(node.engine, "send.chunk") as session:
            row = packages.locked(session, package_id)
            if row.state not in {PackageState.STAGED, PackageState.SEND_FAILED}:
                raise Refused("This package was taken back.")
            row.sent_bytes = max(row.sent_bytes, furthest)
        return chunk

    return read


def next_node(node: SiteNode) -> NextNode:
    settings = node.settings
    if not settings.relay_url:
        raise Unavailable("SONOBANK_RELAY_URL is not set; the package waits.")
    return NextNode(settings.relay_url, read_secret(settings.relay_token_file, "SONOBANK_RELAY_TOKEN_FILE"))


def _failed(node: SiteNode, package_id: UUID, reason: str) -> None:
    with transaction(node.engine, "send.failed") as session:
        row = packages.locked(session, package_id)
        if row.state == PackageState.STAGED:
            packages.move(session, SYSTEM, row, PackageState.SEND_FAILED, reason)
        elif row.state != PackageState.SEND_FAILED:
            return
        row.failures, row.reason = row.failures + 1, reason
        delay = min(LONGEST_BACK_OFF, 2**row.failures)
        jobs.enqueue(session, "send", "transfer", key=f"package:{row.id}", in_seconds=delay, package_id=str(row.id))


def _held(node: SiteNode, package_id: UUID, reason: str, states: set[PackageState]) -> None:
    """Nothing goes out; the case is a person's again, with the reason."""
    with transaction(node.engine, "send.held") as session:
        row = packages.locked(session, package_id)
        if row.state in states:
            packages.move(session, SYSTEM, row, PackageState.HELD, reason)
            case = cases.locked(session, row.case_id)
            if case.state == CaseState.REGISTERED:
                cases.move(session, SYSTEM, case, CaseState.CURATING)
                case.reason = reason


def retry(session: Session, actor: Actor, package_id: UUID) -> Package:
    """Queue a failed package again at once."""
    package = packages.locked(session, package_id)
    if package.state not in {PackageState.STAGED, PackageState.SEND_FAILED}:
        raise WrongState("Only a package that waits or failed can be sent again.")
    jobs.enqueue(session, "send", "transfer", key=f"package:{package.id}", package_id=str(package.id))
    audit.record(session, actor, "package.retry", package.id)
    return package


def poll(node: SiteNode) -> int:
    """Fetch central's signed messages from the relay and obey them in their order; returns how many."""
    with reading(node.engine) as session:
        last = session.exec(select(func.max(SignedMessage.n)).where(SignedMessage.site == node.site_code)).one() or 0
    count = 0
    with next_node(node) as relay:
        for entry in relay.messages(node.site_code, last):
            body, signature = str(entry["body"]), str(entry["signature"])
            message = messages.open_message(body.encode(), signature, node.central.verify_key, site=node.site_code)
            messages.accept_in_order(last, message)
            with transaction(node.engine, "poll.obey") as session:
                row = SignedMessage(site=message.site, n=message.n, body=body, signature=signature)
                session.add(row)
                session.flush()
                _obey(node, session, message, row)
            last, count = message.n, count + 1
    return count


def _obey(node: SiteNode, session: Session, message: messages.Message, row: SignedMessage) -> None:
    """Move the mirror of a package, or go for a model. A message about an unknown or changed package is recorded, not obeyed."""
    if isinstance(message, messages.ModelOffer):
        jobs.enqueue(session, "take_model", "transfer", key=f"model:{message.sha256}", message_id=str(row.id))
    package_id = getattr(message, "package_id", None)
    package = session.get(Package, package_id, with_for_update=True) if package_id else None
    if package is None:
        return
    if package.state in {PackageState.STAGED, PackageState.SEND_FAILED}:  # the answer outran our own commit
        packages.move(session, SYSTEM, package, PackageState.SENT)
    if (
        isinstance(message, messages.Receipt)
        and message.ciphertext_sha256 == package.sha256
        and package.state == PackageState.SENT
    ):
        packages.move(session, SYSTEM, package, _OF[message.verdict], ", ".join(message.reasons) or None)
        if message.verdict == "ACCEPTED":
            packages.schedule_purge(session, package, node.settings.purge_days)
    elif isinstance(message, messages.Replicated) and package.state == PackageState.ACCEPTED:
        packages.move(session, SYSTEM, package, PackageState.REPLICATED)
