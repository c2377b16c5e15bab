"""In a real browser: a package that failed is found first, sent again, watched on its way and read with its receipt."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from core.db import transaction
from core.models.people import Role
from core.models.transfer import PackageState
from core.node import SiteNode
from core.permissions import SYSTEM
from core.services import packages
from tests.live import chromium, live, violations, visit
from tests.postgres_fixture import ScratchPostgres
from tests.shipping import SIZE, Shipping, public_keys


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def test_a_failed_package_is_sent_again_and_watched(
    postgres: ScratchPostgres, browser: Browser, tmp_path: Path
) -> None:
    keys, path = public_keys(tmp_path)
    with live(postgres, "site", central_keys_file=path) as node:
        node.person("sora", Role.XFER)
        assert isinstance(node.served.node, SiteNode)
        shipping = Shipping(node.served.node, keys)
        shipping.ship(PackageState.REPLICATED)
        failed = shipping.ship(
            PackageState.SEND_FAILED, reason="The next node cannot be reached; it is tried again.", minutes_ago=30
        )
        with visit(browser, node.url, "sora") as page:
            page.goto("/transfers")
            first = page.locator("tbody tr").first
            expect(first).to_contain_text("送信先に接続できません")
            assert violations(page) == []
            first.get_by_role("button", name="今すぐ送る").click()
            expect(page.locator("#flash")).to_contain_text("送信を開始します")
            with transaction(shipping.node.engine, "test.half") as session:
                packages.locked(session, failed.id).sent_bytes = SIZE // 2
            expect(page.locator("tbody tr").first).to_contain_text("50 %")  # by itself
            page.locator("tbody tr").first.get_by_role("link").first.click()
            expect(page.get_by_role("heading", level=1)).to_contain_text("送信パッケージ")
            with transaction(shipping.node.engine, "test.sent") as session:
                row = packages.locked(session, failed.id)
                packages.move(session, SYSTEM, row, PackageState.SENT)
                packages.move(session, SYSTEM, row, PackageState.ACCEPTED)
                packages.move(session, SYSTEM, row, PackageState.REPLICATED)
            shipping.receipt(failed)
            expect(page.locator(".told")).to_contain_text("確認済み")
            expect(page.locator("#transfer")).not_to_have_attribute("data-poll", "")
            assert violations(page) == []
        with visit(browser, node.url, "sora", scripts=False) as page:  # nothing of it needs a script
            page.goto("/transfers?show=REPLICATED")
            expect(page.locator("tbody tr")).to_have_count(2)
