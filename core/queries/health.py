"""How a node does: each thing that can stop the work, measured, with its level and a code for the words that a page says."""

import os
import platform
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import unquote, urlsplit

from cryptography import x509
from sqlmodel import Session, col, func, select, text

from core.clock import now_utc
from core.errors import BadConfiguration, Unavailable
from core.migrate import ROOT
from core.models.audit import AuditEvent
from core.models.bank import BankCase
from core.models.transfer import Package, PackageState, Parcel, ParcelState, SignedMessage
from core.node import CentralNode, Node, SiteNode
from core.queries.jobs import Task, tasks, workers

GROUPS: Final = ("node", "work", "exchange", "keys")
SKEW: Final = timedelta(seconds=5)
SEALER_LATE: Final = timedelta(minutes=1)
SEALER_GONE: Final = timedelta(minutes=10)
WAITED_LONG: Final = timedelta(minutes=15)
RECEIPT_LATE: Final = timedelta(hours=24)
CERTIFICATE_SOON: Final = timedelta(days=30)
ETHICS_SOON: Final = timedelta(days=30)
ROOMY: Final = 5  # times the least free space: below it there is a warning


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True)
class Check:
    """One line. `says` names the sentence, `values` fill it: counts, bytes (names that end in _bytes), moments, days."""

    group: str
    name: str
    level: Level
    says: str
    values: Mapping[str, int | str | datetime | date] = field(default_factory=dict)


def checks(node: Node, session: Session) -> list[Check]:
    """Every check of this node's role, in the order in which they are shown."""
    found = [_database(session), *_disks(node), _store(node), *_work(node, session), _sealer(session)]
    if isinstance(node, SiteNode):
        found += [_relay(session), _receipts(session), _central_keys(node), _tokens(node), _ethics(node)]
    elif isinstance(node, CentralNode):
        found += [_replica(session), _quarantine(session)]
    found += _own_keys(node)
    return sorted(found, key=lambda check: GROUPS.index(check.group))


@dataclass(frozen=True)
class Version:
    """What runs here."""

    program: str
    python: str
    database: str
    schema: str


def version(session: Session) -> Version:
    schema = session.execute(text("SELECT version_num FROM alembic_version")).scalar()
    server = str(session.execute(text("SHOW server_version")).scalar()).partition(" ")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return Version(str(project["version"]), platform.python_version(), server, str(schema))


def _database(session: Session) -> Check:
    begun = monotonic()
    there = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    took = round((monotonic() - begun) * 1000)
    skew = abs(there - now_utc())
    if skew > SKEW:
        return Check("node", "database", Level.WARN, "database.skew", {"seconds": round(skew.total_seconds())})
    return Check("node", "database", Level.OK, "database.ok", {"ms": took})


def _disks(node: Node) -> Iterator[Check]:
    """A line for each folder; the least free space is what makes retrieval wait."""
    least = node.settings.least_free_mb << 20
    for name, folder in _folders(node):
        try:
            disk = shutil.disk_usage(folder)
        except OSError:
            yield Check("node", f"disk.{name}", Level.STOP, "disk.unreadable")
            continue
        values = {"free_bytes": disk.free, "total_bytes": disk.total, "least_bytes": least}
        level = Level.STOP if disk.free < least else Level.WARN if disk.free < ROOMY * least else Level.OK
        yield Check("node", f"disk.{name}", level, f"disk.{level}", values)


def _folders(node: Node) -> Iterator[tuple[str, Path]]:
    yield "data", node.settings.data_dir
    if isinstance(node, SiteNode):
        staging = node.settings.data_dir / "staging"
        yield "staging", staging if staging.exists() else node.settings.data_dir
    parts = urlsplit(node.settings.url_of_store())
    if parts.scheme == "file" and os.path.isdir(unquote(parts.path)):  # noqa: PTH112 -- the same folder as the store's own
        yield "store", Path(unquote(parts.path))


def _store(node: Node) -> Check:
    try:
        node.store.size("0" * 64)
    except Unavailable:
        return Check("node", "store", Level.STOP, "store.away")
    return Check("node", "store", Level.OK, "store.ok")


def _work(node: Node, session: Session) -> Iterator[Check]:
    alive, seen = workers(session, node.settings.stalled_seconds)
    if alive:
        yield Check("work", "workers", Level.OK, "workers.ok", {"count": alive})
    elif seen:
        yield Check("work", "workers", Level.STOP, "workers.gone", {"at": seen})
    else:
        yield Check("work", "workers", Level.STOP, "workers.never")
    found = tasks(session)
    yield _queue(found)
    failed = sum(task.failed for task in found)
    if failed:
        yield Check("work", "failed", Level.STOP, "failed.some", {"count": failed})
    else:
        yield Check("work", "failed", Level.OK, "failed.none")


def _queue(found: Sequence[Task]) -> Check:
    todo, doing = sum(task.todo for task in found), sum(task.doing for task in found)
    due = [task.oldest for task in found if task.oldest is not None]
    if due and now_utc() - min(due) > WAITED_LONG:
        return Check("work", "queue", Level.WARN, "queue.late", {"todo": todo, "at": min(due)})
    return Check("work", "queue", Level.OK, "queue.ok", {"todo": todo, "doing": doing})


def _sealer(session: Session) -> Check:
    open_ends = select(func.count(), func.min(AuditEvent.at)).where(col(AuditEvent.seq).is_(None))
    count, since = session.exec(open_ends).one()
    lag = now_utc() - since if since else timedelta()
    level = Level.STOP if lag > SEALER_GONE else Level.WARN if lag > SEALER_LATE else Level.OK
    if level is Level.OK:
        return Check("work", "sealer", level, "sealer.ok")
    return Check("work", "sealer", level, "sealer.late", {"count": count, "at": since or now_utc()})


def _relay(session: Session) -> Check:
    """The last signed message of central that came over the relay; who has sent nothing waits for none."""
    last: datetime | None = session.scalar(select(func.max(SignedMessage.created_at)))
    if last is not None:
        return Check("exchange", "relay", Level.OK, "relay.ok", {"at": last})
    sent = session.exec(select(func.min(Package.changed_at)).where(Package.state == PackageState.SENT)).one()
    if sent is not None and now_utc() - sent > RECEIPT_LATE:
        return Check("exchange", "relay", Level.WARN, "relay.silent", {"at": sent})
    return Check("exchange", "relay", Level.OK, "relay.nothing")


def _receipts(session: Session) -> Check:
    waits = col(Package.state).in_((PackageState.SENT, PackageState.RECEIVED))
    late = waits & (col(Package.changed_at) < now_utc() - RECEIPT_LATE)
    count = session.exec(select(func.count()).select_from(Package).where(late)).one()
    if count:
        return Check("exchange", "receipts", Level.WARN, "receipts.late", {"count": count})
    return Check("exchange", "receipts", Level.OK, "receipts.ok")


def _replica(session: Session) -> Check:
    count = session.exec(select(func.count()).where(col(BankCase.replicated_at).is_(None))).one()
    last = session.exec(select(func.max(BankCase.replicated_at))).one()
    if not count:
        return Check("exchange", "replica", Level.OK, "replica.ok")
    if last is None or now_utc() - last > RECEIPT_LATE:
        return Check("exchange", "replica", Level.WARN, "replica.late", {"count": count})
    return Check("exchange", "replica", Level.OK, "replica.waits", {"count": count})


def _quarantine(session: Session) -> Check:
    held = col(Parcel.state).in_((ParcelState.QUARANTINED, ParcelState.REFUSED))
    count = session.exec(select(func.count()).select_from(Parcel).where(held)).one()
    if count:
        return Check("exchange", "quarantine", Level.WARN, "quarantine.some", {"count": count})
    return Check("exchange", "quarantine", Level.OK, "quarantine.none")


def _central_keys(node: SiteNode) -> Check:
    try:
        _ = node.central
    except BadConfiguration:
        return Check("keys", "central-keys", Level.STOP, "central_keys.missing")
    return Check("keys", "central-keys", Level.OK, "central_keys.ok")


def _tokens(node: SiteNode) -> Check:
    """Whether the relay can be spoken to at all: its address and the file with our token."""
    path = node.settings.relay_token_file
    if not node.settings.relay_url or path is None:
        return Check("keys", "token", Level.STOP, "token.unset")
    if not os.access(path, os.R_OK):
        return Check("keys", "token", Level.STOP, "token.unreadable")
    return Check("keys", "token", Level.OK, "token.ok")


def _ethics(node: SiteNode) -> Check:
    until = node.settings.ethics_until
    if until is None or not node.settings.ethics_number:
        return Check("keys", "ethics", Level.WARN, "ethics.unset")
    last, today = date.fromisoformat(until), now_utc().astimezone(node.settings.zone).date()
    if last < today:
        return Check("keys", "ethics", Level.STOP, "ethics.over", {"day": last})
    level = Level.WARN if last - today < ETHICS_SOON else Level.OK
    return Check("keys", "ethics", level, f"ethics.{level}", {"day": last})


def _own_keys(node: Node) -> Iterator[Check]:
    if isinstance(node, SiteNode):
        yield Check("keys", "own-keys", Level.OK, "own_keys.site", {"id": node.keys.signer_id})
    elif isinstance(node, CentralNode):
        yield Check("keys", "own-keys", Level.OK, "own_keys.central")
    if node.settings.tls_cert_file is not None:
        yield _certificate(node.settings.tls_cert_file)
        return
    secure = node.settings.base_url.startswith("https:")
    if node.settings.demo or secure:
        yield Check("keys", "tls", Level.OK, "tls.ok" if secure else "tls.demo")
    else:
        yield Check("keys", "tls", Level.WARN, "tls.plain")


def _certificate(path: Path) -> Check:
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return Check("keys", "tls", Level.STOP, "certificate.unreadable")
    left = ends - now_utc()
    level = Level.STOP if left < timedelta() else Level.WARN if left < CERTIFICATE_SOON else Level.OK
    return Check("keys", "tls", level, f"certificate.{level}", {"day": ends.date()})
