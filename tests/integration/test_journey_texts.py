"""Text in a picture in a real browser: uncovered, found again, asked for, answered by key; and the report of what was done."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from core.models.curation import MaskState
from core.models.people import Role
from core.models.transfer import PackageState
from core.services import masks
from tests.casework import Case, written_on
from tests.live import Live, chromium, live, violations, visit
from tests.postgres_fixture import ScratchPostgres
from tests.viewer_site import Hospital, hospital

SHOTS = os.environ.get("SONOBANK_SHOTS")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Hospital]]:
    with (
        hospital(tmp_path_factory.mktemp("texts")) as known,
        live(postgres, "site", release_delay_seconds=0, **known.changes) as node,
    ):
        node.person("kaneko", Role.CUR, Role.REG, Role.XFER)
        yield node, known


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def uncovered(page: Page, case: Case) -> None:
    """The curator takes the proposed rectangle off the name, which is then a question."""
    page.goto(f"/cases/{case.id}")
    page.wait_for_selector("#stage[data-frame='1']")
    page.keyboard.press("m")
    reason = page.locator("#mask-areas li", has_text="氏名")
    reason.locator("button").first.click()
    page.keyboard.press("Delete")
    page.click("#mask-save")
    expect(page.locator("#stage-note")).to_have_text("マスク済みの画像を準備しています")
    masks.make_candidate(case.node, case.images()[0].id)
    page.wait_for_selector("#stage[data-frame='1']")


def test_a_name_is_asked_for_masked_by_key_and_confirmed(site: tuple[Live, Hospital], browser: Browser) -> None:
    node, known = site
    case = known.pull(node.served, written_on(961))
    case.make_candidates()
    image = case.images()[0]
    with visit(browser, node.url, "kaneko") as page:
        uncovered(page, case)
        expect(page.locator("#mask-texts")).to_be_visible()
        expect(page.locator("#boxes .box.text").first).to_be_visible()
        page.locator("#stage").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#viewer-said")).to_contain_text("残っています")
        expect(page.locator(".text-row[aria-pressed=true]")).to_have_count(1)
        assert violations(page) == []
        shot(page, "texts-ja")
        assert case.mask(image).state == MaskState.PROPOSED
        while page.locator("#mask-texts").is_visible():
            revision = case.mask(image).revision
            page.keyboard.press("t")
            page.keyboard.press("h")
            expect(page.locator("#stage-note")).to_have_text("マスク済みの画像を準備しています")
            masks.make_candidate(case.node, image.id)
            page.wait_for_selector("#stage[data-frame='1']")
            assert case.mask(image).revision == revision + 1
        page.locator("#stage").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".thumbs-foot .mask-count")).to_have_text("1/1")
    assert case.mask(image).state == MaskState.CONFIRMED


def test_what_names_nobody_is_left_and_the_report_says_by_whom(site: tuple[Live, Hospital], browser: Browser) -> None:
    node, known = site
    case = known.pull(node.served, written_on(962))
    case.answer()
    case.pick()
    case.draw()
    case.make_candidates()
    image = case.images()[0]
    with visit(browser, node.url, "kaneko", size="small") as page:
        uncovered(page, case)
        shot(page, "texts-small")
        count = page.locator("#mask-texts li").count()
        for left in range(count, 0, -1):
            expect(page.locator("#mask-texts li")).to_have_count(left)
            page.keyboard.press("t")
            page.keyboard.press("l")
        expect(page.locator("#mask-texts")).to_be_hidden()
        page.locator("#stage").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".thumbs-foot .mask-count")).to_have_text("1/1")
        assert len(case.mask(image).texts) == count
        case.register()
        assert case.release().state == PackageState.DEIDENTIFIED
        page.goto(f"/cases/{case.id}/report")
        expect(page.locator("main")).to_contain_text("kaneko")
        expect(page.locator(".reported img")).to_have_count(2)
        page.locator("summary").first.click()
        assert violations(page) == []
        page.evaluate("scrollTo(0, 0)")
        shot(page, "report-ja-small")
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(f"/cases/{case.id}/report?lang=en")
        page.wait_for_timeout(500)
        assert violations(page) == []
        shot(page, "report-en")
