"""The demo's nodes: where their data, keys and ports are, their people and secrets, and their processes."""

import json
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlmodel import Session, select

from commands.admin import OPERATOR, add_site
from commands.processes import NodeProcess
from core.db import make_engine, transaction
from core.migrate import upgrade_main
from core.models.people import Role, User
from core.opening import database_of
from core.package import central_keys, signing
from core.permissions import Verb
from core.services import accounts
from core.settings import PORTS, Settings, load
from core.vault import create_keys, load_keys, migrate

_YEAR: Final = timedelta(days=365)
# A site parses and seals what it pulls: one Python process keeps one core busy.
WORKERS: Final = {"pacs": 0, "site": 2, "relay": 1, "central": 1}
_HUMANS: Final = tuple(role for role in Role if role is not Role.MACHINE)
PEOPLE: Final[dict[str, dict[str, tuple[Role, ...]]]] = {
    "site": {
        "examiner": (Role.EXAM,),
        "curator": (Role.CUR, Role.REG),
        "transfer": (Role.XFER,),
        "desk": (Role.PTDESK,),
        "it": (Role.SITEIT,),
        "auditor": (Role.AUD,),
        "admin": _HUMANS,
    },
    "central": {"lead": (Role.DOM, Role.CENOP), "developer": (Role.AIDEV,), "auditor": (Role.AUD,), "admin": _HUMANS},
    "pacs": {"admin": (Role.SITEIT, Role.ADMIN)},
    "relay": {},
}


@dataclass(frozen=True)
class DemoNode:
    """One node: its folder name, role, port and the environment of its processes."""

    name: str
    role: str
    port: int
    env: dict[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> Settings:
        """What is needed to open this node's database from here."""
        places = {name: self.env[f"SONOBANK_{name.upper()}"] for name in ("data_dir", "keys_dir")}
        return load(role=self.role, demo=True, port=self.port, site_code=self.env.get("SONOBANK_SITE_CODE"), **places)


class Layout:
    """Folders and ports of the demo. Keys lie beside no data: `keys/NAME` against `NAME`."""

    def __init__(self, folder: Path, sites: int, base_port: int) -> None:
        self.folder = folder
        self._shift = shift = base_port - PORTS["site"]
        names = ["site"] + [f"site{number}" for number in range(2, sites + 1)]
        self.codes = {name: f"DEMO{number:02d}" for number, name in enumerate(names, 1)}
        self.relay = self._node("relay", "relay", PORTS["relay"] + shift, self._relay())
        self.central = self._node("central", "central", PORTS["central"] + shift, self._central())
        self.pacs = self._node("pacs", "pacs", PORTS["pacs"] + shift, {})
        self.sites = [
            self._node(name, "site", base_port + (0 if number == 0 else 40 + number), self._site(name))
            for number, name in enumerate(names)
        ]

    @property
    def nodes(self) -> list[DemoNode]:
        return [self.pacs, *self.sites, self.relay, self.central]

    def keys(self, name: str) -> Path:
        return self.folder / "keys" / name

    def _node(self, name: str, role: str, port: int, more: dict[str, str]) -> DemoNode:
        env = {
            "SONOBANK_ROLE": role,
            "SONOBANK_DATA_DIR": str(self.folder / name),
            "SONOBANK_KEYS_DIR": str(self.keys(name)),
            "SONOBANK_PORT": str(port),
            "SONOBANK_DEMO": "true",
            "SONOBANK_DOMAINS": '["liver", "breast", "heart"]',
            "SONOBANK_LOG_LEVEL": "WARNING",
            "SONOBANK_POLL_SECONDS": "1",
        }
        return DemoNode(name, role, port, env | more)

    def _site(self, name: str) -> dict[str, str]:
        return {
            "SONOBANK_SITE_CODE": self.codes[name],
            "SONOBANK_PEERS_FILE": str(self.keys(name) / "peers.json"),
            "SONOBANK_WINDOWS": json.dumps([{"begin": "00:00", "end": "12:00"}, {"begin": "12:00", "end": "00:00"}]),
            "SONOBANK_RELEASE_DELAY_SECONDS": "0",
            "SONOBANK_RETRIEVE_CONCURRENCY": "4",
            "SONOBANK_RELAY_URL": self.relay.url,
            "SONOBANK_RELAY_TOKEN_FILE": str(self.keys(name) / "relay.token"),
            "SONOBANK_CENTRAL_KEYS_FILE": str(self.keys(name) / "central.json"),
            "SONOBANK_LEAST_FREE_MB": "64",
        }

    def _relay(self) -> dict[str, str]:
        central = PORTS["central"] + self._shift
        return {
            "SONOBANK_CENTRAL_URL": f"http://127.0.0.1:{central}",
            "SONOBANK_CENTRAL_TOKEN_FILE": str(self.keys("relay") / "central.token"),
        }

    def _central(self) -> dict[str, str]:
        return {"SONOBANK_REPLICA_URL": f"file://{self.folder / 'bucket'}"}


def write_secret(path: Path, text: str) -> None:
    """A file that only its owner can read, replaced whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


@contextmanager
def databases(layout: Layout) -> Iterator[dict[str, str]]:
    """Every node's database up and migrated, for as long as the demo lives; {node name: URL of its main tables}."""
    with ExitStack() as stack:
        contexts = {node.name: database_of(node.settings()) for node in layout.nodes}
        with ThreadPoolExecutor(len(contexts)) as pool:
            entered = {name: pool.submit(context.__enter__) for name, context in contexts.items()}
            for name, future in entered.items():
                future.exception() or stack.push(contexts[name].__exit__)
            urls = {name: future.result() for name, future in entered.items()}
        for found in urls.values():
            upgrade_main(found.main)
            if found.vault:
                migrate.upgrade(found.vault)
        yield {name: found.main for name, found in urls.items()}


def make_keys(layout: Layout) -> None:
    """Demo keys of central and of each site, where they are missing."""
    if not (layout.keys("central") / "central.json").exists():
        central_keys.create(layout.keys("central"), demo=True)
    public = central_keys.load(layout.keys("central"), layout.folder / "central").public().dump()
    for node in layout.sites:
        if not (layout.keys(node.name) / "site").exists():
            create_keys(layout.keys(node.name) / "site", demo=True)
        write_secret(layout.keys(node.name) / "central.json", public)


def provision(layout: Layout, urls: dict[str, str]) -> dict[str, Any]:
    """People, machines and tokens of every node; returns the demo's papers. Made once; a second start reads them."""
    papers_path = layout.folder / "demo.json"
    if papers_path.exists():
        papers: dict[str, Any] = json.loads(papers_path.read_text())
        if all(node.name in papers for node in layout.nodes):
            return papers
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda node: _provision_node(layout, node, urls[node.name]), layout.nodes))
    papers = {node.name: paper for node, paper in zip(layout.nodes, made, strict=True)}
    for node in layout.sites:
        peer = {
            "name": "pacs",
            "url": f"{layout.pacs.url}/dicom-web",
            "token_file": str(layout.keys(node.name) / "pacs.token"),
        }
        write_secret(layout.keys(node.name) / "pacs.token", papers["pacs"]["tokens"]["admin"])
        write_secret(layout.keys(node.name) / "peers.json", json.dumps([peer]))
    write_secret(papers_path, json.dumps(papers, indent=1))
    return papers


def _provision_node(layout: Layout, node: DemoNode, url: str) -> dict[str, Any]:
    engine = make_engine(url)
    paper: dict[str, Any] = {"url": node.url, "users": {}, "tokens": {}}
    with transaction(engine, "demo.provision") as session:
        for name, roles in PEOPLE[node.role].items():
            paper["users"][name] = secrets.token_urlsafe(12)
            user = _user(session, name, paper["users"][name], roles)
            if name in {"admin", "developer"}:
                paper["tokens"][name] = _token(session, user)
        if node.role in {"relay", "central"}:
            _machines(session, layout, node)
            for site in layout.sites:
                keys = load_keys(layout.keys(site.name) / "site", layout.folder / site.name)
                add_site(session, layout.codes[site.name], site.name, signing.write_public(keys.signer().public_key()))
    engine.dispose()
    return paper


def _user(session: Session, name: str, password: str | None, roles: tuple[Role, ...], site: str | None = None) -> User:
    known = session.exec(select(User).where(User.name == name)).first()
    if known is not None:  # a provisioning that was killed half way begins again
        session.delete(known)
        session.flush()
    return accounts.create_user(session, OPERATOR, name, password, [(role, "*") for role in roles], site)


def _token(session: Session, user: User) -> str:
    held = [verb.value for verb, _ in accounts.actor_of(session, user).rights]
    return accounts.create_token(session, user, "demo", held, _YEAR, OPERATOR)[1]


def _machines(session: Session, layout: Layout, node: DemoNode) -> None:
    """At the relay a machine for each site, at central one for the relay."""
    wanted = [("relay", "*", layout.keys("relay") / "central.token")]
    if node.role == "relay":
        wanted = [(site.name, layout.codes[site.name], layout.keys(site.name) / "relay.token") for site in layout.sites]
    for name, code, path in wanted:
        machine = _user(session, f"machine-{name}", None, (Role.MACHINE,), code)
        scopes = [Verb.DELIVER.value]
        write_secret(path, accounts.create_token(session, machine, "demo", scopes, _YEAR, OPERATOR)[1])


def start(layout: Layout, log_folder: Path) -> dict[str, NodeProcess]:
    """The doors and the workers, each a process of its own that ends with this one."""
    log_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {name: launch(*wanted, log_folder) for name, wanted in programs(layout).items()}


def programs(layout: Layout) -> dict[str, tuple[DemoNode, str]]:
    """{process name: (node, verb)}: a door for each node, and its workers."""
    wanted = {f"{node.name}-serve": (node, "serve") for node in layout.nodes}
    for node in layout.nodes:
        for number in range(1, WORKERS[node.role] + 1):
            wanted[f"{node.name}-worker" + (f"-{number}" if number > 1 else "")] = (node, "worker")
    return wanted


def launch(node: DemoNode, verb: str, log_folder: Path) -> NodeProcess:
    """One process of a node; the failpoints of this process are its own too."""
    armed = {key: value for key, value in os.environ.items() if key.startswith("SONOBANK_FAILPOINT")}
    return NodeProcess(verb, node.role, armed | node.env, log_folder / f"{node.name}-{verb}.log")
