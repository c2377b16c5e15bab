"""A model that central promotes reaches the sites: signed, by the relay, whole, once; there a person accepts it or not."""

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import col, delete, select

from core.db import reading, transaction
from core.errors import Refused, Unavailable
from core.inference import folder as model_folder
from core.models.audit import AuditEvent
from core.models.bank import Site
from core.models.people import Role
from core.models.registry import ModelFile, ModelState, ModelVersion
from core.models.transfer import SignedMessage
from core.node import CentralNode, SiteNode
from core.security import session_cookie_name
from core.services import forward, issue, offers, registry, send
from tests.gateway import Door, add_site
from tests.modelled import person_of, put_in_effect
from tests.postgres_fixture import ScratchPostgres
from tests.served import SITE, Served, serve
from tests.tiny_models import bright_cells, save, save_pipeline

OTHER = "OSAKA02"


@dataclass
class Three:
    """A site, the relay and central, each in this process; `relay` and `central` are the doors of the one before."""

    site: Served
    relay: Door
    central: Door

    @property
    def node(self) -> SiteNode:
        assert isinstance(self.site.node, SiteNode)
        return self.site.node

    def mirror(self) -> int:
        return forward.mirror_messages(self.relay.served.node)

    def obey(self) -> int:
        """The site polls, and does the jobs that it queued."""
        count = send.poll(self.node)
        for row in rows(self.node, SignedMessage)[-count:] if count else []:
            offers.take(self.node, row.id)
        return count

    def travel(self) -> None:
        self.mirror()
        self.obey()

    def models(self) -> list[tuple[str, int, str]]:
        return sorted((m.name, m.version, m.state) for m in rows(self.node, ModelVersion))


def page(served: Served, name: str, path: str) -> str:
    """A page in English, as this person sees it."""
    cookie = f"{session_cookie_name(served.settings)}={served.cookie(name)}"
    answer = served.client.get(path, headers={"Cookie": cookie, "Accept-Language": "en"})
    assert answer.status_code == 200
    return answer.text


def rows(node: Any, kind: Any) -> list[Any]:
    with reading(node.engine) as session:
        return sorted(session.exec(select(kind)), key=lambda row: (getattr(row, "n", 0), row.id))


@pytest.fixture(scope="module")
def nodes(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    keys = tmp_path_factory.mktemp("offers") / "central.json"
    with ExitStack() as stack:
        central = stack.enter_context(serve(postgres, "central"))
        relay = stack.enter_context(serve(postgres, "relay"))
        assert isinstance(central.node, CentralNode)
        keys.write_text(central.node.keys.public().dump())
        site = stack.enter_context(serve(postgres, "site", central_keys_file=keys))
        assert isinstance(site.node, SiteNode)
        for served in (relay, central):
            add_site(served, SITE, site.node.keys.signer())
        central.person("lead", [(Role.DOM, "*")])
        site.person("head", [(Role.SITEPI, "*")])
        site.person("it", [(Role.SITEIT, "*")])
        yield Three(site, Door.opened(relay, SITE), Door.opened(central, SITE, "*"))


@pytest.fixture
def three(nodes: Three, monkeypatch: pytest.MonkeyPatch) -> Three:
    """The three without a model and without a message."""
    monkeypatch.setattr(send, "next_node", lambda node: nodes.relay.courier())
    monkeypatch.setattr(forward, "central_of", lambda node: nodes.central.courier())
    for served in (nodes.site, nodes.relay.served, nodes.central.served):
        with transaction(served.node.engine, "test.clean") as session:
            for kind in (ModelFile, ModelVersion, SignedMessage):
                session.exec(delete(kind))
            session.exec(delete(Site).where(col(Site.code) == OTHER))
    return nodes


def test_a_promoted_model_waits_at_the_site_for_a_person(three: Three, tmp_path: Path) -> None:
    put_in_effect(three.central.served, save_pipeline(tmp_path / "one"), "lead")
    three.travel()
    assert three.models() == [("tiny-liver", 1, "REGISTERED")]
    (here,), (there,) = rows(three.node, ModelVersion), rows(three.central.served.node, ModelVersion)
    assert (here.sha256, here.domain, here.registered_by) == (there.sha256, "liver", None)
    with transaction(three.node.engine, "test.accept") as session:
        registry.take_effect(three.node, session, person_of(three.site, "head"), here.id)
        folder = registry.unpack(three.node, registry.files_of(session, here), tmp_path / "unpacked")
    assert three.models() == [("tiny-liver", 1, "ACCEPTED")]
    assert (folder / "pipeline.json").read_bytes() == (tmp_path / "one/pipeline.json").read_bytes()
    assert "from central" in page(three.site, "head", f"/models/{here.id}")
    offered = page(three.central.served, "lead", f"/models/{there.id}")
    assert "Offered to" in offered and SITE in offered
    with reading(three.central.served.node.engine) as session:
        verbs = list(session.exec(select(AuditEvent.verb).where(AuditEvent.subject == str(there.id))))
    assert sorted(verbs) == ["model.offered", "model.promoted", "model.registered"]


def test_everything_may_run_twice(three: Three, tmp_path: Path) -> None:
    central = three.central.served.node
    assert isinstance(central, CentralNode)
    put_in_effect(three.central.served, save_pipeline(tmp_path / "one"), "lead")
    with transaction(central.engine, "test.again") as session:
        assert issue.tell_models(central, session) == 0
    three.travel()
    for row in rows(three.node, SignedMessage):
        offers.take(three.node, row.id)
    assert three.mirror() == 0 and three.obey() == 0
    assert three.models() == [("tiny-liver", 1, "REGISTERED")]


def test_a_site_hears_of_a_roll_back_and_of_a_retirement_and_decides_itself(three: Three, tmp_path: Path) -> None:
    central = three.central.served
    lead = person_of(central, "lead")
    first = put_in_effect(central, save_pipeline(tmp_path / "one"), "lead")
    second = put_in_effect(central, save_pipeline(tmp_path / "two", version=2), "lead")
    three.travel()
    (new,) = [model for model in rows(three.node, ModelVersion) if model.version == 2]
    with transaction(three.node.engine, "test.accept") as session:
        registry.take_effect(three.node, session, person_of(three.site, "head"), new.id)
    assert "no longer uses" not in page(three.site, "head", f"/models/{new.id}")
    with transaction(central.node.engine, "test.back") as session:
        registry.take_effect(central.node, session, lead, UUID(first))
    three.travel()
    assert "Central no longer uses tiny-liver v2, which is in effect here." in page(three.site, "head", "/models")
    assert "Accept the one that central uses now" in page(three.site, "head", f"/models/{new.id}")
    assert three.models() == [("tiny-liver", 1, "REGISTERED"), ("tiny-liver", 2, "ACCEPTED")]
    with transaction(central.node.engine, "test.retire") as session:
        registry.retire(central.node, session, lead, UUID(first))
    with transaction(central.node.engine, "test.forth") as session:
        registry.take_effect(central.node, session, lead, UUID(second))
    three.travel()
    assert "which is in effect here" not in page(three.site, "head", "/models")
    words = [(json.loads(row.body)["kind"], json.loads(row.body)["version"]) for row in rows(three.node, SignedMessage)]
    offered, gone = "model", "model_withdrawn"
    assert words[:1] == [(offered, 1)] and set(words[1:3]) == {(gone, 1), (offered, 2)}
    assert set(words[3:5]) == {(offered, 1), (gone, 2)} and words[5:] == [(gone, 1), (offered, 2)]


def test_what_central_no_longer_uses_is_not_awaited(three: Three, tmp_path: Path) -> None:
    central = three.central.served
    model = put_in_effect(central, save_pipeline(tmp_path / "one"), "lead")
    with transaction(central.node.engine, "test.retire") as session:
        registry.retire(central.node, session, person_of(central, "lead"), UUID(model))
    three.mirror()
    assert send.poll(three.node) == 2
    with reading(three.node.engine) as session:
        assert offers.coming(session) == []


def test_a_site_that_comes_later_gets_what_is_in_effect(three: Three, tmp_path: Path) -> None:
    central = three.central.served.node
    assert isinstance(central, CentralNode)
    put_in_effect(three.central.served, save_pipeline(tmp_path / "one"), "lead")
    put_in_effect(three.central.served, save_pipeline(tmp_path / "two", version=2), "lead")
    add_site(three.central.served, OTHER, Ed25519PrivateKey.generate())
    with transaction(central.engine, "test.offer") as session:
        assert issue.tell_models(central, session) == 1
    told = [(m.site, json.loads(m.body)["version"]) for m in rows(central, SignedMessage)]
    assert sorted(told) == [(SITE, 1), (SITE, 1), (SITE, 2), (OTHER, 2)]


def test_what_may_not_leave_stays(three: Three, tmp_path: Path) -> None:
    folder = save(tmp_path / "agpl", bright_cells(64, 16), side=64, task="detect", decode="fcos", classes=["lesion"],
                  licence="AGPL-3.0", shippable=False)  # fmt: skip
    put_in_effect(three.central.served, folder, "lead")
    assert rows(three.central.served.node, SignedMessage) == []
    (model,) = rows(three.central.served.node, ModelVersion)
    assert model.state == ModelState.PROMOTED


def test_the_door_gives_offered_files_only_and_to_their_site_only(three: Three, tmp_path: Path) -> None:
    central = three.central.served
    put_in_effect(central, save_pipeline(tmp_path / "one"), "lead")
    (message,) = rows(central.node, SignedMessage)
    file = max(json.loads(message.body)["files"], key=lambda one: one["size"])
    place = f"/api/v1/messages?site={SITE}&file="
    whole = three.central.request("GET", f"{place}{file['sha256']}")
    rest = three.central.request("GET", f"{place}{file['sha256']}&offset={file['size'] - 5}")
    assert len(whole.content) == file["size"] and rest.content == whole.content[-5:]
    other = Door.opened(central, OTHER)
    secret = b"a picture of somebody"
    hidden = hashlib.sha256(secret).hexdigest()
    central.node.store.put(io.BytesIO(secret), hidden)
    for door, sha256 in ((other, file["sha256"]), (three.central, hidden), (three.central, "0" * 64)):
        assert door.request("GET", f"{place}{sha256}").status_code == 404
    assert three.central.request("GET", f"{place}../../keys").status_code == 422


def test_a_link_that_breaks_brings_it_later_and_damage_is_not_entered(three: Three, tmp_path: Path) -> None:
    put_in_effect(three.central.served, save_pipeline(tmp_path / "fine", cell=8), "lead")
    store = three.central.served.node.store
    (message,) = rows(three.central.served.node, SignedMessage)
    (last,) = [one["sha256"] for one in json.loads(message.body)["files"] if one["path"] == "detect/model.onnx"]
    content = store.read(last)
    store.delete(last)
    with pytest.raises(Unavailable):
        three.mirror()
    assert rows(three.relay.served.node, SignedMessage) == []  # no message before its files
    place = next(three.central.served.node.settings.data_dir.rglob("sha256/*/")).parent / last[:2] / last
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(bytes(len(content)))
    with pytest.raises(Unavailable, match="damaged"):
        three.mirror()
    place.write_bytes(content)
    three.travel()
    assert three.models() == [("tiny-liver", 1, "REGISTERED")]


def test_a_relay_that_lies_is_not_believed(three: Three, tmp_path: Path) -> None:
    put_in_effect(three.central.served, save_pipeline(tmp_path / "one"), "lead")
    three.mirror()
    relay = three.relay.served.node
    with transaction(relay.engine, "test.lie") as session:
        row = session.exec(select(SignedMessage)).one()
        row.body = row.body.replace('"domain":"liver"', '"domain":"heart"')
    with pytest.raises(Refused):
        three.obey()
    assert three.models() == [] and rows(three.node, SignedMessage) == []


def test_another_model_of_that_name_is_kept_and_the_page_says_so(three: Three, tmp_path: Path) -> None:
    mine = save_pipeline(tmp_path / "mine", dark=True)
    told = model_folder.read(model_folder.from_folder(mine))
    registry.keep_files(three.node, told)
    with transaction(three.node.engine, "test.mine") as session:
        registry.register(session, person_of(three.site, "it"), told, "liver")
    put_in_effect(three.central.served, save_pipeline(tmp_path / "one"), "lead")
    three.travel()
    assert three.models() == [("tiny-liver", 1, "REGISTERED")]
    assert "another model of that name and version" in page(three.site, "it", "/models")
    with transaction(three.node.engine, "test.audit") as session:
        assert session.exec(select(AuditEvent).where(AuditEvent.verb == "model.not-taken")).one().actor == "system"
