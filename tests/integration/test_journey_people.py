"""In a real browser: a new person gets in, sets up an authenticator, signs in with it; a colleague comes by the hospital's
log-in service."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from core.clock import now_utc
from core.models.people import Role
from core.services import oidc
from tests.live import Live, chromium, live, violations, visit
from tests.oidc_provider import planned_provider, running_provider
from tests.postgres_fixture import ScratchPostgres

GROUPS = {"curators": [["CUR", "liver"]]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@contextmanager
def a_site(postgres: ScratchPostgres, folder: Path) -> Iterator[Live]:
    """A site beside a real OpenID provider."""
    planned = planned_provider(folder)
    with (
        live(postgres, "site", **planned.settings(**GROUPS)) as node,
        running_provider(node.url + oidc.CALLBACK, planned),
    ):
        node.person("admin", Role.ADMIN)
        yield node


def code(app: pyotp.TOTP, steps: int = 0) -> str:
    return app.at(now_utc(), counter_offset=steps)


def is_well_made(page: Page) -> None:
    assert violations(page) == []


def test_a_new_person_gets_in_and_a_colleague_by_the_log_in_service(
    postgres: ScratchPostgres, browser: Browser, tmp_path: Path
) -> None:
    with a_site(postgres, tmp_path) as node:
        password = add_a_person(browser, node)
        app = enrol(browser, node, password)
        sign_in_with_a_code(browser, node, password, app)
        come_by_the_log_in_service(browser, node)


def add_a_person(browser: Browser, node: Live) -> str:
    with visit(browser, node.url, "admin") as page:
        page.goto("/people")
        page.get_by_role("link", name="利用者を追加").click()
        page.fill("input[name=name]", "sato.hanako")
        page.check("input[value='CUR:liver']")
        is_well_made(page)
        page.get_by_role("button", name="追加する").click()
        expect(page.get_by_role("heading", name="sato.hanako")).to_be_visible()
        is_well_made(page)
        password = page.locator(".once code").inner_text()
        page.goto("/people")
        page.fill("#words", "hanak")
        expect(page.locator("#people-rows tbody tr")).to_have_count(1)
        page.fill("#words", "nobody like that")
        expect(page.get_by_text("条件に合う利用者はいません")).to_be_visible()
        is_well_made(page)
    return password


def enter(page: Page, password: str) -> None:
    page.fill("input[name=name]", "sato.hanako")
    page.fill("input[name=password]", password)
    page.get_by_role("button", name="サインイン", exact=True).click()


def enrol(browser: Browser, node: Live, password: str) -> pyotp.TOTP:
    with visit(browser, node.url) as page:
        is_well_made(page)
        enter(page, password)
        page.goto("/account")
        page.get_by_role("button", name="設定を始める").click()
        expect(page.locator(".qr svg")).to_be_visible()
        app = pyotp.TOTP(page.locator(".scan [data-copy]").get_attribute("data-copy") or "")
        is_well_made(page)
        page.fill("#code", code(app, -1))
        page.get_by_role("button", name="コードを確認して有効にする").click()
        expect(page.locator(".codes li")).to_have_count(10)
        is_well_made(page)
    return app


def sign_in_with_a_code(browser: Browser, node: Live, password: str, app: pyotp.TOTP) -> None:
    """Without scripts: a log-in needs none."""
    with visit(browser, node.url, scripts=False) as page:
        page.goto("/account")
        enter(page, password)
        page.fill("#code", code(app))
        page.get_by_role("button", name="確認してサインイン").click()
        expect(page.get_by_role("heading", name="自分の設定")).to_be_visible()


def come_by_the_log_in_service(browser: Browser, node: Live) -> None:
    with visit(browser, node.url) as page:
        # The provider's own pages ask for a font that tests have no way to.
        page.route("**fonts.googleapis.com**", lambda route: route.fulfill(body="", content_type="text/css"))
        page.get_by_role("link", name="病院の統合認証でサインイン").click()
        page.wait_for_url(re.compile("/interaction/"))
        page.fill("input[name=login]", "suzuki+curators")
        page.fill("input[name=password]", "any")
        page.click("button[type=submit]")
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url(f"{node.url}/")
        page.goto("/account")
        expect(page.get_by_role("heading", name="suzuki")).to_be_visible()
        expect(page.get_by_text("キュレーター")).to_be_visible()
        is_well_made(page)
        page.get_by_role("button", name="サインアウト").click()
        expect(page.get_by_role("heading", name="サインイン")).to_be_visible()
