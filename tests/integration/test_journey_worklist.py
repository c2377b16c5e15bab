"""A morning at the worklist in a real browser: flag two studies, find one, mark rows by keyboard, take a step, save a view."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from core.db import transaction
from core.models.people import Role
from core.models.sitecase import CaseState, SiteCase
from tests.live import Live, chromium, live, violations, visit
from tests.postgres_fixture import ScratchPostgres


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Live]:
    with live(postgres, "site") as served:
        served.person("hanako", Role.CUR, Role.REG)
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def add_failed(site: Live, count: int) -> None:
    with transaction(site.served.node.engine, "test.cases") as session:
        by = site.served.people["hanako"].id
        reason = "None of the instances can be used; each says why."
        for _ in range(count):
            session.add(
                SiteCase(domain="liver", state=CaseState.RETRIEVE_FAILED, route="rest", flagged_by=by, reason=reason)
            )


def flag(page: Page, chart: str, accession: str) -> None:
    page.fill("#chart_id", chart)
    page.fill("#accession", accession)
    page.select_option("#domain", "liver")
    page.click("#flag-one button[type=submit]")
    expect(page.locator("#flag-one .note")).to_be_visible()


def test_a_morning_at_the_worklist(site: Live, browser: Browser) -> None:
    with visit(browser, site.url, "hanako") as page:
        page.goto("/flag")
        flag(page, "00000011", "A-11")
        expect(page.locator("#flag-one .note")).to_contain_text("症例 1 として指定しました")
        assert violations(page) == []
        flag(page, "00000011", "A-11")
        expect(page.locator("#flag-one .note")).to_contain_text("すでに症例 1")
        page.fill("#text", "chart_id,domain,accession\n00000012,liver,A-12\n,liver,A-13")
        page.click("form[action='/flag/preview'] button")
        expect(page.locator("table.list tbody tr")).to_have_count(2)
        assert violations(page) == []
        page.click("form[action='/flag/list'] button")
        expect(page.locator(".sum")).to_contain_text("1 件を新しく指定しました")

        add_failed(site, 3)
        page.goto("/")
        assert violations(page) == []
        page.click("a[href='/worklist?state=RETRIEVE_FAILED']")
        expect(page.locator("table.list tbody tr")).to_have_count(3)
        assert violations(page) == []
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.keyboard.press("j")
        page.keyboard.press("x")
        expect(page.locator(".marked")).to_have_text("2 件を選択中")
        page.click("button[value=retry]")
        expect(page.locator(".outcome")).to_contain_text("2 件をもう一度取得します")
        expect(page.locator("table.list tbody tr")).to_have_count(1)

        page.select_option("#state", "QUEUED")
        expect(page.locator("table.list tbody tr")).to_have_count(4)
        assert "state=QUEUED" in page.url
        page.click("thead a:has-text('経過')")
        expect(page.locator("th[aria-sort=descending]")).to_contain_text("経過")
        page.click("details.views summary")
        page.fill("#view-name", "今夜の取得")
        page.click("form[action^='/worklist/views'] button")
        expect(page.locator(".kept [aria-current]")).to_have_text("今夜の取得")
        assert "sort=age" in page.url and "state=QUEUED" in page.url

        page.fill("#words", "11")
        page.click("form.lookup button")
        expect(page.locator(".found")).to_contain_text("1 件見つかりました")
        expect(page.locator("table.list tbody tr")).to_have_count(1)
        assert "11" not in page.url.partition("found=")[0]
        assert violations(page) == []
        page.on("dialog", lambda dialog: dialog.accept())
        page.check("table.list input[name=case]")
        page.click("button[value=unflag]")
        expect(page.locator(".outcome")).to_contain_text("1 件の指定を取り消しました")
        assert page.url.startswith(site.url + "/worklist?found=")


def test_the_same_without_scripts(site: Live, browser: Browser) -> None:
    add_failed(site, 2)
    with visit(browser, site.url, "hanako", lang="en", size="small", scripts=False) as page:
        page.goto("/worklist")
        page.select_option("#state", "RETRIEVE_FAILED")
        page.click("form#filters noscript button, form#filters button")
        page.check("table.list tbody tr:first-child input[name=case]")
        page.click("button[value=retry]")
        expect(page.locator(".outcome")).to_contain_text("1 case will be asked for again.")
        assert page.locator("html").inner_text().count("Something went wrong") == 0
