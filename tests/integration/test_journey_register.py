"""One case in a real browser: answered, picked, registered through the sheet, taken back, corrected; and without scripts."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from core.clock import now_utc
from core.db import reading, transaction
from core.models.people import Role
from core.models.sitecase import CaseState, SiteCase
from core.models.transfer import PackageState
from core.node import SiteNode
from core.permissions import SYSTEM
from core.services import curation, packages
from tests.casework import Case, pulled, small_study
from tests.integration.test_pages_case_form import site_changes
from tests.live import PASSWORD, Live, chromium, live, violations, visit
from tests.pacs_twin import BadPacs, running
from tests.postgres_fixture import ScratchPostgres
from tests.sites import person

_seeds = count(900)
SCROLLED = """() => [...document.querySelectorAll("html, body, main, .case-panels")]
    .filter((one) => one.scrollTop).map((one) => one.tagName)"""
KEPT = "Object.keys(localStorage).filter((name) => name.startsWith('sonobank-drafts'))"


@pytest.fixture(scope="module")
def pacs() -> Iterator[BadPacs]:
    with running(BadPacs()) as found:
        yield found


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, pacs: BadPacs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(postgres, "site", **site_changes(Path(tmp_path_factory.mktemp("site")), pacs)) as node:
        node.person("mori", Role.CUR, Role.REG, Role.EXAM, Role.XFER)
        yield node


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def a_case(site: Live, pacs: BadPacs) -> Case:
    """Pulled, its candidate written and confirmed: that is the viewer's part."""
    node = site.served.node
    assert isinstance(node, SiteNode)
    seed = next(_seeds)
    case = pulled(node, person(node, f"ana{seed}"), pacs, small_study(seed, stills=1, cine_frames=0))
    case.make_candidates()
    case.look_and_confirm()
    case.draw()
    return case


def choose(page: Page, field: str, code: str) -> None:
    page.locator(f"#answers [name={field}][value='{code}']").check()


def search(page: Page, field: str, typed: str) -> None:
    """Type into the box of a long list, and take the first of what fits."""
    page.fill(f"#i-{field}", typed)
    page.press(f"#i-{field}", "Enter")


def answer(page: Page) -> None:
    search(page, "diagnosis", "hepatocellular")
    choose(page, "hcc_grade", "GR-MOD")
    choose(page, "basis", "MR")
    choose(page, "basis", "DX-HIST-BX")
    choose(page, "lesion_count", "N1")
    choose(page, "segment", "277960005")
    page.click("[data-roi-size]")
    page.select_option("#i-earlier_treatment", "TX-NAIVE")
    page.select_option("#i-background", "BG-NORMAL")
    search(page, "image_mode", "Bモード")
    choose(page, "image_quality", "IQ-DIAG")


def test_a_case_is_answered_picked_registered_taken_back_and_corrected(
    site: Live, pacs: BadPacs, browser: Browser
) -> None:
    case = a_case(site, pacs)
    with visit(browser, site.url, "mori") as page:
        page.goto(f"/cases/{case.id}")
        expect(page.locator("#case-standing")).to_have_attribute("data-state", "CURATING")
        expect(page.locator("#f-hcc_grade")).to_be_hidden()
        answer(page)
        expect(page.locator("#f-hcc_grade")).to_be_visible()
        expect(page.locator("#save-badge")).to_contain_text("保存済み")
        page.locator("#picks-title").click()
        page.keyboard.press("KeyP")
        expect(page.locator("#picks-count")).to_contain_text("採用 1 / 1 枚")
        expect(page.locator("#case-standing")).to_have_attribute("data-gaps", "0")
        assert violations(page) == []
        with reading(case.node.engine) as session:
            entries, _ = curation.present_form(session, session.get_one(SiteCase, case.id))
        assert entries["basis"]["value"] == ["MR", "DX-HIST-BX"], "in the order in which they were chosen"
        assert entries["size_long_mm"]["value"] >= entries["size_short_mm"]["value"] > 1

        page.keyboard.press("Control+Enter")
        sheet = page.locator("#sheet-dialog")
        expect(sheet).to_be_visible()
        expect(sheet).to_contain_text("肝細胞癌")
        expect(sheet).to_contain_text("病院に残すもの")
        assert violations(page) == []
        sheet.get_by_role("button", name="登録する").click()
        expect(page.locator("#flash")).to_contain_text("登録しました")
        expect(page.locator("#case-standing")).to_have_attribute("data-state", "REGISTERED")
        assert case.row.state == CaseState.REGISTERED
        assert violations(page) == []

        page.get_by_role("button", name="登録を取り消す").click()
        expect(page.locator("#case-standing")).to_have_attribute("data-state", "CURATING")
        case.register()
        sent(case)
        page.reload()
        page.get_by_role("button", name="訂正版を作る").click()
        expect(page.locator(".case-name")).to_contain_text("第 2 版")
        expect(page.locator("#case-sent")).to_contain_text("送信済み")


def sent(case: Case) -> None:
    """What the workers do when the delay is over."""
    with transaction(case.node.engine, "test") as session:
        session.get_one(SiteCase, case.id).release_at = now_utc() - timedelta(seconds=1)
    package = case.release_and_pack()
    with transaction(case.node.engine, "test") as session:
        row = packages.locked(session, package.id)
        packages.move(session, SYSTEM, row, PackageState.SENT)


def test_a_gap_is_one_key_away_and_a_wrong_number_says_so(site: Live, pacs: BadPacs, browser: Browser) -> None:
    case = a_case(site, pacs)
    with visit(browser, site.url, "mori", lang="en", size="small") as page:
        refused = []
        page.on("response", lambda response: refused.append(response.status) if response.status >= 400 else None)
        page.goto(f"/cases/{case.id}")
        page.locator("#picks-title").click()
        page.keyboard.press("KeyN")
        expect(page.locator(".gap-here")).to_have_attribute("id", "f-diagnosis")
        for _ in range(6):
            page.keyboard.press("KeyN")
        expect(page.locator(".gap-here")).to_be_in_viewport()
        assert page.evaluate(SCROLLED) == [], "only the panel scrolls"
        page.locator("[data-quick='LIV-HEM']").click()
        page.keyboard.press("Digit3")
        expect(page.locator("#i-diagnosis")).to_have_value("Hepatocellular carcinoma")
        page.keyboard.press("KeyZ")
        expect(page.locator("#i-diagnosis")).to_have_value("Hepatic hemangioma")
        expect(page.locator("#f-hcc_grade")).to_be_hidden()
        page.fill("#i-age_years", "47")
        expect(page.locator("#f-age_years .by-hand")).to_be_visible()
        page.locator("#f-age_years [data-back]").click()
        expect(page.locator("#f-age_years .by-hand")).to_be_hidden()
        expect(page.locator("#save-badge")).to_contain_text("Saved")
        assert refused == []


def test_an_edit_survives_a_server_that_is_away_and_a_sign_in(site: Live, pacs: BadPacs, browser: Browser) -> None:
    case = a_case(site, pacs)
    away = [True]

    def gate(route: Route) -> None:
        if route.request.method == "PUT" and away:
            route.abort()
        else:
            route.continue_()

    with pytest.raises(AssertionError, match="ERR_FAILED"), visit(browser, site.url, "mori") as page:
        page.goto(f"/cases/{case.id}")
        page.route("**/form", gate)
        page.locator("[data-quick='LIV-HCC']").click()
        expect(page.locator("#save-badge")).to_contain_text("接続できません")
        kept = page.evaluate("JSON.stringify(localStorage)")
        assert "LIV-HCC" in kept and str(case.id) in kept
        away.clear()
        expect(page.locator("#save-badge")).to_contain_text("保存済み")
        page.wait_for_function(f"() => {KEPT}.length === 0")

        # Edited before the session ends: any other request of the page may be the one that hears of it first.
        away.append(True)
        page.locator("[data-quick='LIV-MET']").click()
        expect(page.locator("#save-badge")).to_contain_text("接続できません")
        page.context.clear_cookies()
        away.clear()
        page.wait_for_url("**/sign-in?next=*")
        assert "LIV-MET" in page.evaluate("JSON.stringify(localStorage)")
        page.fill("input[name=name]", "mori")
        page.fill("input[name=password]", PASSWORD)
        page.click("form[action^='/sign-in'] button[type=submit]")
        page.wait_for_url(f"**/cases/{case.id}**")
        expect(page.locator("#i-diagnosis")).to_have_value("転移性肝腫瘍（転移性肝癌）")
        page.wait_for_function(f"() => {KEPT}.length === 0")


def test_two_people_at_one_form_choose_a_side_for_each_field(site: Live, pacs: BadPacs, browser: Browser) -> None:
    case = a_case(site, pacs)
    with pytest.raises(AssertionError, match="409"), visit(browser, site.url, "mori") as page:
        page.goto(f"/cases/{case.id}")
        with transaction(case.node.engine, "test") as session:
            curation.save_form(session, case.actor, case.id, {"diagnosis": "LIV-CYST"}, 0)
        page.locator("[data-quick='LIV-HCC']").click()
        panel = page.locator("#conflict-dialog")
        expect(panel).to_be_visible()
        expect(panel).to_contain_text("肝嚢胞")
        assert violations(page) == []
        panel.locator("[name=take-diagnosis][value=yours]").check()
        panel.get_by_role("button", name="この内容で保存する").click()
        expect(page.locator("#flash")).to_contain_text("入力を保存しました")
    with reading(case.node.engine) as session:
        entries, version = curation.present_form(session, session.get_one(SiteCase, case.id))
    assert (entries["diagnosis"]["value"], version) == ("LIV-HCC", 2)


def test_without_scripts_the_form_saves_and_a_case_is_picked_and_registered(
    site: Live, pacs: BadPacs, browser: Browser
) -> None:
    case = a_case(site, pacs)
    case.answer()
    with visit(browser, site.url, "mori", scripts=False) as page:
        page.goto(f"/cases/{case.id}")
        page.select_option("#i-diagnosis", "LIV-HCC")
        page.fill("#i-afp", "12.5")
        page.click("#answers button[type=submit]")
        expect(page.locator("#flash")).to_contain_text("入力を保存しました")
        expect(page.locator("#i-afp")).to_have_value("12.5")
        page.click("#picks button[value=yes]")
        expect(page.locator("#picks-count")).to_contain_text("採用 1 / 1 枚")
        page.click("#register")
        page.get_by_role("button", name="登録する").click()
        expect(page.locator("#flash")).to_contain_text("登録しました")
    assert case.row.state == CaseState.REGISTERED
