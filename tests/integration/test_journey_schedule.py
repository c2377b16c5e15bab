"""A night prepared in a real browser: a window, a cap and a holiday, a queue that moves by itself, and the desk's refusal."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from core.db import transaction
from core.models.people import Role
from core.models.sitecase import CaseState, ImageState, SiteImage
from tests.desk import Desk
from tests.live import Live, chromium, live, violations, visit
from tests.postgres_fixture import ScratchPostgres


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Live]:
    with live(postgres, "site") as node:
        node.person("tech", Role.SITEIT)
        node.person("clerk", Role.PTDESK)
        node.person("auditor", Role.AUD)
        yield node


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def test_the_it_desk_prepares_a_night_and_watches_it(site: Live, browser: Browser) -> None:
    desk = Desk(site.served)
    case_id = desk.add_case(CaseState.RETRIEVING, 10, 2, flagged_by="tech")
    with visit(browser, site.url, "tech") as page:
        page.goto("/schedule")
        assert violations(page) == []
        page.click("a[href='/schedule/edit']")
        page.uncheck("input[name=day][value='6']")
        page.fill("#begin", "12:15")
        page.fill("#end", "13:00")
        page.click("#window .primary")
        expect(page.locator("#flash")).to_contain_text("時間帯を保存しました")
        expect(page.locator("main")).to_contain_text("12:15～13:00")
        page.fill("#at_once", "4")
        page.click("button:has-text('上限を保存')")
        expect(page.locator("#flash")).to_contain_text("上限を保存しました")
        assert violations(page) == []
        page.click("text=予定へ戻る")
        expect(page.locator("#queue")).to_contain_text("2 / 10")
        with transaction(desk.node.engine, "test.arrive") as session:
            for number in range(3, 8):
                session.add(SiteImage(case_id=case_id, number=number, state=ImageState.STAGED, size=1))
        expect(page.locator("#queue")).to_contain_text("7 / 10")  # by itself
        page.click("#queue button:has-text('取りやめ')")
        expect(page.locator("#flash")).to_contain_text("取りやめました")
        expect(page.locator("#queue")).to_contain_text("取得できず")
        assert page.get_attribute("#queue", "hx-trigger") is None  # nothing runs, so nothing is asked any more
        assert violations(page) == []
        for path in ("/peers", "/health"):
            page.goto(path)
            assert violations(page) == [], path


def test_a_refusal_is_taken_without_scripts_and_leaves_no_number_behind(site: Live, browser: Browser) -> None:
    with visit(browser, site.url, "clerk", scripts=False) as page:
        page.goto("/opt-outs")
        page.fill("#chart_id", "00314159")
        page.click("button:has-text('確認する')")
        expect(page.locator(".confirm")).to_contain_text("止める症例はありません")
        page.click("button:has-text('拒否を登録する')")
        expect(page.locator(".slip")).to_contain_text("研究利用の拒否 受付票")
        assert "314159" not in page.url + page.content()
        page.goto("/opt-outs")
        assert "314159" not in page.content()


def test_the_desk_and_the_audit_are_accessible(site: Live, browser: Browser) -> None:
    with visit(browser, site.url, "clerk") as page:
        page.goto("/opt-outs")
        page.fill("#chart_id", "00271828")
        page.click("button:has-text('確認する')")
        assert violations(page) == []
        page.click("button:has-text('拒否を登録する')")
        expect(page.locator("[data-print]")).to_be_visible()
        assert violations(page) == []
    with visit(browser, site.url, "auditor") as page:
        page.goto("/audit")
        page.click("#verify")
        expect(page.locator("#audit-chain .note")).to_be_visible()
        assert violations(page) == []
