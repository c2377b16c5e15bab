"""From an unknown device to an empty queue in a real browser: a rule is drawn, tested and published, and keys confirm what waited."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text
from sqlmodel import select

from core.db import reading
from core.models.audit import AuditEvent
from core.models.curation import MaskState
from core.models.devices import DeviceRule, DeviceRuleVersion, RuleState
from core.models.people import Role
from core.node import SiteNode
from core.services import device_rules, masks
from tests.casework import Case, small_study
from tests.live import Live, chromium, live, violations, visit
from tests.postgres_fixture import ScratchPostgres
from tests.viewer_site import hospital

BAR, CLOCK = (0, 536, 768, 40), (622, 0, 146, 62)  # where the invented console writes who was examined


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, list[Case]]]:
    """A site with two cases of a console that no rule knows; what its worker would make of them first is made."""
    with hospital(tmp_path_factory.mktemp("live")) as known, live(postgres, "site", **known.changes) as node:
        node.person("mori", Role.SITEPI)
        node.person("kaneko", Role.CUR, Role.REG)
        cases = [known.pull(node.served, small_study(seed, "unknown")) for seed in (11, 12)]
        for case in cases:
            case.make_candidates()
        yield node, cases


def empty_the_worker(node: Live) -> None:
    """What the site's worker would do with its queue of pictures."""
    served = node.served.node
    assert isinstance(served, SiteNode)
    for task, work in (("remask", device_rules.remask), ("mask", masks.make_candidate)):
        with reading(served.engine) as session:
            waiting = text("SELECT args ->> 'image_id' FROM procrastinate_jobs WHERE task_name = :task ORDER BY id")
            images = [UUID(one) for one in session.execute(waiting, {"task": task}).scalars()]
        for image_id in images:
            work(served, image_id)


def shows(page: Page, frame: int = 1) -> None:
    page.wait_for_selector(f"#stage[data-frame='{frame}']")


def draw(page: Page, rect: tuple[int, int, int, int]) -> None:
    """With the mouse, from corner to corner of a rectangle in pixels of the frame."""
    box = page.locator("#stage canvas").bounding_box()
    assert box
    scale = box["width"] / 768
    x, y, width, height = rect
    page.mouse.move(box["x"] + x * scale, box["y"] + y * scale)
    page.mouse.down()
    page.mouse.move(box["x"] + (x + width / 2) * scale, box["y"] + (y + height / 2) * scale)
    page.mouse.move(box["x"] + (x + width) * scale, box["y"] + (y + height) * scale)
    page.mouse.up()


def rule_of(node: Live) -> DeviceRule:
    with reading(node.served.node.engine) as session:
        return session.exec(select(DeviceRule)).one()


def near(drawn: list[list[int]], wanted: tuple[int, int, int, int]) -> bool:
    return any(all(abs(a - b) <= 3 for a, b in zip(rect, wanted, strict=True)) for rect in drawn)


def test_an_unknown_device_becomes_a_rule_and_its_queue_empties(
    site: tuple[Live, list[Case]], browser: Browser
) -> None:
    node, cases = site
    with visit(browser, node.url, "mori", lang="en") as page:
        page.goto("/devices")
        page.get_by_role("link", name="Make a rule for EchoView 300").first.click()
        shows(page)
        assert violations(page) == []
        expect(page.locator("#model")).to_have_value("EchoView 300")
        draw(page, BAR)
        draw(page, CLOCK)
        expect(page.locator("#boxes .box")).to_have_count(2)
        page.keyboard.press("ArrowUp")  # the one that was just drawn has the focus
        page.keyboard.press("ArrowDown")
        page.get_by_role("button", name="Save and test").click()
        expect(page.locator(".sheet > li")).to_have_count(4)
        expect(page.locator(".counts")).to_contain_text("covered 4")
        page.wait_for_function(
            "() => [...document.querySelectorAll('.sheet img')].some((one) => one.naturalWidth > 100)"
        )
        assert violations(page) == []
        page.fill("#note", "every kind looked at")
        page.get_by_role("button", name="Publish version 1").click()
        expect(page.locator("#queue-title")).to_be_visible()
        rule = rule_of(node)
        assert rule.state == RuleState.PUBLISHED and near(rule.rects, BAR) and near(rule.rects, CLOCK)
        empty_the_worker(node)
        page.reload()
        expect(page.locator("#queue")).to_contain_text("4 pictures are ready")
        assert violations(page) == []
    for case in cases:
        for image in case.images():
            assert (case.mask(image).revision, case.mask(image).rule_id) == (2, rule.code)
    confirm_all(node, cases, browser)


def confirm_all(node: Live, cases: list[Case], browser: Browser) -> None:
    """Nothing but Enter, until nothing waits."""
    with visit(browser, node.url, "kaneko", lang="en") as page:
        page.goto("/worklist/next-mask")
        for case in cases:
            page.wait_for_url(f"**/cases/{case.id}?mode=mask**")
            for image in case.images():
                current = page.locator("#thumbs [data-image][aria-current]")
                expect(current).to_have_attribute("data-image", str(image.id))
                page.wait_for_selector("#stage:not([data-frame=''])[data-frame]")
                while case.mask(image).state != MaskState.CONFIRMED:
                    page.keyboard.press("Enter")
                    page.wait_for_timeout(400)
            expect(page.locator("#viewer-said")).to_contain_text("Enter: next case")
            page.keyboard.press("Enter")
        page.wait_for_url("**/worklist?masks=1")
        expect(page.locator("#flash")).to_contain_text("No more masks wait for you")
    with reading(node.served.node.engine) as session:
        states = [case.mask(image).state for case in cases for image in case.images()]
        assert states == [MaskState.CONFIRMED] * 4
        version = session.exec(select(DeviceRuleVersion)).one()
        assert (version.number, version.note, version.tested["covered"]) == (1, "every kind looked at", 4)
        verbs = set(session.exec(select(AuditEvent.verb).where(AuditEvent.actor == "mori")))
    assert {"device-rule.draft", "device-rule.test", "device-rule.published", "device-rule.picture"} <= verbs
    assert not {"original.read", "candidate.read"} & verbs


def test_a_rule_is_made_without_scripts(site: tuple[Live, list[Case]], browser: Browser) -> None:
    node, _ = site
    rule = rule_of(node)
    with visit(browser, node.url, "mori", scripts=False, size="small") as page:
        page.goto(f"/devices/rules/{rule.id}")
        expect(page.locator("#stage img")).to_be_visible()
        cells = page.locator("#rects tr").nth(len(rule.rects)).locator("input")
        for cell, value in zip(range(4), ("0", "0", "620", "30"), strict=True):
            cells.nth(cell).fill(value)
        page.click("button[type=submit].primary")
        expect(page.locator(".sheet > li")).to_have_count(4)
        expect(page.locator("#publish")).to_contain_text("2")
    assert rule_of(node).rects == [*rule.rects, [0, 0, 620, 30]]
