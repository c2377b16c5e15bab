"""The form side by keyboard alone: search, wrong numbers, usual answers, several images, wall motion, and on to the next case."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from core.db import reading
from core.models.curation import Pick
from core.models.people import Role
from core.models.sitecase import CaseState, SiteCase
from core.services import curation
from tests.casework import Case
from tests.live import Live, chromium, eventually, live, violations, visit
from tests.organs import NOT_SEEN, study_of
from tests.postgres_fixture import ScratchPostgres
from tests.viewer_site import hospital


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, list[Case]]]:
    """A complete case of one still, one of two stills and a cine, and one of the heart; in this order."""
    with (
        hospital(tmp_path_factory.mktemp("live")) as known,
        live(postgres, "site", domains=("liver", "heart"), **known.changes) as node,
    ):
        node.person("kaneko", Role.CUR, Role.REG)
        node.person("mori", Role.CUR, Role.REG)
        whole = known.pull(node.served, study_of("liver", 1))
        whole.curate()
        second = known.pull(node.served, study_of("liver", 2, stills=2, cine_frames=6))
        second.make_candidates()
        yield node, [whole, second, known.pull(node.served, study_of("heart", 3))]


def opened(page: Page, case: Case) -> None:
    page.goto(f"/cases/{case.id}")
    page.wait_for_selector(".has-script")


def answers(case: Case) -> dict[str, Any]:
    with reading(case.node.engine) as session:
        entries, _ = curation.present_form(session, session.get_one(SiteCase, case.id))
    return {field: entry["value"] for field, entry in entries.items()}


def picks(case: Case) -> list[tuple[bool, str | None]]:
    with reading(case.node.engine) as session:
        found = [session.get(Pick, image.id) for image in case.images()]
    return [(one.picked, one.reason) for one in found if one]


def test_a_diagnosis_is_found_by_its_reading_and_a_wrong_number_is_named_at_once(
    site: tuple[Live, list[Case]], browser: Browser
) -> None:
    node, (_, case, _) = site
    with visit(browser, node.url, "kaneko", lang="en") as page:
        opened(page, case)
        page.keyboard.press("n")
        expect(page.locator("#f-diagnosis :focus")).to_have_attribute("data-quick", "LIV-CYST")
        page.focus("#i-diagnosis")
        page.keyboard.type("kekkanshu")
        expect(page.locator(".choices li")).to_have_count(1)
        page.keyboard.press("Enter")
        expect(page.locator("#i-diagnosis")).to_have_value("Hepatic hemangioma")
        page.fill("#i-diagnosis", "zzz")
        expect(page.locator(".choices li")).to_have_text("Nothing fits")
        page.keyboard.press("Escape")
        size = page.locator("#i-size_long_mm")
        size.fill("999")
        expect(page.locator("#b-size_long_mm")).to_have_text("Between 1 and 300 mm, please.")
        expect(size).to_have_attribute("aria-invalid", "true")
        size.fill("")
        size.fill("abc")
        expect(page.locator("#b-size_long_mm")).to_have_text("This is not a number.")
        page.locator("#i-size_short_mm").fill("12")
        eventually(page, lambda: answers(case).get("size_short_mm") == 12 and "size_long_mm" not in answers(case))
        size.fill("11")
        expect(page.locator("#b-size_long_mm")).to_be_hidden()
        expect(page.locator("#b-size_short_mm")).to_have_text("This is more than “Long diameter”.")
        size.fill("１３.５")
        eventually(page, lambda: answers(case).get("size_long_mm") == 13.5)
        assert answers(case)["diagnosis"] == "LIV-HEM"
        assert violations(page) == []


def test_a_tag_that_was_overruled_says_what_it_says_and_is_taken_back(
    site: tuple[Live, list[Case]], browser: Browser
) -> None:
    node, (_, case, _) = site
    with visit(browser, node.url, "kaneko", lang="en") as page:
        opened(page, case)
        by_tag = str(round(answers(case)["depth_mm"]))
        page.locator("#i-depth_mm").fill("77")
        expect(page.locator("#f-depth_mm .by-hand")).to_contain_text(f"by hand; the tag says {by_tag} mm")
        eventually(page, lambda: answers(case)["depth_mm"] == 77)
        page.click("#f-depth_mm [data-back]")
        expect(page.locator("#i-depth_mm")).to_have_value(by_tag)
        expect(page.locator("#f-depth_mm .by-hand")).to_be_hidden()
        eventually(page, lambda: answers(case)["depth_mm"] == float(by_tag))


def test_cines_play_in_the_list_and_stand_still_for_those_who_ask_for_it(
    site: tuple[Live, list[Case]], browser: Browser
) -> None:
    node, (_, case, _) = site
    with visit(browser, node.url, "kaneko") as page:
        opened(page, case)
        page.wait_for_selector(".strip")
        place = page.locator(".thumb-picture:has(.strip)")
        expect(place).to_have_count(1)
        expect(place).to_have_attribute("data-playing", "true")
        box = place.bounding_box()
        assert box
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 5)
        expect(place).to_have_attribute("data-cell", "5")
        page.mouse.move(5, 5)
        expect(place).to_have_attribute("data-playing", "true")
        page.emulate_media(reduced_motion="reduce")
        expect(place).to_have_attribute("data-playing", "false")


def test_several_images_are_rejected_with_a_reason_by_number_and_picked_again(
    site: tuple[Live, list[Case]], browser: Browser
) -> None:
    node, (_, case, _) = site
    with visit(browser, node.url, "kaneko", lang="en") as page:
        opened(page, case)
        first = page.locator("#thumbs [data-image]").first
        first.focus()
        page.keyboard.press("Shift+ArrowDown")
        expect(page.locator("#thumbs-chosen")).to_have_text("2 chosen: P picks, X rejects")
        assert violations(page) == []
        page.keyboard.press("x")
        expect(page.locator("#reject-dialog")).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("1")
        eventually(page, lambda: picks(case) == [(False, "duplicate")] * 2)
        expect(page.locator("#thumbs .rejected")).to_have_count(2)
        expect(page.locator("#thumbs-chosen")).to_be_hidden()
        first.focus()
        page.keyboard.press("Control+a")
        page.keyboard.press("p")
        eventually(page, lambda: picks(case) == [(True, None)] * 3)
        page.locator("#thumbs [data-image]").nth(1).click(modifiers=["Control"])
        expect(page.locator("#thumbs .chosen")).to_have_count(2)
        page.locator("#thumbs [data-image]").nth(2).click()
        expect(page.locator("#thumbs .chosen")).to_have_count(0)


def test_wall_motion_is_scored_by_arrows_and_digits(site: tuple[Live, list[Case]], browser: Browser) -> None:
    node, (_, _, case) = site
    with visit(browser, node.url, "kaneko", lang="en", size="small") as page:
        opened(page, case)
        page.click("[data-all-normal]")
        expect(page.locator("[data-index]")).to_have_text("1.00 (17/17)")
        page.focus("[data-part='1']")
        page.keyboard.press("2")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("[data-part='2']")).to_be_focused()
        page.keyboard.press("3")
        for key, segment in (
            ("ArrowRight", 1),
            ("ArrowRight", 6),
            ("ArrowDown", 12),
            ("ArrowDown", 16),
            ("ArrowDown", 17),
        ):
            page.keyboard.press(key)
            expect(page.locator(f"[data-part='{segment}']")).to_be_focused()
        page.keyboard.press("0")
        expect(page.locator("[data-part='17']")).to_have_attribute(
            "aria-label", "17 Apex of left ventricle: 0 Not visualized"
        )
        expect(page.locator("[data-index]")).to_have_text("1.19 (16/16)".replace("16/16", "16/17"))
        eventually(page, lambda: answers(case).get("wall_motion_index") == 1.19)
        assert answers(case)["wall_motion"][16] == NOT_SEEN
        page.focus("[data-part='17']")
        page.keyboard.press("Delete")
        eventually(page, lambda: answers(case)["wall_motion"][16] != NOT_SEEN)
        expect(page.locator("#f-wall_motion.open, #f-wall_motion .needed:visible").first).to_be_visible()
        page.locator(".wall-table summary").click()
        page.select_option("#i-wall_motion-17", NOT_SEEN)
        expect(page.locator("[data-part='17']")).to_have_attribute("data-score", "unseen")
        assert violations(page) == []


def test_usual_answers_are_kept_by_a_key_and_a_complete_case_is_registered_on_the_way(
    site: tuple[Live, list[Case]], browser: Browser
) -> None:
    node, (whole, second, heart) = site
    with visit(browser, node.url, "mori", lang="en") as page:
        opened(page, whole)
        page.locator("#f-examiner_class input[value=EX-TRAIN]").check()
        eventually(page, lambda: answers(whole).get("examiner_class") == "EX-TRAIN")
        page.keyboard.press("Shift+J")
        page.wait_for_url(f"**/cases/{second.id}*")
        usual = page.locator("#f-examiner_class .usual")
        expect(usual).to_contain_text("Trainee")
        expect(page.locator("#f-examiner_class .chip.offered")).to_have_text("Trainee")
        page.locator("#stage").focus()
        page.keyboard.press("Shift+N")
        expect(usual).to_be_hidden()
        eventually(page, lambda: answers(second).get("examiner_class") == "EX-TRAIN")
        page.keyboard.press("Control+Shift+Enter")
        page.wait_for_url(f"**/cases/{heart.id}*")
        page.keyboard.press("Shift+K")
        page.wait_for_url(f"**/cases/{second.id}*")
        opened(page, whole)
        page.keyboard.press("Control+Shift+Enter")
        expect(page.locator(".sheet-foot [name=then]")).to_be_focused()
        page.keyboard.press("Control+Shift+Enter")
        page.wait_for_url(f"**/cases/{second.id}*")
    assert whole.row.state == CaseState.REGISTERED and second.row.state == CaseState.CURATING
