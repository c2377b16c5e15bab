"""What a node does by the clock: seal the audit, start retrievals, poll the next node, purge, sweep."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from procrastinate.exceptions import ConnectorException
from sqlmodel import select

from core import audit
from core.db import transaction
from core.errors import AppError
from core.models.sitecase import SiteImage
from core.node import CentralNode, Node, SiteNode
from core.permissions import SYSTEM
from core.services import (
    blobs,
    cases,
    forward,
    issue,
    receive,
    registering,
    release,
    reminders,
    replicate,
    retrieve,
    send,
)

log = logging.getLogger(__name__)
HOUR: Final = 3600.0


@dataclass
class Chore:
    """One thing done every `seconds`; trouble is logged and tried again at its next turn."""

    name: str
    seconds: float
    work: Callable[[], object]
    due: float = 0.0


class Upkeep:
    """A thread that does the chores of this node's role until it is stopped."""

    def __init__(self, node: Node) -> None:
        self._stop = threading.Event()
        self._chores = chores_of(node)

    def run(self) -> None:
        while not self._stop.wait(0.1):
            for chore in self._chores:
                if chore.due > time.monotonic():
                    continue
                try:
                    chore.work()
                except AppError as trouble:
                    log.warning("%s: %s", chore.name, trouble.message)
                except ConnectorException:
                    log.warning("%s: the queue does not answer", chore.name)
                except OSError:
                    log.warning("%s: a file cannot be read or written; is there room on the disk?", chore.name)
                chore.due = time.monotonic() + chore.seconds

    def stop(self) -> None:
        self._stop.set()


def chores_of(node: Node) -> list[Chore]:
    """The chores of a role; several workers may do the same ones at once."""
    chores = [Chore("audit.seal", 1.0, lambda: audit.seal(node.engine))]
    poll = node.settings.poll_seconds
    if isinstance(node, SiteNode):
        chores += [
            Chore("retrieve.start", min(1.0, poll), lambda: retrieve.start_waiting(node)),
            Chore("poll", poll, lambda: send.poll(node)),
            Chore("purge", min(HOUR, 10 * poll), lambda: _purge(node)),
            Chore("sweep", HOUR, lambda: _sweep_site(node)),
            Chore("remind", min(HOUR / 6, 20 * poll), lambda: reminders.send_due(node)),
        ]
    elif isinstance(node, CentralNode):
        chores += [
            Chore("audit.head", HOUR, lambda: replicate.export_audit_head(node)),
            Chore("sweep", HOUR, lambda: _sweep_central(node)),
            Chore("offer", min(HOUR, 20 * poll), lambda: _offer(node)),
            Chore("reconcile", 24 * HOUR, lambda: replicate.reconcile(node)),
        ]
    elif node.settings.role == "relay":
        chores.append(Chore("mirror", poll, lambda: forward.mirror_messages(node)))
    return chores


def _purge(node: SiteNode) -> None:
    with transaction(node.engine, "purge") as session:
        for case in registering.due_for_purge(session):
            cases.purge(node, session, SYSTEM, case)


def _offer(node: CentralNode) -> None:
    """A site that was added since gets the models that are in effect."""
    with transaction(node.engine, "offer.models") as session:
        issue.tell_models(node, session)


def _sweep_central(node: CentralNode) -> None:
    blobs.sweep(node.engine, node.store, receive.unreferenced_blobs)
    blobs.sweep_scratch(node.folder("scratch"))


def _sweep_site(node: SiteNode) -> None:
    blobs.sweep_scratch(node.folder("scratch"))
    blobs.sweep(node.engine, node.store, release.unreferenced_blobs)
    with transaction(node.engine, "sweep.staging") as session:
        node.staging.sweep(set(session.exec(select(SiteImage.id))))
        node.sweep_outbox(session)
