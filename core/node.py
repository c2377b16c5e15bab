"""One running node: its settings, database, stores, keys and sandbox, opened once and handed to every service."""

import threading
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from sqlalchemy import Engine
from sqlmodel import Session

from core import audit
from core.clock import now_utc
from core.db import transaction
from core.errors import Refused
from core.inference.client import Client
from core.models.transfer import Package
from core.package import central_keys
from core.package.central_keys import CentralKeys, CentralPublicKeys
from core.permissions import Actor
from core.sandbox import Sandbox
from core.settings import Settings
from core.store import BlobReader, Store
from core.vault import Keys, Staging, Vault


@dataclass(kw_only=True)
class Node:
    """What every role has. `pacs` and `relay` are plain nodes."""

    settings: Settings
    engine: Engine
    store: Store
    sandbox: Sandbox
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when this process is to end: work that takes hours looks at it."""

    def audit_now(self, actor: Actor, verb: str, subject: object = "", **detail: str | int) -> None:
        """An event in a transaction of its own: it stays even when the request is refused."""
        with transaction(self.engine, "audit.now") as session:
            audit.record(session, actor, verb, subject, None, None, **detail)

    @cached_property
    def inference(self) -> Client:
        """Asks the process that holds this node's models (`workers.infer`)."""
        return Client(self.folder("infer") / "socket")

    def close(self) -> None:
        self.inference.close()
        self.sandbox.close()
        self.engine.dispose()

    def folder(self, name: str) -> Path:
        """A private folder of this node's data."""
        folder = self.settings.data_dir / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


@dataclass(kw_only=True)
class SiteNode(Node):
    """The hospital's node: it alone has a vault and a sandbox that reads text, and knows central only by its public keys."""

    vault: Vault
    keys: Keys
    reader: Sandbox

    @property
    def staging(self) -> Staging:
        return self.vault.staging

    def close(self) -> None:
        self.vault.close()
        self.reader.close()
        super().close()

    @property
    def site_code(self) -> str:
        return self.settings.site_code or ""

    @cached_property
    def central(self) -> CentralPublicKeys:
        return central_keys.load_public(self.settings.central_keys_file)

    def check_ethics(self) -> None:
        """Raise Refused when the approved period of this site's ethics number is over."""
        until = self.settings.ethics_until
        if until and now_utc().astimezone(self.settings.zone).date() > date.fromisoformat(until):
            raise Refused("The ethics approval of this site has ended; nothing is flagged, released or sent.")

    def outbox(self, package_id: UUID) -> Path:
        return self.folder("outbox") / f"{package_id}.age"

    def open_blob(self, sha256: str) -> BinaryIO:
        return BlobReader(self.store, sha256)

    def sweep_outbox(self, session: Session) -> int:
        """Delete sealed files that are answered or belong to no package; returns how many."""
        removed = 0
        for path in self.folder("outbox").glob("*.age"):
            package = session.get(Package, UUID(path.stem))
            if package is None or package.state not in {"DEIDENTIFIED", "STAGED", "SEND_FAILED", "SENT", "RECEIVED"}:
                path.unlink(missing_ok=True)
                removed += 1
        return removed


@dataclass(kw_only=True)
class CentralNode(Node):
    keys: CentralKeys
    replica: Store
