"""The viewer in a real browser: look, play, draw, mend a mask, confirm; by keyboard, and without anything that axe would mind."""

from collections.abc import Iterator
from statistics import median

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from core.db import reading
from core.models.audit import AuditEvent
from core.models.curation import MaskState, Roi
from core.models.people import Role
from core.services import masks
from tests.casework import Case, small_study
from tests.live import Live, chromium, eventually, live, violations, visit
from tests.postgres_fixture import ScratchPostgres
from tests.viewer_site import hospital

FRAMES = 24
SLOWEST_STEP_MS = 30
# How long it takes from the key until the next frame is on the canvas, for so many frames.
_STEPS = """async (count) => {
  const stage = document.getElementById("stage"), took = [];
  for (let step = 0; step < count; step++) {
    const before = stage.dataset.frame, start = performance.now();
    document.body.dispatchEvent(new KeyboardEvent("keydown", { code: "KeyF", key: "f", bubbles: true }));
    while (stage.dataset.frame === before) await new Promise((resolve) => setTimeout(resolve, 0));
    took.push(performance.now() - start);
  }
  return took;
}"""


_FETCHED = """count => performance.getEntriesByType("resource")
  .map((one) => Number(new URL(one.name).searchParams.get("count"))).reduce((sum, one) => sum + one, 0) >= count"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Case, Case]]:
    """A site, a case of two stills and a cine whose candidates are written, and one of an unknown device without any."""
    with hospital(tmp_path_factory.mktemp("live")) as known, live(postgres, "site", **known.changes) as node:
        node.person("kaneko", Role.CUR, Role.REG)
        case = known.pull(node.served, small_study(1, stills=2, cine_frames=FRAMES))
        case.make_candidates()
        yield node, case, known.pull(node.served, small_study(2, "unknown"))


def opened(page: Page, case: Case, number: int = 1) -> None:
    page.goto(f"/cases/{case.id}?image={number}")
    shows(page, 1)


def shows(page: Page, frame: int) -> None:
    page.wait_for_selector(f"#stage[data-frame='{frame}']")


def drag(page: Page, dx: int = -40, dy: int = -30) -> None:
    """A rectangle of 100 x 70 screen pixels near the middle of the picture."""
    box = page.locator("#stage").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 50, y + 20)
    page.mouse.move(x + 100, y + 70)
    page.mouse.up()


def cine_of(case: Case) -> int:
    return next(image.number for image in case.images() if image.frames > 1)


def verbs(case: Case) -> list[str]:
    with reading(case.node.engine) as session:
        return [event.verb for event in session.exec(select(AuditEvent).where(AuditEvent.actor == "kaneko"))]


def rois(case: Case) -> list[Roi]:
    with reading(case.node.engine) as session:
        return list(session.exec(select(Roi).where(Roi.deleted.is_(False))))  # type: ignore[attr-defined]


def test_frames_are_stepped_from_memory_and_played_in_time(site: tuple[Live, Case, Case], browser: Browser) -> None:
    node, case, _ = site
    with visit(browser, node.url, "kaneko") as page:
        opened(page, case, cine_of(case))
        expect(page.locator("#areas rect").first).to_be_visible()
        page.wait_for_function(_FETCHED, arg=FRAMES, timeout=60_000)
        took = page.evaluate(_STEPS, FRAMES - 2)
        assert median(took) <= SLOWEST_STEP_MS, took
        page.keyboard.press("c")
        shows(page, FRAMES - 11)
        page.keyboard.press("Space")
        page.wait_for_function(
            "number => document.getElementById('stage').dataset.frame != number", arg=str(FRAMES - 11)
        )
        expect(page.locator("[data-step=play]")).to_have_attribute("aria-label", "停止")
        page.keyboard.press("Space")
        number = page.locator("#stage").get_attribute("data-frame")
        expect(page.locator("#frame-number")).to_have_text(f"{number}/{FRAMES}")
        assert violations(page) == []


def test_the_original_is_there_while_the_key_is_held(site: tuple[Live, Case, Case], browser: Browser) -> None:
    node, case, _ = site
    with visit(browser, node.url, "kaneko") as page:
        opened(page, case)
        assert "original.read" not in verbs(case)
        page.keyboard.down("b")
        page.wait_for_selector("#stage.original")
        expect(page.locator("#original-banner")).to_be_visible()
        page.keyboard.up("b")
        expect(page.locator("#stage.original")).to_have_count(0)
        expect(page.locator("#original-banner")).to_be_hidden()
    assert verbs(case).count("original.read") == 1


def test_an_roi_is_drawn_nudged_named_and_deleted_by_keyboard(site: tuple[Live, Case, Case], browser: Browser) -> None:
    node, case, _ = site
    with visit(browser, node.url, "kaneko") as page:
        opened(page, case)
        page.keyboard.press("Shift+R")
        drag(page)
        shape = page.locator("#shapes .shape")
        expect(shape).to_be_focused()
        expect(page.locator("#roi-list")).to_contain_text("mm")
        eventually(page, lambda: len(rois(case)) == 1)
        (before,) = rois(case)
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("3")
        size = f"{before.width:.0f} × {before.height:.0f} px"
        expect(shape).to_have_attribute("aria-label", f"ROI：病変 1、肝細胞癌、フレーム 1、{size}")
        wanted = [(before.x + 10, before.y + 1, "LIV-HCC")]
        eventually(page, lambda: [(roi.x, roi.y, roi.label) for roi in rois(case)] == wanted)
        assert violations(page) == []
        page.keyboard.press("Delete")
        expect(page.locator("#roi-list li")).to_have_count(0)
        eventually(page, lambda: rois(case) == [])


def test_masks_are_mended_seen_and_confirmed(site: tuple[Live, Case, Case], browser: Browser) -> None:
    node, case, _ = site
    first, *others = case.images()
    with visit(browser, node.url, "kaneko") as page:
        opened(page, case)
        page.keyboard.press("m")
        page.keyboard.press("Shift+R")
        drag(page)
        expect(page.locator("#mask-draft")).to_be_visible()
        expect(page.locator("#mask-confirm")).to_be_disabled()
        assert violations(page) == []
        page.click("#mask-save")
        expect(page.locator("#stage-note")).to_have_text("マスク済みの画像を準備しています")
        masks.make_candidate(case.node, first.id)
        shows(page, 1)
        assert case.mask(first).revision == 2
        page.keyboard.press("Enter")
        expect(page.locator(".thumbs-foot .mask-count")).to_have_text("1/3")
        expect(page.locator("#thumbs [data-image][aria-current]")).to_have_attribute("data-image", str(others[0].id))
        shows(page, 1)
        # Of the two that the rule covers one has not been on the screen: it is opened first.
        page.keyboard.press("Shift+Enter")
        expect(page.locator("#thumbs [data-image][aria-current]")).to_have_attribute("data-image", str(others[1].id))
        shows(page, 1)
        page.keyboard.press("Shift+Enter")
        expect(page.locator(".thumbs-foot .mask-count")).to_have_text("3/3")
    assert [case.mask(image).state for image in case.images()] == [MaskState.CONFIRMED] * 3


def test_an_unknown_device_says_so_and_waits_for_its_picture(site: tuple[Live, Case, Case], browser: Browser) -> None:
    node, _, other = site
    with visit(browser, node.url, "kaneko", lang="en", size="small") as page:
        page.goto(f"/cases/{other.id}")
        expect(page.locator("#stage-note")).to_have_text("The masked picture is being prepared")
        page.keyboard.press("m")
        expect(page.locator("#mask-warning")).to_contain_text("Unknown device")
        other.make_candidates()
        shows(page, 1)
        expect(page.locator("#mask-confirm")).to_be_enabled()
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.keyboard.press("[")
        page.keyboard.press("]")
        page.reload()
        shows(page, 1)
        expect(page.locator("#thumbs")).to_be_hidden()
        expect(page.locator("#case-side")).to_be_hidden()


def test_without_scripts_the_picture_and_the_list_are_there(site: tuple[Live, Case, Case], browser: Browser) -> None:
    node, case, _ = site
    with visit(browser, node.url, "kaneko", scripts=False) as page:
        page.goto(f"/cases/{case.id}")
        page.click("#thumbs li:nth-child(2) a")
        picture = page.locator("#stage img")
        expect(picture).to_have_attribute("src", f"/cases/{case.id}/images/{case.images()[1].id}/frames/1")
        expect(picture).to_be_visible()
        expect(page.locator("#viewer-tools")).to_be_hidden()
