"""A site's list of models says what central has on its way, what could not be taken and what central no longer uses."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from sqlmodel import Session, select

from core.db import transaction
from core.models.people import Role
from core.models.registry import ModelVersion
from core.models.transfer import SignedMessage
from core.package.canonical import canonical
from core.package.messages import Message, ModelOffer, ModelWithdrawn, OfferedFile
from tests.live import Live, chromium, live, violations, visit
from tests.modelled import put_in_effect
from tests.postgres_fixture import ScratchPostgres
from tests.served import SITE
from tests.tiny_models import save_pipeline

KEY = "0" * 32


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def offered(n: int, name: str, version: int, sha256: str) -> ModelOffer:
    file = OfferedFile(path="model.onnx", sha256="a" * 64, size=1)
    return ModelOffer(
        kind="model", site=SITE, key_id=KEY, n=n, name=name, version=version, domain="liver", sha256=sha256, files=(file,)
    )  # fmt: skip


def said(session: Session, *told: Message) -> None:
    for message in told:
        body = canonical(message).decode()
        session.add(SignedMessage(site=SITE, n=message.n, body=body, signature="of no use any more"))


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(postgres, "site") as node:
        node.person("mori", Role.SITEPI, Role.SITEIT)
        put_in_effect(node.served, save_pipeline(tmp_path_factory.mktemp("model") / "one"), "mori")
        with transaction(node.served.node.engine, "test.said") as session:
            here = session.exec(select(ModelVersion)).one().sha256
            gone = ModelWithdrawn(
                kind="model_withdrawn", site=SITE, key_id=KEY, n=2, name="tiny-liver", version=1, sha256=here
            )
            coming = offered(3, "liver-detect", 4, "b" * 64)
            said(session, offered(1, "tiny-liver", 1, here), gone, coming, offered(4, "tiny-liver", 1, "c" * 64))
        yield node


@pytest.mark.parametrize(
    ("lang", "size", "words"),
    [
        (
            "en",
            "wide",
            ["no longer uses tiny-liver v1", "liver-detect v4. Its files are on their way", "another model"],
        ),
        ("ja", "small", ["tiny-liver v1 は、センターでは使われなくなりました", "ファイルを受信中", "別のモデル"]),
    ],
)
def test_the_list_says_it_and_leads_to_the_decision(
    site: Live, browser: Browser, lang: str, size: str, words: list[str]
) -> None:
    with visit(browser, site.url, "mori", lang=lang, size=size) as page:
        page.goto("/models")
        for sentence in words:
            expect(page.get_by_text(sentence)).to_be_visible()
        assert violations(page) == []
        page.get_by_role("link", name=words[0]).click()
        retire = {"en": "Take it out of effect…", "ja": "使用をやめる…"}[lang]
        expect(page.locator("summary", has_text=retire)).to_be_visible()
        assert violations(page) == []
