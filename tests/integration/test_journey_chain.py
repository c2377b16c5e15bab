"""A study's whole way on real nodes, every step of a person taken in a real browser: from the flag to the pulled boxes."""

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from playwright.sync_api import Browser, Locator, Page, expect
from pydicom import dcmread
from requests import Session

from commands.demo import Running, running
from commands.demo_answers import answers_for
from ml.client import Sonobank
from ml.phantom import PhantomInstance, PhantomStudy, make_study, to_bytes
from tests.live import chromium
from tests.nodes import free_layout

pytestmark = pytest.mark.slow
STILLS, FRAMES = 4, 12
PATIENCE_MS = 60_000
Box = tuple[float, float, float, float]

# The brightest value of the present picture inside a rectangle: what the person at this screen sees there.
_BRIGHTEST = """([x, y, width, height]) => {
  const canvas = document.querySelector("#stage canvas");
  const { data } = canvas.getContext("2d").getImageData(x, y, width, height);
  return data.reduce((most, value, at) => (at % 4 === 3 ? most : Math.max(most, value)), 0);
}"""
# What a press of Enter in mask mode changes: the masks that are done, the image and frame shown, the frames left to see.
_STANDING = """() => [
  document.querySelector(".thumbs-foot .mask-count").textContent,
  document.querySelector("#thumbs [aria-current]").dataset.image,
  document.getElementById("stage").dataset.frame,
  document.querySelectorAll("#mask-frames .chip:not(.seen)").length,
].join(" ")"""
_CAN_CONFIRM = """() => document.getElementById("stage").dataset.frame
  && !document.getElementById("mask-confirm").disabled"""


@dataclass(frozen=True)
class Plan:
    """One way: a console, the diagnosis by its code and in words, and the name of its dataset."""

    seed: int
    device: str
    code: str
    words: str
    dataset: str


KNOWN = Plan(4101, "epiq", "LIV-HCC", "肝細胞癌", "liver-known")
UNKNOWN = Plan(4102, "unknown", "LIV-MET", "転移性肝腫瘍", "liver-unknown")


@dataclass(frozen=True)
class Flagged:
    """The case as the person who flagged it knows it."""

    number: str
    path: str


@dataclass
class Demo:
    """The demo's nodes and a browser for its people."""

    nodes: Running
    browser: Browser

    @contextmanager
    def at(self, node: str, name: str) -> Iterator[Page]:
        """A fresh window of this person, signed in; a script error or a refused resource fails the test."""
        papers = self.nodes.papers[node]
        size = {"width": 1440, "height": 900}
        context = self.browser.new_context(viewport=size, locale="ja", base_url=papers["url"])  # type: ignore[arg-type]
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        try:
            page.goto("/sign-in")
            page.fill("input[name=name]", name)
            page.fill("input[name=password]", papers["users"][name])
            page.click("form[action^='/sign-in'] button[type=submit]")
            page.wait_for_url(papers["url"] + "/")
            yield page
        finally:
            context.close()
        assert not wrong, wrong


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running(free_layout(tmp_path_factory.mktemp("by-hand"))) as nodes, chromium() as browser:
        yield Demo(nodes, browser)


def eventually(page: Page, is_so: Callable[[], bool], what: str) -> None:
    """Look again at a page that does not renew itself, as a person does, until it says so."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not is_so():
        assert time.monotonic() < deadline, what
        page.wait_for_timeout(300)
        page.reload()


def store(demo: Demo, study: PhantomStudy) -> None:
    """The console stores its study at the PACS."""
    papers = demo.nodes.papers["pacs"]
    session = Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {papers['tokens']['admin']}"
    with session:
        client = DICOMwebClient(f"{papers['url']}/dicom-web", session=session)
        client.store_instances([dcmread(io.BytesIO(to_bytes(instance))) for instance in study.instances])


# At the hospital


def flag(page: Page, study: PhantomStudy) -> Flagged:
    page.click("nav a[href='/flag']")
    page.fill("#chart_id", study.patient.patient_id)
    page.fill("#accession", study.accession)
    page.select_option("#domain", study.domain)
    page.click("#flag-one button[type=submit]")
    note = page.locator("#flag-one .note.ok")
    expect(note).to_contain_text("として指定しました")
    path = note.locator("a").get_attribute("href")
    assert path
    return Flagged(note.inner_text().split("症例")[1].split()[0], path)


def open_from_worklist(page: Page, flagged: Flagged) -> None:
    """It waits there until everything is pulled."""
    page.click("nav a[href='/worklist']")
    row = page.locator("table.list tbody tr", has=page.locator(f"a[href^='{flagged.path}']"))
    expect(row).to_have_count(1)
    eventually(page, lambda: "キュレーション待ち" in row.inner_text(), "the study was not pulled")
    expect(row.locator("td").nth(4)).to_have_text(f"{STILLS + 1} / {STILLS + FRAMES}")
    row.locator(f"a[href^='{flagged.path}']").click()
    expect(page.locator("#thumbs [data-image]")).to_have_count(STILLS + 1)


def pick_all(page: Page) -> None:
    """Every image by key: P takes it, J turns to the next."""
    total = STILLS + 1
    for number in range(1, total + 1):
        expect(page.locator(f"#pick-{number}[data-image]")).to_be_visible()  # the script has it
        page.keyboard.press("KeyP")
        expect(page.locator("#picks-count")).to_contain_text(f"採用 {number} / {total} 枚")
        page.keyboard.press("KeyJ")
    expect(page.locator("#thumbs .mark-pick .picked")).to_have_count(total)


def answer(page: Page, values: dict[str, Any]) -> None:
    for field, value in values.items():
        question = page.locator(f"#f-{field}")
        expect(question).to_be_visible()
        if question.locator("[role=combobox]").count():
            question.locator("[role=combobox]").fill(str(value))
            question.locator("[role=combobox]").press("Enter")
        elif question.locator("select").count():
            question.locator("select").select_option(str(value))
        elif question.locator(".chips").count():
            for code in value if isinstance(value, list) else [value]:
                question.locator(f"input[value='{code}']").check()
        else:
            question.locator(f"#i-{field}").fill(str(value))
    expect(page.locator("#answers .q.open:visible")).to_have_count(0)
    expect(page.locator("#save-badge")).to_contain_text("保存済み")


def draw(page: Page, instance: PhantomInstance) -> Box:
    """A rectangle around the lesion by mouse on the first picture; returns the box that the page made of it."""
    page.locator("#thumbs [data-image]").first.click()
    page.wait_for_selector("#stage[data-frame='1']", timeout=PATIENCE_MS)
    truth = instance.truth.boxes[0]
    canvas = page.locator("#stage canvas").bounding_box()
    assert truth and canvas
    scale = canvas["width"] / instance.dataset.Columns
    x, y, width, height = truth
    page.keyboard.press("Shift+KeyR")
    page.mouse.move(canvas["x"] + x * scale, canvas["y"] + y * scale)
    page.mouse.down()
    page.mouse.move(canvas["x"] + (x + width / 2) * scale, canvas["y"] + (y + height / 3) * scale)
    page.mouse.move(canvas["x"] + (x + width) * scale, canvas["y"] + (y + height) * scale)
    page.mouse.up()
    page.keyboard.press("Shift+KeyS")
    expect(page.locator("#shapes .shape")).to_have_count(1)
    expect(page.locator("#roi-list li")).to_contain_text("mm")
    corners = re.findall(r"[\d.]+", page.locator("#shapes .shape .line").get_attribute("d") or "")
    (left, top), (right, bottom) = (map(float, corners[:2]), map(float, corners[4:6]))
    made = (left, top, right - left, bottom - top)
    assert made == pytest.approx(truth, abs=2), "the box is where the hand was"
    return made


def confirm_masks(page: Page, study: PhantomStudy) -> None:
    """Mask mode by M; each Enter shows what was not seen yet, or confirms and turns to the next image."""
    total = STILLS + 1
    page.keyboard.press("KeyM")
    count = page.locator(".thumbs-foot .mask-count")
    for _ in range(total + FRAMES + 1):
        if count.inner_text() == f"{total}/{total}":
            break
        page.wait_for_function(_CAN_CONFIRM, timeout=PATIENCE_MS)
        look_at_mask(page, study)
        before = page.evaluate(_STANDING)
        page.keyboard.press("Enter")
        page.wait_for_function(f"before => ({_STANDING})() !== before", arg=before)
    expect(count).to_have_text(f"{total}/{total}")
    page.keyboard.press("KeyM")


def look_at_mask(page: Page, study: PhantomStudy) -> None:
    """A device that no rule knows is announced and confirmed one by one; and nothing that identifies is on the screen."""
    warning = page.locator("#mask-warning")
    if study.device == "unknown":
        expect(warning).to_be_visible()
        expect(warning).to_have_attribute("role", "alert")
        expect(warning).to_contain_text("未登録の機種です")
        expect(warning).to_contain_text(study.instances[0].dataset.ManufacturerModelName)
        expect(page.locator("#mask-confirm-rule")).to_be_hidden()
    else:
        expect(warning).not_to_contain_text("未登録")
    shown = study.instances[0].dataset
    assert page.evaluate(_BRIGHTEST, [0, 0, shown.Columns, shown.Rows]) > 64, "there is a picture"
    number = int(page.locator("#thumbs [aria-current] .thumb-words b").inner_text())
    for text in study.instances[number - 1].texts:
        if text.identifying:
            assert page.evaluate(_BRIGHTEST, list(text.box)) <= 16, f"text that identifies is left on image {number}"


def register(page: Page, plan: Plan) -> None:
    standing = page.locator("#case-standing")
    expect(standing).to_have_attribute("data-gaps", "0")
    page.keyboard.press("Control+Enter")
    sheet = page.locator("#sheet-dialog")
    expect(sheet).to_contain_text(plan.words)
    expect(sheet.locator(".sheet-images li")).to_have_count(STILLS + 1)
    sheet.get_by_role("button", name="登録する").click()
    expect(page.locator("#flash")).to_contain_text("登録しました")
    expect(standing).to_have_attribute("data-state", "REGISTERED")


def follow(page: Page, flagged: Flagged) -> None:
    """Its package on the list, by itself to the last station, and central's signed word for it."""
    page.click("nav a[href='/transfers']")
    name = page.get_by_role("link", name=f"症例 {flagged.number}", exact=True)
    eventually(page, lambda: name.count() == 1, "the case was not released")
    row = page.locator("tbody tr", has=name)
    expect(row).to_contain_text("クラウドに複製済み", timeout=PATIENCE_MS)
    name.click()
    expect(page.locator(".told", has_text="受け入れ")).to_contain_text("確認済み")
    expect(page.locator(".told")).to_have_count(2)


# At central


def find_case(page: Page, plan: Plan, study: PhantomStudy) -> None:
    page.click("nav a[href='/cases']")
    row = page.locator("table.cases tbody tr", has_text=study.instances[0].dataset.ManufacturerModelName)
    expect(row).to_have_count(1)
    row.locator("a.open").click()
    expect(page.locator("h1")).to_contain_text(plan.words)
    expect(page.locator(".strip li")).to_have_count(STILLS + 1)
    expect(page.locator(".boxes rect")).to_have_count(1)
    by_hand = page.get_by_text("規則なし")
    expect(by_hand).to_have_count(STILLS + 1 if study.device == "unknown" else 0)


def freeze(page: Page, plan: Plan, study: PhantomStudy) -> None:
    """A dataset of this manufacturer's case only."""
    page.click("nav a[href='/datasets']")
    page.click("a[href='/datasets/new']")
    page.fill("#name", plan.dataset)
    page.select_option("#domain", study.domain)
    manufacturer = page.get_by_label(study.instances[0].dataset.Manufacturer)
    manufacturer.check()
    held: Locator = page.locator(".counting .keys dd")
    expect(held.first).to_contain_text("1 / ")
    expect(manufacturer).to_be_checked()
    page.click("button.primary")
    expect(page.locator("#flash")).to_contain_text("版の固定を始めました")
    expect(page.locator("#versions")).to_contain_text("固定済み", timeout=PATIENCE_MS)


def pulled_boxes(demo: Demo, plan: Plan, folder: Path) -> list[tuple[str, Box]]:
    """What the developer's client brings: (class, box) of every annotation of every part."""
    papers = demo.nodes.papers["central"]
    Sonobank(papers["url"], papers["tokens"]["developer"]).dataset(plan.dataset).pull(folder)
    found: list[tuple[str, Box]] = []
    for path in sorted((folder / "coco").glob("*.json")):
        part = json.loads(path.read_text("utf-8"))
        names = {category["id"]: category["name"] for category in part["categories"]}
        found += [(names[one["category_id"]], tuple(one["bbox"])) for one in part["annotations"]]
        assert all((folder / image["file_name"]).is_file() for image in part["images"])
    return found


@pytest.mark.parametrize("plan", [KNOWN, UNKNOWN], ids=lambda plan: plan.device)
def test_a_flagged_study_reaches_the_developer_by_the_hands_of_the_demos_people(
    demo: Demo, plan: Plan, tmp_path: Path
) -> None:
    study = make_study(plan.seed, "liver", plan.device, STILLS, FRAMES, plan.code)
    store(demo, study)
    with demo.at("site", "examiner") as page:
        flagged = flag(page, study)
    with demo.at("site", "curator") as page:
        open_from_worklist(page, flagged)
        pick_all(page)
        answer(page, answers_for(study.domain, study.instances[0].truth))
        drawn = draw(page, study.instances[0])
        confirm_masks(page, study)
        register(page, plan)
    with demo.at("site", "transfer") as page:
        follow(page, flagged)
    with demo.at("central", "lead") as page:
        find_case(page, plan, study)
        freeze(page, plan, study)
    ((label, box),) = pulled_boxes(demo, plan, tmp_path / "pulled")
    assert label == plan.code
    assert box == pytest.approx(drawn, abs=0.01)
