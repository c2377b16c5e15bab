"""Second readings in a real browser: assigned, read blind by keyboard and mouse, settled; every page in both languages."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from core.clock import now_utc
from core.db import reading, transaction
from core.models.curation import Form
from core.models.people import Role
from core.models.reads import Read, ReadState
from core.permissions import Actor, rights_of
from core.queries.reads import rois_of
from core.services import progress, reads
from tests.casework import Case, small_study
from tests.live import Live, chromium, live, violations, visit
from tests.postgres_fixture import ScratchPostgres
from tests.reading_site import box
from tests.viewer_site import hospital

PEOPLE = {"sato": [Role.CUR, Role.REG], "ito": [Role.CUR, Role.REG], "mori": [Role.CUR]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Case]]:
    with hospital(tmp_path_factory.mktemp("reads")) as known, live(postgres, "site", **known.changes) as node:
        for name, roles in PEOPLE.items():
            node.person(name, *roles)
        case = known.pull(node.served, small_study(7, stills=1, cine_frames=4))
        case.make_candidates()
        case.answer()
        case.pick()
        case.draw()
        yield node, case


def actor(node: Live, name: str) -> Actor:
    return Actor(name, node.served.people[name].id, rights_of([(role, "*") for role in PEOPLE[name]]))


def draw(page: Page) -> None:
    page.locator("[data-tool-of=rectangle]").click()
    place = page.locator("#stage").bounding_box()
    assert place
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x - 40, y - 30)
    page.mouse.down()
    page.mouse.move(x, y)
    page.mouse.move(x + 50, y + 40)
    page.mouse.up()


def test_a_case_is_read_blind_and_settled(site: tuple[Live, Case], browser: Browser) -> None:
    node, case = site
    with visit(browser, node.url, "sato", lang="en") as page:
        page.goto(f"/cases/{case.id}/reads")
        for name in ("ito", "mori"):
            page.get_by_label(name, exact=True).check()
        page.locator("#due").fill((now_utc() + timedelta(days=5)).date().isoformat())
        page.get_by_role("button", name="Assign").click()
        expect(page.get_by_text("Assigned to 2 readers.")).to_be_visible()
        assert violations(page) == []
    read_in_the_browser(node, browser)
    with transaction(node.served.node.engine, "test.mori") as session:
        read = session.exec(select(Read).where(Read.reader_id == node.served.people["mori"].id)).one()
        reads.save_form(session, actor(node, "mori"), read.id, {"diagnosis": "LIV-HEM", "size_long_mm": 19.5}, 0)
        reads.add_roi(session, actor(node, "mori"), read.id, case.images()[0].id, box(x=280.0, y=210.0))
    with transaction(node.served.node.engine, "test.mori") as session:
        reads.submit(session, actor(node, "mori"), read.id)
    settle(node, case, browser)
    every_page(node, case, browser)


def read_in_the_browser(node: Live, browser: Browser) -> None:
    """Ito reads with the keyboard and the mouse, and hands in before the last answer was saved by itself."""
    with visit(browser, node.url, "ito", lang="en") as page:
        page.goto("/reads")
        assert violations(page) == []
        page.get_by_role("link", name="Read Case").click()
        page.wait_for_selector("#stage[data-frame='1']")
        expect(page.locator("#shapes .shape")).to_have_count(0)  # nothing of what others drew
        assert violations(page) == []
        draw(page)
        expect(page.locator("#roi-list li")).to_have_count(1)
        page.keyboard.press("KeyM")  # there is no mask to confirm here
        expect(page.locator("#mask-panel")).to_be_hidden()
        page.locator("[data-quick=LIV-CYST]").click()
        page.locator("#answers input[name=size_long_mm]").fill("23.4")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_text("Your reading is handed in.")).to_be_visible()
    with reading(node.served.node.engine) as session:
        read = session.exec(select(Read).where(Read.reader_id == node.served.people["ito"].id)).one()
        assert read.state == ReadState.SUBMITTED
        assert {code: read.values[code]["value"] for code in ("diagnosis", "size_long_mm")} == {
            "diagnosis": "LIV-CYST",
            "size_long_mm": 23.4,
        }
        assert len(rois_of(session, read.id)) == 1


def settle(node: Live, case: Case, browser: Browser) -> None:
    with visit(browser, node.url, "sato", lang="en") as page:
        page.goto(f"/cases/{case.id}/reads")
        page.wait_for_load_state("networkidle")
        assert violations(page) == []
        rows = page.locator("tr.apart")
        for row in rows.all():
            row.locator("input[type=radio]").nth(1).check()
        for figure in page.locator("figure fieldset").all():
            figure.locator("input[type=radio]").nth(1).check()
        page.get_by_role("button", name="Settle").click()
        expect(page.get_by_text("The readings are settled")).to_be_visible()
        expect(page.locator("#f-diagnosis")).to_contain_text("adjudicated")
    with reading(node.served.node.engine) as session:
        form = session.get_one(Form, case.id)
        assert form.values["diagnosis"] == {"value": "LIV-CYST", "source": "adjudicated", "tag": None}


def every_page(node: Live, case: Case, browser: Browser) -> None:
    """In both languages and sizes, without anything that axe would mind."""
    with transaction(node.served.node.engine, "test.wait") as session:
        until = (now_utc() + timedelta(days=3)).date()
        progress.wait(session, actor(node, "sato"), case.id, until, "pathology")
        progress.set_targets(session, actor(node, "sato"), "liver", {"": 300, "LIV-HCC": 120, "LIV-CYST": 80})
    pages = ["/reads", f"/cases/{case.id}/reads", "/agreement", "/my", "/my/targets", f"/cases/{case.id}/comments"]
    for lang, size in (("ja", "wide"), ("en", "small")):
        with visit(browser, node.url, "sato", lang=lang, size=size) as page:
            page.goto(f"/cases/{case.id}/comments")
            page.locator("#text").fill("画像 1 の ROI を確認してください。")
            page.locator("form:has(#text) button").click()
            for place in pages:
                page.goto(place)
                page.wait_for_load_state("networkidle")
                assert violations(page) == [], (place, lang, size)
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert wide <= 0, (place, lang, size)
