"""In a browser: a domain lead looks at a case and freezes a dataset; a developer finds it and pulls its list of files."""

import json
from collections.abc import Iterator
from typing import cast

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from core.db import reading
from core.models.datasets import DatasetVersion
from core.models.people import Role
from core.node import CentralNode
from ml import manifest
from tests.banked import Bank, released
from tests.live import Live, chromium, live, violations, visit
from tests.postgres_fixture import ScratchPostgres
from workers.freeze import freeze


@pytest.fixture(scope="module")
def central(postgres: ScratchPostgres) -> Iterator[Live]:
    source = released(postgres)
    with live(postgres, "central") as node:
        bank = Bank(node.served, source, "KYOTO01", "OSAKA02")
        bank.take("KYOTO01")
        bank.take("OSAKA02", "LIV-HEM", "benign", 3, ("MR",), "CANON_MEC")
        bank.take("OSAKA02", rank=2, vendor="CANON_MEC")
        node.person("lead", Role.DOM)
        node.person("developer", Role.AIDEV)
        yield node


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def build(central: Live) -> None:
    """What central's worker does."""
    with reading(central.served.node.engine) as session:
        waiting = session.exec(select(DatasetVersion.id).where(DatasetVersion.state == "BUILDING")).one()
    freeze(cast(CentralNode, central.served.node), waiting)


def look_at_a_case(page: Page) -> None:
    page.goto("/")
    assert violations(page) == []
    page.click("text=症例を見る")
    expect(page.locator("table.cases tbody tr")).to_have_count(3)
    page.check("#f-site-OSAKA02")
    expect(page.locator("table.cases tbody tr")).to_have_count(2)
    expect(page.locator("#f-site-OSAKA02")).to_be_checked()
    page.check("#f-malignancy-malignant")
    expect(page.locator("table.cases tbody tr")).to_have_count(1)
    assert "site=OSAKA02" in page.url and "malignancy=malignant" in page.url
    assert violations(page) == []
    page.click("table.cases a.open")
    expect(page.locator("h1")).to_have_text("肝細胞癌")
    expect(page.locator(".picture canvas")).to_be_visible()
    cine = page.locator(".strip a", has_text="フレーム")
    cine.click()
    at = page.locator("[data-at]")
    expect(at).to_have_text("フレーム 1 / 2")
    page.click("[data-step='1']")
    expect(at).to_have_text("フレーム 2 / 2")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("KeyD")
    expect(at).to_have_text("フレーム 1 / 2")
    page.click("[data-play]")
    expect(page.locator("[data-play]")).to_have_attribute("aria-pressed", "true")
    expect(at).to_have_text("フレーム 2 / 2")
    page.click("[data-play]")
    page.locator(".marks a").first.click()
    expect(page.locator(".boxes rect")).to_have_count(1)
    assert violations(page) == []


def freeze_a_dataset(central: Live, page: Page) -> None:
    page.click("nav.rail a[href='/datasets']")
    assert violations(page) == []
    page.click("text=新しいデータセット")
    page.fill("#name", "liver-pilot")
    page.select_option("#domain", "liver")
    held = page.locator(".counting .keys dd").first
    expect(held).to_have_text("3 / 3")
    page.get_by_label("CANON_MEC").check()
    expect(held).to_have_text("2 / 3")
    expect(page.locator("#name")).to_have_value("liver-pilot")
    assert violations(page) == []
    page.click("button.primary")
    expect(page.locator("#flash")).to_contain_text("版の固定を始めました")
    expect(page.locator("#versions")).to_contain_text("作成中")
    build(central)
    expect(page.locator("#versions")).to_contain_text("固定済み")  # by itself
    expect(page.locator("#version")).to_have_text("第1版")
    assert violations(page) == []


def test_a_lead_freezes_a_dataset_and_a_developer_pulls_its_list(central: Live, browser: Browser) -> None:
    with visit(browser, central.url, "lead") as page:
        look_at_a_case(page)
        freeze_a_dataset(central, page)
    with visit(browser, central.url, "developer", lang="en") as page:
        page.goto("/datasets")
        page.click("a.open")
        expect(page.locator("h1")).to_have_text("liver-pilot")
        with page.expect_download() as waiting:
            page.get_by_role("link", name="Manifest").click()
        assert waiting.value.suggested_filename == "liver-pilot-v1-manifest.json"
        pulled = manifest.parse(json.loads(waiting.value.path().read_text("utf-8")))
        expect(page.locator(".hash code")).to_have_text(pulled.hash)
        assert violations(page) == []


def test_the_reference_finds_an_operation_and_shows_its_scope(central: Live, browser: Browser) -> None:
    with visit(browser, central.url, "developer") as page:
        page.goto("/api/docs")
        page.keyboard.press("/")
        page.keyboard.type("datasets:freeze versions")
        shown = page.locator(".operation:visible")
        expect(shown).to_have_count(1)
        shown.locator("summary").click()
        expect(shown).to_contain_text("データセットを作り、版を固定する")
        expect(shown.locator("[data-copy]")).to_be_visible()
        assert violations(page) == []


@pytest.mark.parametrize("path", ["/cases", "/datasets/new", "/api/docs"])
def test_the_pages_are_whole_without_scripts(central: Live, browser: Browser, path: str) -> None:
    with visit(browser, central.url, "lead", scripts=False) as page:
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()
        if path == "/cases":
            page.check("#f-site-KYOTO01")
            page.click("noscript button, .facets button")
            expect(page.locator("table.cases tbody tr")).to_have_count(1)
        if path == "/datasets/new":
            page.select_option("#domain", "liver")
            page.click(".counting button")
            expect(page.locator(".counting .keys dd").first).to_have_text("3 / 3")
        if path == "/api/docs":
            page.locator("summary").first.click()
            expect(page.locator(".operation[open] .inside")).to_be_visible()
