"""The contact sheet in a real browser: what was on the screen is confirmed by key, what was not is not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from core.db import reading, transaction
from core.models.curation import MaskState, MaskView, Pick
from core.models.people import Role
from core.services import masks
from tests.casework import Case, small_study
from tests.live import Live, chromium, live, violations, visit
from tests.postgres_fixture import ScratchPostgres
from tests.viewer_site import hospital

SHOTS = os.environ.get("SONOBANK_SHOTS")
# Each case is two images: a still, and a cine of three frames.
KNOWN, UNKNOWN, LATER = 0, 1, 2


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, list[Case]]]:
    """A site with cases whose candidates are written: of a device that a rule knows, of one that none knows, and one more."""
    with hospital(tmp_path_factory.mktemp("live")) as known, live(postgres, "site", **known.changes) as node:
        node.person("kaneko", Role.CUR, Role.REG)
        node.person("looker", Role.CUR)
        studies = [small_study(801, "aplio"), small_study(802, "unknown"), small_study(803, "sequoia")]
        cases = [known.pull(node.served, study) for study in studies]
        for case in cases:
            case.make_candidates()
        yield node, cases


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def tile(page: Page, case: Case, number: int) -> str:
    return f"#tile-{next(image.id for image in case.images() if image.number == number)}"


def states(case: Case) -> list[str]:
    return [case.mask(image).state for image in case.images()]


def all_seen(page: Page, place: str) -> None:
    """Every frame of this image was on the screen; frame by frame, as its person would page."""
    page.locator(place).focus()
    page.locator(place).scroll_into_view_if_needed()
    frames = page.locator(f"{place} figure").count()
    for done in range(1, frames + 1):
        expect(page.locator(f"{place} [data-seen]")).to_contain_text(f"{done} of {frames}")
        page.keyboard.press("f")


def shown(case: Case) -> int:
    with reading(case.node.engine) as session:
        ids = [case.mask(image).id for image in case.images()]
        views = session.exec(select(MaskView).where(MaskView.mask_id.in_(ids)))  # type: ignore[attr-defined]
        return sum(view.is_shown for view in views)


def test_marked_cases_are_looked_at_and_confirmed_by_key(site: tuple[Live, list[Case]], browser: Browser) -> None:
    node, cases = site
    with visit(browser, node.url, "kaneko", lang="en") as page:
        page.goto("/worklist")
        for case in cases:
            page.check(f"input[name=case][value='{case.id}']")
        page.get_by_role("button", name="Contact sheet").click()
        expect(page.locator(".tile")).to_have_count(6)
        first, second = (tile(page, cases[KNOWN], number) for number in (1, 2))
        for place in (first, second):
            expect(page.locator(f"{place} [data-seen]")).to_contain_text("1 of 1")
        expect(page.locator(".tile.here")).to_have_attribute("id", first[1:])
        shot(page, "contact-sheet-en-1440")
        assert violations(page) == []
        expect(page.locator("#contact-confirm")).to_be_enabled()
        page.keyboard.press("Enter")
        expect(page.locator(f"{first} [data-state]")).to_contain_text("Confirmed")
        # All at once: what was shown and has a rule. The last case was never on the screen, the one before has no rule.
        page.keyboard.press("Shift+Enter")
        expect(page.locator("#contact-said")).to_contain_text("1 confirmed. 4 still wait")
        assert states(cases[KNOWN]) == [MaskState.CONFIRMED] * 2
        assert states(cases[UNKNOWN]) == states(cases[LATER]) == [MaskState.PROPOSED] * 2
        strange = tile(page, cases[UNKNOWN], 1)
        expect(page.locator(".tile.here")).to_have_attribute("id", strange[1:])
        all_seen(page, strange)
        page.keyboard.press("Enter")
        expect(page.locator(f"{strange} [data-state]")).to_contain_text("Confirmed")
        shot(page, "contact-en-1440-later")


def test_an_image_is_rejected_with_a_reason_and_kept_after_all(site: tuple[Live, list[Case]], browser: Browser) -> None:
    node, cases = site
    case = cases[LATER]
    with visit(browser, node.url, "kaneko", size="small") as page:
        page.goto(f"/cases/{case.id}")
        page.click(f"a[href='/cases/{case.id}/contact-sheet']")
        place = tile(page, case, 1)
        expect(page.locator(f"{place}.here")).to_be_visible()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        expect(page.locator(place)).to_be_focused()
        expect(page.locator(f"{place} [data-seen]")).to_contain_text("枚中 1 枚")
        page.wait_for_timeout(500)
        assert violations(page) == []
        shot(page, "contact-ja-1024")
        page.keyboard.press("x")
        expect(page.locator("#reject")).to_be_visible()
        assert violations(page) == []
        shot(page, "contact-ja-1024-reject")
        page.keyboard.press("2")
        expect(page.locator(f"{place} [data-state]")).to_contain_text("不採用")
        expect(page.locator(f"{place} [data-told]")).to_have_text("画質が不十分")
        with reading(case.node.engine) as session:
            pick = session.get_one(Pick, case.images()[0].id)
        assert (pick.picked, pick.reason) == (False, "poor-quality")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("p")
        expect(page.locator(f"{place} [data-state]")).to_contain_text("未確認")
        page.keyboard.press("m")
        page.wait_for_selector("#stage[data-frame='1']")
        expect(page.locator("#mask-panel")).to_be_visible()


def test_a_candidate_that_changes_is_shown_anew_and_must_be_seen_again(
    site: tuple[Live, list[Case]], browser: Browser
) -> None:
    node, cases = site
    case = cases[LATER]
    image = case.images()[0]
    # The console tells of the refused confirmation: that is what this test is about.
    with pytest.raises(AssertionError, match="409"), visit(browser, node.url, "kaneko", lang="en") as page:
        page.goto(f"/cases/{case.id}/contact-sheet")
        place = tile(page, case, 1)
        all_seen(page, place)
        with transaction(case.node.engine, "test") as session:
            rects = [(x, y, width, height) for x, y, width, height in case.mask(image).rects]
            masks.set_rects(session, case.actor, image.id, [*rects, (300, 200, 9, 9)], case.mask(image).revision)
        page.locator(place).focus()
        page.keyboard.press("Enter")
        expect(page.locator(f"{place} [data-state]")).to_contain_text("Being prepared")
        assert case.mask(image).state == MaskState.PROPOSED
        masks.make_candidate(case.node, image.id)
        expect(page.locator(f"{place} img").first).to_be_attached()
        all_seen(page, place)
        page.keyboard.press("Enter")
        expect(page.locator(f"{place} [data-state]")).to_contain_text("Confirmed")
    assert case.mask(image).state == MaskState.CONFIRMED


def test_without_scripts_one_may_look_and_nothing_counts(site: tuple[Live, list[Case]], browser: Browser) -> None:
    node, cases = site
    case = cases[UNKNOWN]
    before = shown(case)
    with visit(browser, node.url, "looker", lang="en", scripts=False) as page:
        page.goto(f"/cases/{case.id}/contact-sheet")
        assert "Switch scripts on" in page.content()
        expect(page.locator(".tile img").first).to_be_visible()
        expect(page.locator("[data-do=confirm]").first).to_be_hidden()
    assert shown(case) == before
    with visit(browser, node.url, "looker", lang="en") as page:  # a curator looks and rejects, a registrar confirms
        page.goto(f"/cases/{case.id}/contact-sheet?waiting=1")
        page.locator(".tile").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#contact-said")).to_contain_text("may not confirm")
        page.goto("/contact-sheet")
        expect(page.locator(".empty")).to_contain_text("Mark cases")
        assert violations(page) == []
