"""In a browser: the network is cut, the server goes, the session ends, the tab is shut, somebody else saves: nothing is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from sqlmodel import select

from core.db import reading, transaction
from core.models.curation import Roi
from core.models.people import Role
from core.queries import cases as queries
from core.services import curation
from tests.casework import Case, small_study
from tests.integration.test_journey_viewer import cine_of, drag, shows
from tests.live import PASSWORD, Live, chromium, eventually, live, violations
from tests.postgres_fixture import ScratchPostgres
from tests.viewer_site import Hospital, hospital

_seeds = count(4000)
KEPT = "Object.keys(localStorage).filter((name) => name.startsWith('sonobank-drafts'))"
BEAT = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def ward(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Hospital]]:
    with hospital(tmp_path_factory.mktemp("faults")) as known, live(postgres, "site", **known.changes) as node:
        node.person("kaneko", Role.CUR, Role.REG)
        node.person("sato", Role.CUR)
        yield node, known


@pytest.fixture
def case(ward: tuple[Live, Hospital]) -> Case:
    node, known = ward
    found = known.pull(node.served, small_study(next(_seeds), stills=1, cine_frames=6))
    found.make_candidates()
    return found


def sign_in(page: Page, name: str) -> None:
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", PASSWORD)
    with page.expect_navigation():
        page.click("form[action^='/sign-in'] button[type=submit]")


@contextmanager
def desk(browser: Browser, node: Live, name: str, state: Any = None) -> Iterator[BrowserContext]:
    """A person's browser, signed in; only an error of a script fails the test, for the network is meant to fail."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, locale="en", base_url=node.url, storage_state=state
    )
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    if state is None:
        page = context.new_page()
        page.goto("/sign-in?lang=en")
        sign_in(page, name)
        page.close()
    try:
        yield context
    finally:
        context.close()
    assert not wrong, wrong


def opened(context: BrowserContext, case: Case, query: str = "") -> Page:
    page = context.new_page()
    page.goto(f"/cases/{case.id}{query}")
    page.wait_for_selector("#stage[data-frame]:not([data-frame=''])")
    return page


def stroke(page: Page, dx: int = -40, dy: int = -30) -> None:
    page.keyboard.press("Shift+R")
    drag(page, dx, dy)


def draw(page: Page, dx: int = -40, dy: int = -30) -> None:
    stroke(page, dx, dy)
    expect(page.locator("#shapes .shape:focus")).to_have_count(1)


def rois(case: Case) -> list[Roi]:
    with reading(case.node.engine) as session:
        return list(queries.rois_of(session, case.id))


def diagnosis(case: Case) -> Any:
    with reading(case.node.engine) as session:
        values, _ = curation.present_form(session, case.row)
    return values.get("diagnosis", {}).get("value")


def test_what_is_done_while_the_network_is_cut_is_all_there(
    ward: tuple[Live, Hospital], case: Case, browser: Browser
) -> None:
    with desk(browser, ward[0], "kaneko") as context:
        page = opened(context, case)
        context.set_offline(True)
        draw(page)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("3")
        draw(page, 120, 60)
        page.locator("[data-quick='LIV-HCC']").click()
        expect(page.locator("#save-badge")).to_have_attribute("data-now", "offline")
        page.wait_for_function(f"() => {KEPT}.length > 0")
        context.set_offline(False)
        eventually(page, lambda: len(rois(case)) == 2 and diagnosis(case) == "LIV-HCC")
        expect(page.locator("#save-badge")).to_have_attribute("data-now", "saved")
        page.wait_for_function(f"() => {KEPT}.length === 0")
    assert "LIV-HCC" in {roi.label for roi in rois(case)}


def test_an_answer_that_is_lost_makes_no_second_roi_and_no_conflict(
    ward: tuple[Live, Hospital], case: Case, browser: Browser
) -> None:
    lost: list[str] = []

    def lose(route: Route) -> None:
        """The server saves; its answer does not come back, once for each kind of call."""
        if route.request.method in ("POST", "PUT") and route.request.method not in lost:
            lost.append(route.request.method)
            route.fetch()
            route.abort()
        else:
            route.continue_()

    with desk(browser, ward[0], "kaneko") as context:
        page = opened(context, case)
        page.route("**/rois*/**", lose)
        page.route("**/rois", lose)
        draw(page)
        eventually(page, lambda: len(rois(case)) == 1)
        before = rois(case)[0].x
        page.keyboard.press("Shift+ArrowRight")
        eventually(page, lambda: rois(case)[0].x == before + 10 and lost == ["POST", "PUT"])
        page.keyboard.press("Shift+ArrowRight")
        eventually(page, lambda: rois(case)[0].x == before + 20)
        expect(page.locator("#roi-conflict")).to_be_hidden()
    assert len(rois(case)) == 1


def test_a_shut_tab_and_a_killed_browser_lose_nothing(
    ward: tuple[Live, Hospital], case: Case, browser: Browser
) -> None:
    node, _ = ward
    with desk(browser, node, "kaneko") as context:
        page = opened(context, case)
        draw(page)
        eventually(page, lambda: len(rois(case)) == 1)
        known = rois(case)[0]
        node.down()
        page.keyboard.press("Shift+ArrowDown")
        draw(page, 120, 60)
        page.locator("[data-quick='LIV-HCC']").click()
        page.wait_for_function("() => JSON.stringify(localStorage).includes('LIV-HCC')")
        state = context.storage_state()
        assert known.x and "kaneko" not in str(state["origins"])
    node.up()
    with desk(browser, node, "kaneko", state) as context:
        page = opened(context, case)
        eventually(page, lambda: len(rois(case)) == 2 and diagnosis(case) == "LIV-HCC")
        expect(page.locator("#shapes .shape")).to_have_count(2)
        page.wait_for_function(f"() => {KEPT}.length === 0")
    with reading(case.node.engine) as session:
        moved = session.get_one(Roi, known.id)
        assert session.exec(select(Roi.id).where(Roi.id == known.id)).one() and moved.y == known.y + 10


def test_a_session_that_ends_in_mid_draw_leads_back_to_the_same_place(
    ward: tuple[Live, Hospital], case: Case, browser: Browser
) -> None:
    number = cine_of(case)
    with desk(browser, ward[0], "kaneko") as context:
        page = opened(context, case, f"?image={number}")
        page.keyboard.press("f")
        page.keyboard.press("f")
        shows(page, 3)
        page.wait_for_url(f"**/cases/{case.id}?image={number}&frame=3")
        page.wait_for_timeout(2000)  # what the page asks by itself, such as which frames were shown, is answered
        context.clear_cookies()
        stroke(page)
        page.wait_for_url("**/sign-in?next=*")
        sign_in(page, "kaneko")
        page.wait_for_url(f"**/cases/{case.id}?image={number}&frame=3")
        eventually(page, lambda: len(rois(case)) == 1)
        shows(page, 3)
        expect(page.locator("#shapes .shape")).to_have_count(1)
    assert rois(case)[0].frame == 3


def test_what_is_kept_is_gone_for_the_next_person_and_at_sign_out(
    ward: tuple[Live, Hospital], case: Case, browser: Browser
) -> None:
    with desk(browser, ward[0], "kaneko") as context:
        page = opened(context, case)
        page.wait_for_timeout(2000)  # what the page asks by itself, such as which frames were shown, is answered
        context.clear_cookies()
        stroke(page)
        page.wait_for_url("**/sign-in?next=*")
        page.wait_for_function(f"() => {KEPT}.length > 0")
        sign_in(page, "sato")
        page.wait_for_url(f"**/cases/{case.id}**")
        page.wait_for_function(f"() => {KEPT}.length === 0")
        page.evaluate("localStorage.setItem('sonobank-drafts:x', '{}')")
        with page.expect_navigation():  # what is evaluated while a page goes may never be answered
            page.locator("form[action='/sign-out'] button").click()
        page.wait_for_function(f"() => {KEPT}.length === 0")
    assert rois(case) == []


def test_undo_and_redo_outlive_a_reload(ward: tuple[Live, Hospital], case: Case, browser: Browser) -> None:
    with desk(browser, ward[0], "kaneko") as context:
        page = opened(context, case)
        draw(page)
        eventually(page, lambda: len(rois(case)) == 1)
        before = rois(case)[0].label
        other = "LIV-CYST" if before != "LIV-CYST" else "LIV-HEM"
        page.locator("#roi-class").select_option(other)
        eventually(page, lambda: rois(case)[0].label == other)
        page.reload()
        page.wait_for_selector("#shapes .shape")
        page.keyboard.press("z")
        eventually(page, lambda: rois(case)[0].label == before)
        page.keyboard.press("z")
        expect(page.locator("#shapes .shape")).to_have_count(0)
        expect(page.locator("[data-step-back=undo]")).to_be_disabled()
        page.keyboard.press("Shift+Z")
        expect(page.locator("#shapes .shape")).to_have_count(1)
        page.locator("[data-step-back=redo]").click()
        eventually(page, lambda: rois(case)[0].label == other)
        assert violations(page) == []


def test_two_browsers_see_each_other_and_take_in_what_the_other_saved(
    ward: tuple[Live, Hospital], case: Case, browser: Browser
) -> None:
    with desk(browser, ward[0], "kaneko") as one, desk(browser, ward[0], "sato") as other:
        mine = opened(one, case)
        theirs = opened(other, case)
        mine.wait_for_timeout(700)
        draw(theirs)
        eventually(theirs, lambda: len(rois(case)) == 1)
        theirs.locator("[data-quick='LIV-HCC']").click()
        eventually(theirs, lambda: diagnosis(case) == "LIV-HCC")
        mine.evaluate(BEAT)
        expect(mine.locator("#case-others")).to_contain_text("sato")
        expect(mine.locator("#case-news")).to_contain_text("sato saved an ROI on image 1")
        assert violations(mine) == []
        mine.locator("#case-news button").click()
        expect(mine.locator("#shapes .shape")).to_have_count(1)
        expect(mine.locator("#i-diagnosis")).to_have_value("Hepatocellular carcinoma")
        expect(mine.locator("#case-news")).to_be_hidden()


@pytest.mark.parametrize("choice", ["mine", "theirs", "both"])
def test_two_versions_of_an_roi_are_settled_by_a_choice(
    ward: tuple[Live, Hospital], case: Case, browser: Browser, choice: str
) -> None:
    with desk(browser, ward[0], "kaneko") as context:
        page = opened(context, case)
        draw(page)
        eventually(page, lambda: len(rois(case)) == 1)
        page.wait_for_function(f"() => {KEPT}.length === 0")
        (known,) = rois(case)
        with transaction(case.node.engine, "test") as session:
            curation.change_roi(session, case.actor, known.id, {"label": "LIV-CYST"}, known.version)
        page.keyboard.press("Shift+ArrowDown")
        dialog = page.locator("#roi-conflict")
        expect(dialog).to_be_visible()
        expect(dialog).to_contain_text(case.actor.name)
        assert violations(page) == []
        dialog.locator(f"button[value={choice}]").click()
        expected = {
            "mine": [(known.y + 10, known.label)],
            "theirs": [(known.y, "LIV-CYST")],
            "both": sorted([(known.y, "LIV-CYST"), (known.y + 10, known.label)]),
        }[choice]
        eventually(page, lambda: sorted((roi.y, roi.label) for roi in rois(case)) == expected)
        expect(page.locator("#shapes .shape")).to_have_count(len(expected))
        page.keyboard.press("ArrowRight")
    assert all(roi.version >= 1 for roi in rois(case))
