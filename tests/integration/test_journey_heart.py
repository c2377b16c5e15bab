"""A heart in a real browser: beats marked, the ventricle's border clicked in two views, its ejection fraction in the form."""

import math
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from core.db import reading, transaction
from core.models.curation import Roi
from core.models.heart import FrameMarks
from core.models.people import Role
from core.models.proposals import ModelProposal, ProposalSet, ProposalState
from core.services import curation
from ml.phantom_heart import HeartTruth, heart_study
from tests.casework import Case
from tests.live import Live, chromium, eventually, live, violations, visit
from tests.modelled import kept, put_in_effect
from tests.postgres_fixture import ScratchPostgres
from tests.tiny_models import save_heart
from tests.viewer_site import hospital

OFF_PX = 2.0
FRAMES = 36
CLICKS = 15  # from one end of the mitral plane over the apex to the other
MODEL_MS = 60_000  # how long a model may look at a cine, on a busy machine
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


@pytest.fixture(scope="module")
def model(site: tuple[Live, Case], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A model that draws the ventricle is in effect."""
    served = site[0].served
    site[0].person("mori", Role.SITEPI, Role.SITEIT)
    put_in_effect(served, save_heart(tmp_path_factory.mktemp("echo")), "mori", "heart")
    with kept(served):
        yield


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


def test_a_models_borders_are_taken_and_give_the_volumes(
    site: tuple[Live, Case], model: None, browser: Browser
) -> None:
    """By key in one view and by its buttons in the other; nothing counts before a person has taken it."""
    node, case = site
    clear(node, case)
    with visit(browser, node.url, "kaneko", lang="en") as page:
        number = number_of(case, A4C)
        diastole, systole = truth_of(case, number).ends[0]
        opened(page, case, number)
        page.select_option("#heart-view", A4C)
        page.locator("#stage").focus()
        for frame, end in ((diastole, "End diastole"), (systole, "End systole")):
            page.keyboard.press("u")
            shows(page, frame)
            proposed = page.locator("#shapes .tone-proposal")
            expect(proposed).to_have_count(1, timeout=MODEL_MS)
            expect(proposed).to_have_attribute("aria-label", re.compile(rf"Proposal: {end}, \d+ %, frame {frame}"))
            assert frame not in drawn(case, number)
            page.keyboard.press("y")
            expect(proposed).to_have_count(0)
            eventually(page, lambda frame=frame: frame in drawn(case, number))
        assert violations(page) == []
        expect(page.locator("#heart-beats button")).to_have_text([f"ED {diastole}", f"ES {systole}"])
        assert {state for state, _ in answered(page, case, number, 2)} == {ProposalState.ACCEPTED}
        expect(page.locator("#heart-volumes tbody tr")).not_to_have_count(0)

        number = number_of(case, A2C)
        opened(page, case, number)
        page.click("#heart [data-deed=ask]")
        expect(page.locator("#shapes .tone-proposal")).to_have_count(1, timeout=MODEL_MS)
        page.click("#heart [data-deed=refuse]")
        page.click("#heart [data-deed=ask]")
        expect(page.locator("#shapes .tone-proposal")).to_have_count(1, timeout=MODEL_MS)
        page.click("#heart [data-deed=accept]")
        states = answered(page, case, number, 2)
        assert sorted(state for state, _ in states) == [ProposalState.ACCEPTED, ProposalState.REJECTED]
        assert {roi for _, roi in states} == {None, contours(case)[number].id}
        assert len(drawn(case, number)) == 1


def test_the_live_page_draws_the_border(site: tuple[Live, Case], model: None, browser: Browser) -> None:
    node, case = site
    with visit(browser, node.url, "kaneko", lang="en") as page:
        page.goto(f"/live?image={case.images()[0].id}")
        expect(page.locator("#boxes polyline")).to_have_count(1, timeout=MODEL_MS)
        drawn_at = page.locator("#boxes polyline").get_attribute("points") or ""
        xs = [float(point.split(",")[0]) for point in drawn_at.split()]
        truth = [x for contour in truth_of(case, case.images()[0].number).contours for x, _ in contour]
        assert min(truth) - 6 < min(xs) < max(xs) < max(truth) + 6
        expect(page.locator("#list li").first).to_have_text(re.compile(r"Left ventricle · \d+%"))
        expect(page.locator("#live-model")).to_have_text("tiny-echo v1")
        expect(page.locator(".of-ventricle")).to_have_text("Left ventricle")
        assert not page.locator(".of-lesions").first.is_visible() and not page.locator("#follow").is_visible()
        assert violations(page) == []


def drawn(case: Case, number: int) -> set[int]:
    """The frames of an image with a contour."""
    return {frame for frame, _ in contours(case).get(number, Roi(keyframes=[])).keyframes}


def clear(node: Live, case: Case) -> None:
    """Without contours and marks, as at the beginning."""
    with transaction(node.served.node.engine, "test.clear") as session:
        for roi in session.exec(select(Roi).where(Roi.use == "lv")):
            roi.deleted = True
        for row in session.exec(select(FrameMarks)):
            row.view, row.beats = None, []


def answered(page: Page, case: Case, number: int, count: int) -> list[tuple[ProposalState, UUID | None]]:
    """What became of the proposals on an image, once so many are answered."""
    image = next(image for image in case.images() if image.number == number)

    def states() -> list[tuple[ProposalState, UUID | None]]:
        with reading(case.node.engine) as session:
            sets = select(ProposalSet.id).where(ProposalSet.image_id == image.id)
            rows = session.exec(select(ModelProposal).where(ModelProposal.set_id.in_(sets)))  # type: ignore[attr-defined]
            return [(row.state, row.roi_id) for row in rows if row.state != ProposalState.PROPOSED]

    eventually(page, lambda: len(states()) == count)
    return states()


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
