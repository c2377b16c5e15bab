"""The editor of ROIs in a real browser: a ten-image case by keyboard, a lesion through 300 frames, undo, and exact frames."""

import base64
import json
import random
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Route, expect
from sqlmodel import select

from core.curation.tracks import interpolate
from core.db import reading
from core.models.curation import Roi
from core.models.people import Role
from core.models.sitecase import SiteImage
from core.services import texts
from core.services.drawing import track_of
from ml.phantom import PhantomStudy
from ml.phantom_numbered import numbered_study, read_number
from tests.casework import Case, small_study
from tests.live import Live, chromium, eventually, live, violations, visit
from tests.postgres_fixture import ScratchPostgres
from tests.tracks import PATH_FRAMES, PATH_KEYFRAMES, VECTORS, overlaps
from tests.viewer_site import Hospital, hospital

STILLS = 10
SEEKS = 2000
# More than are kept as bitmaps, so that seeks find frames that are here, that come back and that come anew.
SEEK_FRAMES = 64
Box = tuple[float, float, float, float]
# After each seek the green of the rows that carry the number, as the canvas holds them.
_SEEK = """async ({ frames, x, y, width, height }) => {
  const stage = document.getElementById("stage"), canvas = stage.querySelector("canvas");
  const scrubber = document.getElementById("scrubber"), context = canvas.getContext("2d"), seen = [];
  for (const frame of frames) {
    scrubber.value = frame;
    scrubber.dispatchEvent(new Event("input", { bubbles: true }));
    while (stage.dataset.frame !== String(frame)) await new Promise((resolve) => setTimeout(resolve, 0));
    const { data } = context.getImageData(x, y, width, height), row = new Uint8Array(width * height);
    for (let index = 0; index < row.length; index++) row[index] = data[4 * index + 1];
    seen.push(btoa(String.fromCharCode(...row)));
  }
  return seen;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_read() -> Iterator[None]:
    """Text in the pictures is another test's; to look for it in 300 frames takes minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "look", lambda *_, **__: [])
        yield


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Hospital]]:
    with hospital(tmp_path_factory.mktemp("live")) as known, live(postgres, "site", **known.changes) as node:
        node.person("kaneko", Role.CUR, Role.REG)
        yield node, known


def a_case(site: tuple[Live, Hospital], study: PhantomStudy) -> Case:
    node, known = site
    case = known.pull(node.served, study)
    case.make_candidates()
    return case


@pytest.fixture(scope="module")
def cine(site: tuple[Live, Hospital]) -> Case:
    """A numbered cine as long as the lesion's path."""
    return a_case(site, numbered_study(5, "logiq-e9", PATH_FRAMES))


class Hand:
    """A person's hands, whose keys are counted; the mouse only draws."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.keys = 0
        self.drags = 0

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.keys += 1

    def shows(self, frame: int = 1) -> None:
        self.page.wait_for_selector(f"#stage[data-frame='{frame}']")

    def place(self, columns: int) -> Callable[[float, float], tuple[float, float]]:
        """From pixels of the frame to those of the screen."""
        canvas = self.page.locator("#stage canvas").bounding_box()
        assert canvas
        scale, left, top = canvas["width"] / columns, canvas["x"], canvas["y"]
        return lambda x, y: (left + x * scale, top + y * scale)

    def drag(self, columns: int, corners: Sequence[Sequence[float]]) -> None:
        to = self.place(columns)
        (x0, y0), (x1, y1) = corners
        self.page.mouse.move(*to(x0, y0))
        self.page.mouse.down()
        self.page.mouse.move(*to((x0 + x1) / 2, (y0 + y1) / 2))
        self.page.mouse.move(*to(x1, y1))
        self.page.mouse.up()
        self.drags += 1

    def to_frame(self, frame: int) -> None:
        """By D and F, C and V alone."""
        here = int(self.page.locator("#stage").get_attribute("data-frame") or 0)
        way = frame - here
        tens, ones = divmod(abs(way), 10)
        if ones > 5 and way > 0:
            tens, ones = tens + 1, ones - 10
        forth, back = ("v", "f"), ("c", "d")
        self.press(*[(forth if way > 0 else back)[0]] * tens)
        self.press(*[(forth if (way > 0) == (ones > 0) else back)[1]] * abs(ones))
        self.shows(frame)


def opened(page: Page, case: Case, number: int = 1) -> Hand:
    page.goto(f"/cases/{case.id}?image={number}")
    hand = Hand(page)
    hand.shows()
    return hand


def rois(case: Case) -> list[Roi]:
    with reading(case.node.engine) as session:
        statement = select(Roi).join(SiteImage).where(SiteImage.case_id == case.id, Roi.deleted.is_(False))  # type: ignore[attr-defined]
        return list(session.exec(statement.order_by(SiteImage.number)))  # type: ignore[arg-type]


def truth_of(case: Case, image: SiteImage) -> tuple[int, Box]:
    boxes = case.instance_of(image).truth.boxes
    return next((frame, box) for frame, box in enumerate(boxes, 1) if box is not None)


def test_ten_images_are_drawn_on_without_the_mouse_but_to_draw(site: tuple[Live, Hospital], browser: Browser) -> None:
    case = a_case(site, small_study(3, stills=STILLS, cine_frames=0))
    images = case.images()
    wanted = {image.id: truth_of(case, image)[1] for image in images}
    with visit(browser, site[0].url, "kaneko") as page:
        hand = opened(page, case)
        begin = perf_counter()
        hand.press("Shift+R", "3")
        for image in images:
            hand.page.wait_for_selector(f"#thumbs [data-image='{image.id}'][aria-current]")
            hand.shows()
            x, y, width, height = wanted[image.id]
            hand.drag(image.columns, [(x, y), (x + width, y + height)])
            expect(page.locator("#shapes .shape")).to_have_count(1)
            hand.press("p")
            if image is not images[-1]:
                hand.press("j")
        eventually(
            page, lambda: len(rois(case)) == STILLS and page.locator("#save-badge").get_attribute("data-now") == "saved"
        )
        took = perf_counter() - begin
        print(json.dumps({"case_of_ten_s": round(took, 1), "keys": hand.keys, "drags": hand.drags}))
        assert hand.keys <= 3 * STILLS and hand.drags == STILLS
        drawn = rois(case)
        assert {roi.label for roi in drawn} == {"LIV-HCC"} and len({roi.lesion_id for roi in drawn}) == 1
        for roi in drawn:
            assert (roi.x, roi.y, roi.width, roi.height) == pytest.approx(wanted[roi.image_id], abs=2)
        assert violations(page) == []


def boxes_of(roi: Roi) -> NDArray[np.float64]:
    """(frames, 2, 2) corners of what the saved track shows."""
    shapes = [interpolate(track_of(roi), frame) for frame in range(1, PATH_FRAMES + 1)]
    assert None not in shapes
    return np.asarray([shape.points for shape in shapes if shape is not None])


def test_a_breathing_lesion_is_tracked_with_six_keyframes(
    site: tuple[Live, Hospital], cine: Case, browser: Browser
) -> None:
    path = json.loads((VECTORS / "lesion_path.json").read_text("utf-8"))
    (image,) = cine.images()
    with visit(browser, site[0].url, "kaneko") as page:
        hand = opened(page, cine)
        hand.press("Shift+R")
        for frame, corners in path["track"]["keyframes"]:
            hand.to_frame(frame)
            hand.drag(image.columns, corners)
            expect(page.locator("#shapes .shape.key")).to_have_count(1)
        eventually(page, lambda: len(rois(cine)) == 1 and len(rois(cine)[0].keyframes) == PATH_KEYFRAMES)
        (roi,) = rois(cine)
        mean = float(overlaps(boxes_of(roi), np.asarray(path["boxes"])).mean())
        print(json.dumps({"path_iou": round(mean, 4), "keyframes": len(roi.keyframes), "keys": hand.keys}))
        assert mean >= 0.9
        expect(page.locator("#timeline .key")).to_have_count(PATH_KEYFRAMES)
        assert violations(page) == []


def test_a_track_is_cut_hidden_and_joined_by_keys(site: tuple[Live, Hospital], browser: Browser) -> None:
    case = a_case(site, small_study(11, stills=0, cine_frames=24))
    (image,) = case.images()

    def told() -> list[tuple[list[int], list[list[int]]]]:
        return sorted(([frame for frame, _ in roi.keyframes], roi.out_of_view) for roi in rois(case))

    with visit(browser, site[0].url, "kaneko", lang="en", size="small") as page:
        hand = opened(page, case)
        hand.press("Shift+R")
        hand.drag(image.columns, [(200, 200), (280, 260)])
        hand.press("Shift+S")
        shape = page.locator("#shapes .shape")
        hand.to_frame(11)
        expect(shape).to_have_count(0)
        hand.press("i", "Shift+ArrowRight")
        expect(shape).to_have_class("shape lesion rectangle tone-0 selected key")
        hand.to_frame(6)
        expect(shape).to_have_count(1)
        assert page.locator("#shapes .line").get_attribute("d") == "M205 200L285 200L285 260L205 260Z"
        # A press makes a keyframe of what lies between, a second takes it away; an arrow makes one by itself.
        hand.press("i")
        eventually(page, lambda: told() == [([1, 6, 11], [])])
        hand.press("i")
        eventually(page, lambda: told() == [([1, 11], [])])
        hand.press("ArrowDown")
        eventually(page, lambda: told() == [([1, 6, 11], [])])
        hand.press(",")
        hand.shows(1)
        hand.press(".", ".")
        hand.shows(11)
        hand.to_frame(8)
        hand.press("o")
        expect(shape).to_have_count(0)
        eventually(page, lambda: told() == [([1, 6, 11], [[8, 10]])])
        hand.to_frame(10)
        hand.press("o")
        expect(shape).to_have_count(1)
        eventually(page, lambda: told() == [([1, 6, 11], [[8, 9]])])
        hand.to_frame(4)
        hand.press("s")
        eventually(page, lambda: told() == [([1, 3], []), ([4, 6, 11], [[8, 9]])])
        expect(page.locator("#timeline .timeline-row")).to_have_count(2)
        page.locator("#timeline button").first.click(modifiers=["Shift"])
        hand.press("Shift+T")
        eventually(page, lambda: told() == [([1, 3, 4, 6, 11], [[8, 9]])])
        hand.to_frame(5)
        hand.press("l")
        hand.to_frame(10)
        hand.press("Shift+Delete")
        eventually(page, lambda: told() == [([1, 3, 4], []), ([11], [])])
        hand.press("Shift+F")
        hand.shows(12) if page.locator("#shapes .shape").count() else hand.shows(10)
        assert violations(page) == []


def test_every_tool_draws_what_it_says(site: tuple[Live, Hospital], browser: Browser) -> None:
    case = a_case(site, small_study(12, stills=1, cine_frames=0))
    (image,) = case.images()
    with visit(browser, site[0].url, "kaneko", size="small") as page:
        hand = opened(page, case)
        to = hand.place(image.columns)

        def click(*places: tuple[float, float]) -> None:
            for place in places:
                page.mouse.click(*to(*place))
                page.wait_for_timeout(30)

        hand.press("Shift+E")
        hand.drag(image.columns, [(200, 200), (260, 240)])
        hand.press("Shift+0", "Shift+G")
        click((300, 200), (360, 200), (360, 260), (400, 400))
        hand.press("Backspace", "Enter")
        hand.press("Shift+P")
        click((300, 300), (380, 300), (380, 380))
        page.mouse.dblclick(*to(300, 380))
        hand.press("Shift+L")
        hand.drag(image.columns, [(420, 200), (420, 300)])
        hand.press("Shift+D")
        click((450, 250))
        # Without a pointer: a tool and Enter put a shape in the middle, for the arrow keys.
        hand.press("Shift+R", "Escape", "Escape", "Shift+R", "Enter", "ArrowLeft")
        eventually(page, lambda: len(rois(case)) == 6)
        known = {(roi.use, roi.kind): roi for roi in rois(case)}
        assert set(known) == {
            ("lesion", "ellipse"),
            ("lesion", "polygon"),
            ("lesion", "spline"),
            ("caliper", "points"),
            ("landmark", "points"),
            ("lesion", "rectangle"),
        }
        polygon, spline = known["lesion", "polygon"], known["lesion", "spline"]
        assert len(polygon.keyframes[0][1]) == 3 and len(spline.keyframes[0][1]) == 4
        assert known["lesion", "ellipse"].lesion_id != polygon.lesion_id
        # The class is the lesion's, on whatever shape it is chosen; the vocabulary says which class is a cyst.
        expect(page.locator(f"#roi-list [data-roi='{polygon.id}'] .tag")).to_have_text("嚢胞")
        expect(page.locator("#shapes .caliper text")).to_contain_text("mm")
        # A vertex: chosen by Tab, moved by an arrow, added on an edge, deleted.
        page.locator(f"#roi-list [data-roi='{polygon.id}']").click()
        hand.press("3")
        expect(page.locator(f"#roi-list [data-roi='{polygon.id}'] .tag")).to_have_text("非嚢胞")
        page.locator("#handles .handle[data-index='1']").focus()
        hand.press("Shift+ArrowDown", "Insert")
        expect(page.locator("#handles [data-index]")).to_have_count(4)
        page.locator("#handles .handle[data-index='2']").focus()
        hand.press("Delete")
        eventually(page, lambda: points_of(case, polygon.id)[1][1] == pytest.approx(polygon.keyframes[0][1][1][1] + 10))
        assert len(points_of(case, polygon.id)) == 3
        assert violations(page) == []


def points_of(case: Case, roi_id: UUID) -> list[list[float]]:
    points: list[list[float]] = next(roi for roi in rois(case) if roi.id == roi_id).keyframes[0][1]
    return points


def test_the_frame_shown_is_the_frame_stored(site: tuple[Live, Hospital], browser: Browser) -> None:
    cine = a_case(site, numbered_study(6, "logiq-e9", SEEK_FRAMES))
    (image,) = cine.images()
    region = image.facts["regions"][0]
    place = {"x": int(region["x0"]), "y": int(region["y0"]), "width": 360, "height": 48}
    seeks = random.Random(5).choices(range(1, SEEK_FRAMES + 1), k=SEEKS)
    with visit(browser, site[0].url, "kaneko") as page:
        opened(page, cine)
        wrong = []
        for begin in range(0, SEEKS, 50):
            frames = seeks[begin : begin + 50]
            seen = page.evaluate(_SEEK, {"frames": frames} | place)
            for frame, coded in zip(frames, seen, strict=True):
                grey = np.frombuffer(base64.b64decode(coded), np.uint8).reshape(place["height"], place["width"])
                if (read := read_number(grey)) != frame:
                    wrong.append((frame, read))
        assert wrong == []


def test_window_and_gamma_change_nothing_that_is_stored(
    site: tuple[Live, Hospital], cine: Case, browser: Browser
) -> None:
    shown = "() => getComputedStyle(document.querySelector('#stage canvas')).filter"
    pixels = "() => document.querySelector('#stage canvas').toDataURL()"
    with visit(browser, site[0].url, "kaneko", lang="en") as page:
        hand = opened(page, cine)
        before, count = page.evaluate(pixels), len(rois(cine))
        hand.press("w", "ArrowRight")
        assert page.evaluate(shown) == 'url("#look-filter")'
        assert page.evaluate(pixels) == before
        assert violations(page) == []
        hand.press("Escape", "Shift+W")
        assert page.evaluate(shown) == "none"
        box = page.locator("#stage").bounding_box()
        assert box
        page.mouse.move(box["x"] + 50, box["y"] + 50)
        page.mouse.down(button="right")
        page.mouse.move(box["x"] + 150, box["y"] + 90)
        page.mouse.up(button="right")
        assert page.evaluate(shown) == 'url("#look-filter")'
        assert len(rois(cine)) == count


def proposing(page: Page, answers: list[dict[str, Any]]) -> None:
    """A model's proposals, as the page is told of them; what it answers to them is kept."""
    shape = [[100, 100], [160, 150]]
    known = [
        {"id": f"p{n}", "frame": 1, "kind": "rectangle", "label": "LIV-HCC", "score": 0.9 - n / 10, "state": "OPEN"}
        | {"points": [[x + 80 * n, y + 40] for x, y in shape]}
        for n in range(3)
    ]

    def tell(route: Route) -> None:
        if not route.request.url.endswith("/proposals"):
            answers.append({"id": route.request.url.rsplit("/", 1)[1]} | (route.request.post_data_json or {}))
            route.fulfill(json={"at": "2026-11-28T04:00:00Z"})
        else:
            route.fulfill(json={"proposals": known, "model": {"name": "blobs", "version": "1"}})

    page.route("**/cases/*/images/*/proposals**", tell)


def test_proposals_are_taken_mended_and_refused_by_key(site: tuple[Live, Hospital], browser: Browser) -> None:
    case = a_case(site, small_study(13, stills=1, cine_frames=0))
    answers: list[dict[str, Any]] = []
    with visit(browser, site[0].url, "kaneko", lang="en") as page:
        proposing(page, answers)
        hand = opened(page, case)
        dashed = page.locator("#shapes .dashed")
        expect(dashed).to_have_count(0)
        hand.press("u")
        expect(dashed).to_have_count(3)
        expect(page.locator("#roi-list li")).to_have_count(0)
        assert violations(page) == []
        hand.press("y")
        expect(dashed).to_have_count(2)
        hand.drag(case.images()[0].columns, [(210, 165), (220, 175)])
        expect(dashed).to_have_count(1)
        hand.press("Shift+Y")
        expect(dashed).to_have_count(0)
        expect(page.locator("#roi-list li")).to_have_count(2)
        eventually(page, lambda: len(answers) == 3)
    assert [(one["id"], one["answer"]) for one in answers] == [("p0", "accept"), ("p1", "accept"), ("p2", "reject")]
    assert answers[0]["roi"]["keyframes"] == [[1, [[100, 140], [160, 190]]]]
    assert answers[1]["roi"]["keyframes"] == [[1, [[190, 150], [250, 200]]]]
    assert "roi" not in answers[2]


def test_undo_and_redo_go_back_over_a_reload(site: tuple[Live, Hospital], browser: Browser) -> None:
    case = a_case(site, small_study(14, stills=1, cine_frames=0))
    (image,) = case.images()
    saved = "() => document.querySelector('#save-badge').dataset.now === 'saved'"

    def there() -> list[tuple[str, float]]:
        return sorted((roi.kind, roi.x) for roi in rois(case))

    with visit(browser, site[0].url, "kaneko") as page:
        hand = opened(page, case)
        shapes = page.locator("#shapes .shape")
        hand.press("Shift+R")
        hand.drag(image.columns, [(200, 200), (280, 260)])
        eventually(page, lambda: there() == [("rectangle", 200)])
        hand.press("Shift+ArrowRight")
        eventually(page, lambda: there() == [("rectangle", 210)])
        hand.press("Shift+E")
        hand.drag(image.columns, [(300, 300), (360, 340)])
        eventually(page, lambda: there() == [("ellipse", 300), ("rectangle", 210)])
        page.wait_for_function(saved)
        hand.press("z")
        expect(shapes).to_have_count(1)
        eventually(page, lambda: there() == [("rectangle", 210)])
        page.reload()
        hand.shows()
        expect(shapes).to_have_count(1)
        hand.press("z")
        eventually(page, lambda: there() == [("rectangle", 200)])
        expect(page.locator("#shapes .line")).to_have_attribute("d", "M200 200L280 200L280 260L200 260Z")
        hand.press("Shift+Z")
        eventually(page, lambda: there() == [("rectangle", 210)])
        hand.press("Shift+Z")
        expect(shapes).to_have_count(2)
        eventually(page, lambda: there() == [("ellipse", 300), ("rectangle", 210)])
        # What is not sent yet goes first: a stroke and its undo leave what was there before.
        page.locator("#roi-list button").first.click()
        before = there()
        hand.press("ArrowDown", "z")
        page.wait_for_timeout(1000)
        assert there() == before
