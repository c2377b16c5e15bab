"""A heart in a real browser: beats marked, the ventricle's border clicked in two views, its ejection fraction in the form."""

import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from core.db import reading
from core.models.curation import Roi
from core.models.heart import FrameMarks
from core.models.people import Role
from core.services import curation
from ml.phantom_heart import HeartTruth, heart_study
from tests.casework import Case
from tests.live import Live, chromium, live, violations, visit
from tests.postgres_fixture import ScratchPostgres
from tests.viewer_site import hospital

OFF_PX = 2.0
FRAMES = 36
CLICKS = 15  # from one end of the mitral plane over the apex to the other
A4C, A2C = "399214001", "399232001"
_GREYS = """() => {
  const canvas = document.querySelector("#heart-mmode canvas");
  const {width, height} = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const line = document.querySelector("#heart-line line");
  const tall = Number(line.getAttribute("y2")) - Number(line.getAttribute("y1"));
  return {width, height, tall, greys: Array.from({length: width * height}, (_, index) => pixels[4 * index])};
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Case]]:
    """A site of the heart with one case: a four- and a two-chamber cine whose candidates are written."""
    with (
        hospital(tmp_path_factory.mktemp("heart")) as known,
        live(postgres, "site", domains=("heart",), **known.changes) as node,
    ):
        node.person("kaneko", Role.CUR, Role.REG)
        case = known.pull(node.served, heart_study(1, "logiq-e9", FRAMES))
        case.make_candidates()
        yield node, case


def truth_of(case: Case, number: int) -> HeartTruth:
    image = next(image for image in case.images() if image.number == number)
    truth = case.instance_of(image).truth
    assert isinstance(truth, HeartTruth)
    return truth


def number_of(case: Case, view: str) -> int:
    return next(image.number for image in case.images() if truth_of(case, image.number).view == view)


def opened(page: Page, case: Case, number: int) -> None:
    page.goto(f"/cases/{case.id}?image={number}")
    shows(page, 1)


def shows(page: Page, frame: int) -> None:
    page.wait_for_selector(f"#stage[data-frame='{frame}']", timeout=120_000)


def go(page: Page, frame: int) -> None:
    """To a frame as a person would: the scrubber."""
    page.evaluate(
        "frame => { const s = document.getElementById('scrubber'); s.value = frame;"
        " s.dispatchEvent(new Event('input', {bubbles: true})); }",
        frame,
    )
    shows(page, frame)
    page.locator("#stage").focus()


def eventually(page: Page, is_so: Callable[[], bool]) -> None:
    for _ in range(150):
        if is_so():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it was not saved")


def click(page: Page, points: Sequence[tuple[float, float]]) -> None:
    """On these places, in pixels of the stored frame."""
    box = page.locator("#stage canvas").bounding_box()
    size = page.evaluate(
        "() => [document.querySelector('#stage canvas').width, document.querySelector('#stage canvas').height]"
    )
    assert box
    for x, y in points:
        page.mouse.click(box["x"] + x / size[0] * box["width"], box["y"] + y / size[1] * box["height"])


def seen(truth: HeartTruth, frame: int, noise: random.Random) -> list[tuple[float, float]]:
    """Where a hand clicks: places along the rendered border, each 2 px beside it in any direction."""
    contour = truth.contours[frame - 1]
    places = [contour[round(step * (len(contour) - 1) / (CLICKS - 1))] for step in range(CLICKS)]
    turns = [noise.uniform(0, 2 * math.pi) for _ in places]
    return [
        (x + OFF_PX * math.cos(turn), y + OFF_PX * math.sin(turn)) for (x, y), turn in zip(places, turns, strict=True)
    ]


def contours(case: Case) -> dict[int, Roi]:
    numbers = {image.id: image.number for image in case.images()}
    with reading(case.node.engine) as session:
        rows = session.exec(select(Roi).where(Roi.use == "lv", Roi.deleted.is_(False)))  # type: ignore[attr-defined]
        return {numbers[roi.image_id]: roi for roi in rows}


def marks(case: Case) -> dict[int, FrameMarks]:
    numbers = {image.id: image.number for image in case.images()}
    with reading(case.node.engine) as session:
        return {numbers[row.image_id]: row for row in session.exec(select(FrameMarks))}


def form(case: Case) -> dict[str, Any]:
    with reading(case.node.engine) as session:
        return curation.present_form(session, case.row)[0]


def test_the_border_clicked_at_both_ends_of_a_beat_gives_the_ejection_fraction(
    site: tuple[Live, Case], browser: Browser
) -> None:
    node, case = site
    noise = random.Random(20_261)
    with visit(browser, node.url, "kaneko") as page:
        for view in (A4C, A2C):
            number = number_of(case, view)
            truth = truth_of(case, number)
            diastole, systole = truth.ends[0]
            opened(page, case, number)
            expect(page.locator("#heart-strip .ecg").first).to_be_visible()
            expect(page.locator("#heart-strip .flag.proposed.ed")).to_have_count(len(truth.r_waves_ms))
            page.select_option("#heart-view", view)
            go(page, diastole)
            page.keyboard.press("q")
            go(page, systole)
            page.keyboard.press("e")
            expect(page.locator("#heart-beats button")).to_have_text([f"ED {diastole}", f"ES {systole}"])
            page.keyboard.press("Shift+H")
            for frame in (diastole, systole):
                go(page, frame)
                click(page, seen(truth, frame, noise))
                expect(page.locator("#heart-contour .heart-point")).to_have_count(CLICKS)
                page.keyboard.press("Enter")
                expect(page.locator("#heart-contour .contour:not(.drawing)")).to_have_count(1)
            eventually(page, lambda number=number: len(contours(case).get(number, Roi(keyframes=[])).keyframes) == 2)
            assert [list(beat) for beat in marks(case)[number].beats] == [[diastole, systole]]
        expect(page.locator("#heart-volumes tbody tr")).to_have_count(2)
        assert violations(page) == []
        page.keyboard.press("Shift+V")
        expect(page.locator("#f-lvef_percent .measured")).to_be_visible()
        eventually(page, lambda: "lvef_percent" in form(case))
    answers = form(case)
    assert answers["lvef_percent"]["value"] == pytest.approx(truth.ef_percent, abs=2)
    assert answers["edv_ml"]["value"] == pytest.approx(truth.volumes_ml[diastole - 1], rel=0.06)
    assert answers["lvef_method"]["value"] == "125207"
    assert {answers[field]["source"] for field in ("lvef_percent", "edv_ml", "esv_ml", "lvef_method")} == {"derived"}


def test_a_contour_is_copied_mended_and_doubted_by_keyboard(site: tuple[Live, Case], browser: Browser) -> None:
    node, case = site
    number = number_of(case, A4C)
    with visit(browser, node.url, "kaneko", lang="en", size="small") as page:
        opened(page, case, number)
        go(page, truth_of(case, number).ends[0][0] + 2)
        page.keyboard.press("Shift+H")
        expect(page.locator("#heart-contour .ghost")).to_have_count(1)
        page.keyboard.press("Shift+C")
        points = page.locator("#heart-contour .heart-point")
        expect(points).to_have_count(CLICKS)
        expect(points.first).to_be_focused()
        expect(points.first).to_have_attribute("aria-label", f"End 1 of {CLICKS} on the mitral plane")
        page.keyboard.press("Delete")
        expect(points).to_have_count(CLICKS)
        points.nth(4).focus()
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+U")
        expect(points.nth(4)).to_have_class("heart-point uncertain".replace(" ", "  "))
        points.nth(2).focus()
        page.keyboard.press("Delete")
        expect(points).to_have_count(CLICKS - 1)
        frame = int(page.locator("#stage").get_attribute("data-frame") or 0)
        eventually(page, lambda: [frame, 3] in contours(case)[number].uncertain)
        drawn = dict(contours(case)[number].keyframes)
        assert len(drawn[frame]) == CLICKS - 1
        assert violations(page) == []
        page.click("[data-deed=remove]")
        eventually(page, lambda: frame not in dict(contours(case)[number].keyframes))


def test_proposed_beats_are_taken_and_a_wrong_mark_moved(site: tuple[Live, Case], browser: Browser) -> None:
    node, case = site
    number = number_of(case, A2C)
    truth = truth_of(case, number)
    with visit(browser, node.url, "kaneko") as page:
        opened(page, case, number)
        page.keyboard.press("Shift+Q")
        eventually(page, lambda: len(marks(case)[number].beats) == len(truth.r_waves_ms))
        step_ms = case.images()[number - 1].facts["frame_time_ms"]
        assert [beat[0] for beat in marks(case)[number].beats] == [1 + round(ms / step_ms) for ms in truth.r_waves_ms]
        wrong = marks(case)[number].beats[0][1]
        go(page, wrong + 1)
        page.keyboard.press("e")
        eventually(page, lambda: marks(case)[number].beats[0][1] == wrong + 1)
        box = page.locator("#heart-strip svg").bounding_box()
        assert box
        page.mouse.click(box["x"] + box["width"], box["y"] + 30)
        shows(page, FRAMES)


def test_m_mode_shows_the_wall_that_comes_and_goes(site: tuple[Live, Case], browser: Browser) -> None:
    node, case = site
    number = number_of(case, A2C)
    truth = truth_of(case, number)
    with visit(browser, node.url, "kaneko", lang="en") as page:
        opened(page, case, number)
        page.keyboard.press("Shift+M")
        page.wait_for_selector("#heart-mmode[data-made]", timeout=60_000)
        name = re.compile(r"M-mode from the cine, 1\d\d mm deep")
        expect(page.locator("#heart-mmode svg")).to_have_attribute("aria-label", name)
        made = page.evaluate(_GREYS)
        assert made["width"] == FRAMES
        # Down the middle the closed valve is the bright line between the dark ventricle and atrium, deepest at end diastole.
        columns = [made["greys"][frame :: made["width"]] for frame in range(FRAMES)]
        rows = range(made["height"] // 2, made["height"] * 85 // 100)
        valve = [max(rows, key=column.__getitem__) for column in columns]
        diastole, systole = truth.ends[0]
        depth_mm = [
            truth.mm_per_px * made["tall"] / made["height"] * row for row in (valve[diastole - 1], valve[systole - 1])
        ]
        down_mm = [truth.mm_per_px * truth.contours[frame - 1][0][1] for frame in (diastole, systole)]
        assert depth_mm[0] - depth_mm[1] == pytest.approx(down_mm[0] - down_mm[1], abs=2)
        assert violations(page) == []
        box = page.locator("#heart-mmode svg").bounding_box()
        assert box
        page.mouse.click(box["x"] + box["width"] * (FRAMES // 2 - 0.5) / FRAMES, box["y"] + 40)
        shows(page, FRAMES // 2)
        page.keyboard.press("Shift+M")
        expect(page.locator("#heart-mmode")).to_be_hidden()
