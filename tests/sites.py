"""A site's node inside the test process, with people and a PACS of the test's choice."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import time
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pyrage import x25519

from core.clock import now_utc
from core.db import reading, transaction
from core.models.people import Role
from core.models.sitecase import SiteCase, SiteImage
from core.node import SiteNode
from core.opening import open_node
from core.package.central_keys import CentralPublicKeys
from core.permissions import SYSTEM, Actor
from core.queries.cases import images_of
from core.services import accounts, cases, retrieve
from core.settings import Settings, Window, load
from core.vault import create_keys


def site_settings(folder: Path, peer_url: str | None, **more: Any) -> Settings:
    """Settings of a site in `folder` whose window is always open."""
    peers = folder / "peers.json"
    folder.mkdir(parents=True, exist_ok=True)
    peers.write_text(json.dumps([{"name": "pacs", "url": peer_url, "timeout_seconds": 3}] if peer_url else []))
    keys = CentralPublicKeys(x25519.Identity.generate().to_public(), Ed25519PrivateKey.generate().public_key())
    (folder / "central.json").write_text(keys.dump())
    if not (folder / "keys" / "site").exists():
        create_keys(folder / "keys" / "site", demo=True)
    always = (Window(begin=time(0), end=time(12)), Window(begin=time(12), end=time(0)))
    values: dict[str, Any] = {
        "role": "site", "site_code": "TEST01", "data_dir": folder / "data", "keys_dir": folder / "keys", "demo": True,
        "peers_file": peers, "windows": always, "release_delay_seconds": 0, "central_keys_file": folder / "central.json",
        "least_free_mb": 64,
    }  # fmt: skip
    return load(**(values | more))


@contextmanager
def open_site(folder: Path, peer_url: str | None = None, **more: Any) -> Iterator[SiteNode]:
    with open_node(site_settings(folder, peer_url, **more)) as node:
        assert isinstance(node, SiteNode)
        yield node


def person(node: SiteNode, name: str = "ana", *roles: Role) -> Actor:
    """A new person with these roles for every domain (curator and registrar if none is named)."""
    grants = [(role, "*") for role in roles or (Role.EXAM, Role.CUR, Role.REG)]
    with transaction(node.engine, "test") as session:
        return accounts.actor_of(session, accounts.create_user(session, SYSTEM, name, None, grants))


def flag(node: SiteNode, actor: Actor, **request: Any) -> UUID:
    with transaction(node.engine, "test") as session:
        case, _ = cases.flag(node, session, actor, cases.FlagRequest(**({"domain": "liver"} | request)))
        return case.id


def pull(node: SiteNode, case_id: UUID) -> SiteCase:
    """Start what is due and run this case's retrieval here; returns the case as it is then."""
    with transaction(node.engine, "test") as session:
        session.get_one(SiteCase, case_id).not_before = None
        session.flush()
        retrieve.start_due(session, node.settings, now_utc())
    retrieve.retrieve(node, case_id)
    return case_of(node, case_id)


def case_of(node: SiteNode, case_id: UUID) -> SiteCase:
    with reading(node.engine) as session:
        return session.get_one(SiteCase, case_id)


def images(node: SiteNode, case_id: UUID) -> list[SiteImage]:
    with reading(node.engine) as session:
        return list(images_of(session, case_id))
