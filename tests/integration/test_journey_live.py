"""A model is accepted on its page and then plays along on the live page: a cine of a case, a file, a camera; by keyboard."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from core.db import transaction
from core.inference import folder as model_folder
from core.models.people import Role
from core.services import registry
from ml.phantom import make_study
from tests.casework import Case
from tests.live import Live, chromium, live, violations, visit
from tests.modelled import kept, person_of
from tests.postgres_fixture import ScratchPostgres
from tests.tiny_models import save_liver
from tests.viewer_site import hospital

RESEARCH = {"en": "Research use only", "ja": "研究用"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Chromium's own test picture stands for what an HDMI grabber delivers.
    with chromium("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream") as running:
        yield running


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Case]]:
    """A site with a cine of a liver, and a model that is registered but not accepted."""
    folder = save_liver(tmp_path_factory.mktemp("model") / "run")
    with hospital(tmp_path_factory.mktemp("live")) as known, live(postgres, "site", **known.changes) as node:
        node.person("kaneko", Role.CUR, Role.REG)
        node.person("mori", Role.SITEPI, Role.SITEIT)
        case = known.pull(node.served, make_study(44, "liver", "epiq", 0, 12, "LIV-CYST"))
        case.make_candidates()
        told = model_folder.read(model_folder.from_folder(folder))
        registry.keep_files(node.served.node, told)
        with transaction(node.served.node.engine, "test.model") as session:
            registry.register(session, person_of(node.served, "mori"), told, "liver")
        with kept(node.served):
            yield node, case


def test_a_person_accepts_a_model_on_its_page(site: tuple[Live, Case], browser: Browser) -> None:
    node, _ = site
    with visit(browser, node.url, "kaneko", lang="en") as page:
        page.goto("/live")
        expect(page.get_by_text("No model is in effect; a person accepts one")).to_be_visible()
        page.goto("/models")
        page.get_by_role("link", name="tiny-liver").click()
        expect(page.get_by_text("You may look")).to_be_visible()
        assert page.get_by_role("button", name="Accept").count() == 0
    with visit(browser, node.url, "mori", lang="ja") as page:
        page.goto("/models")
        assert violations(page) == []
        page.get_by_role("link", name="tiny-liver").click()
        expect(page.get_by_text("For tests only.")).to_be_visible()
        assert violations(page) == []
        page.get_by_role("button", name="採用する").click()  # the box is required: the browser stays
        expect(page).to_have_url(re.compile("/models/[0-9a-f-]+$"))
        page.get_by_role("checkbox").press("Space")
        page.get_by_role("button", name="採用する").press("Enter")
        expect(page.get_by_text("この版が使われるようになりました。")).to_be_visible()
        expect(page.locator(".head .state")).to_contain_text("採用中")
        page.goto("/models")
        assert violations(page) == []


def playing(page: Page) -> None:
    expect(page.locator("#boxes rect").first).to_be_attached(timeout=30_000)
    expect(page.locator("#median")).to_contain_text("ms")
    expect(page.locator("#live-model")).to_have_text("tiny-liver v1")


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_cine_of_a_case_plays_with_boxes(site: tuple[Live, Case], browser: Browser, lang: str) -> None:
    node, case = site
    with visit(browser, node.url, "kaneko", lang=lang, size="small" if lang == "ja" else "wide") as page:
        page.goto(f"/live?image={case.images()[0].id}")
        playing(page)
        expect(page.get_by_text(RESEARCH[lang]).first).to_be_visible()
        words = {"en": ("cyst", "not a cyst"), "ja": ("嚢胞", "嚢胞以外")}[lang]
        assert any(page.locator("#boxes text").first.inner_html().startswith(f"1 · {one}") for one in words)
        page.locator("#stage").focus()  # a lesion is shown from its third frame on; without being followed on each
        page.keyboard.press("t")
        expect(page.locator("#follow")).not_to_be_checked()
        expect(page.locator("#found")).to_contain_text(
            "12 of 12" if lang == "en" else "12 フレーム中 12", timeout=60_000
        )
        page.locator("#stage").focus()
        page.keyboard.press("Space")
        place = page.locator("#place").inner_text()
        page.wait_for_timeout(200)
        assert page.locator("#place").inner_text() == place
        page.keyboard.press("d" if not place.startswith("1 ") else "f")
        expect(page.locator("#place")).not_to_have_text(place)
        for _ in range(12):
            page.keyboard.press("+")
        expect(page.locator("#threshold-said")).to_have_text("0.95")
        said = page.locator("#boxes text").all_text_contents()
        assert all(int(one.rstrip("%").rpartition(" ")[2]) >= 95 for one in said)
        assert violations(page) == []


def test_files_and_a_camera_are_looked_at_too(site: tuple[Live, Case], browser: Browser, tmp_path: Path) -> None:
    node, _ = site
    rgb = np.full((300, 400, 3), 150, np.uint8)
    rgb[120:160, 180:220] = 5
    paths = [tmp_path / f"{number}.png" for number in (1, 2, 10)]
    for path in paths:
        Image.fromarray(rgb).save(path)
    with visit(browser, node.url, "kaneko", lang="en") as page:
        page.goto("/live")
        page.set_input_files("#file", paths)
        playing(page)
        expect(page.locator("#place")).to_contain_text("/ 3")
        box = page.locator("#boxes rect").first
        x, width = (float(box.get_attribute(name) or 0) for name in ("x", "width"))
        assert abs(x + width / 2 - 200) < 25
        (tmp_path / "text.png").write_text("no picture")
        page.set_input_files("#file", tmp_path / "text.png")
        expect(page.locator("#state")).to_contain_text("cannot be shown")


def test_a_camera_plays_as_a_scanner_would(site: tuple[Live, Case], browser: Browser) -> None:
    node, _ = site
    with visit(browser, node.url, "kaneko", lang="en") as page:
        page.goto("/live")
        page.get_by_role("button", name="Camera or HDMI grabber").click()
        expect(page.locator("#median")).to_contain_text("ms")
        expect(page.locator("#live-model")).to_have_text("tiny-liver v1")


def test_a_version_is_retired_and_gone_back_to(site: tuple[Live, Case], browser: Browser) -> None:
    node, _ = site
    with visit(browser, node.url, "mori", lang="en", scripts=False) as page:
        page.goto("/models")
        page.get_by_role("link", name="tiny-liver").click()
        page.locator("summary", has_text="Take it out of effect").click()
        page.get_by_role("button", name="Retire").click()
        expect(page.get_by_text("The version is retired.")).to_be_visible()
        page.get_by_role("checkbox").check()
        page.get_by_role("button", name="Go back to this version").click()
        expect(page.get_by_text("The version is in effect.")).to_be_visible()
