"""Open a node from its settings: database up and migrated, keys checked, stores reachable, or a refusal that says the fix."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from core.db import make_engine, ping
from core.deid.text_line import TEXT_MEMORY, TEXT_SECONDS
from core.errors import BadConfiguration
from core.migrate import upgrade_main
from core.node import CentralNode, Node, SiteNode
from core.package import central_keys
from core.permissions import Actor
from core.postgres import EmbeddedPostgres, check_server
from core.sandbox import Sandbox
from core.settings import Settings
from core.store import open_store
from core.vault import ChartIdRule, Keys, Vault, is_demo, load_keys
from core.vault import migrate as vault_migrate

DATABASE, OWNER, VAULT_OWNER = "sonobank", "sonobank", "sonobank_vault"


@dataclass(frozen=True)
class Urls:
    """Where the main tables and, at the site, the vault's schema are."""

    main: str
    vault: str | None


@contextmanager
def database_of(settings: Settings) -> Iterator[Urls]:
    """The URLs of this node's database; the embedded PostgreSQL runs as long as some process of the node needs it."""
    if settings.database_url:
        yield Urls(settings.database_url, settings.vault_database_url)
        return
    postgres = EmbeddedPostgres(settings.data_dir / "pg", settings.keys / "database")
    postgres.start()
    try:
        main = postgres.ensure_database(DATABASE, OWNER, postgres.password(OWNER))
        vault = None
        if settings.role == "site":
            vault = postgres.ensure_schema(DATABASE, "vault", VAULT_OWNER, postgres.password(VAULT_OWNER))
        yield Urls(main, vault)
    finally:
        postgres.stop()


@contextmanager
def open_node(settings: Settings, *, demo_keys_allowed: bool | None = None) -> Iterator[Node]:
    """A node ready for work. Raises BadConfiguration with the fix when anything is wrong."""
    _harden(settings)
    with database_of(settings) as urls:
        _check(urls.main)
        upgrade_main(urls.main)
        if urls.vault:
            vault_migrate.upgrade(urls.vault)
        node = _assemble(settings, urls, settings.demo if demo_keys_allowed is None else demo_keys_allowed)
        try:
            ping(node.engine)
            yield node
        finally:
            node.close()


def _check(url: str) -> None:
    engine = make_engine(url)
    try:
        check_server(engine)
    finally:
        engine.dispose()


def _harden(settings: Settings) -> None:
    """No core dumps, private files, and a temporary folder that is this node's own."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    settings.data_dir.mkdir(parents=True, exist_ok=True)


def _assemble(settings: Settings, urls: Urls, demo_allowed: bool) -> Node:
    engine = make_engine(urls.main)
    store = open_store(settings.url_of_store(), "store")
    sandbox = Sandbox(size=settings.decode_processes, memory_bytes=settings.decode_memory_mb << 20)
    if settings.role == "site":
        return _site(settings, urls, demo_allowed, Node(settings=settings, engine=engine, store=store, sandbox=sandbox))
    if settings.role == "central":
        keys = central_keys.load(settings.keys, settings.data_dir)
        _refuse_demo(keys.demo, demo_allowed)
        replica = open_store(settings.replica_url or f"file://{settings.data_dir / 'replica'}", "replica")
        return CentralNode(settings=settings, engine=engine, store=store, sandbox=sandbox, keys=keys, replica=replica)
    return Node(settings=settings, engine=engine, store=store, sandbox=sandbox)


def _site(settings: Settings, urls: Urls, demo_allowed: bool, base: Node) -> SiteNode:
    keys: Keys = load_keys(settings.keys / "site", settings.data_dir)
    _refuse_demo(is_demo(keys), demo_allowed)
    if urls.vault is None:
        raise BadConfiguration("SONOBANK_VAULT_DATABASE_URL is needed for the role site.")
    rule = ChartIdRule(width=settings.chart_id_width, issuer=settings.chart_id_issuer)

    def on_reveal(case_id: UUID, purpose: str, actor: str) -> None:
        base.audit_now(Actor(actor, None), "vault.reveal", case_id, purpose=purpose)

    vault = Vault(make_engine(urls.vault, pool_size=4), keys, settings.data_dir / "staging", rule, on_reveal)
    vault.staging.least_free_bytes = settings.least_free_mb << 20
    # One, and apart: the models of a reader take 450 MB, which children that only decode do not need.
    reader = Sandbox(size=1, memory_bytes=TEXT_MEMORY, wall_seconds=TEXT_SECONDS)
    return SiteNode(
        settings=settings,
        engine=base.engine,
        store=base.store,
        sandbox=base.sandbox,
        vault=vault,
        keys=keys,
        reader=reader,
    )


def _refuse_demo(is_demo_key: bool, allowed: bool) -> None:
    if is_demo_key and not allowed:
        raise BadConfiguration(
            "These keys were made by the demo and must not guard real data: make your own with `./run admin keys create`."
        )
