"""Devices over a real node: devices without a rule first, rules drawn to scale, what is held of each, who sees what."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from core.clock import now_utc
from core.db import transaction
from core.deid.mask_rules import Rect, catalogue
from core.models.curation import ImageMask, MaskState
from core.models.people import Role
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.queries import devices as queries
from core.security import session_cookie_name
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve

PEOPLE = {
    "cur": [(Role.CUR, "*")],
    "breast": [(Role.CUR, "breast")],
    "it": [(Role.SITEIT, "*")],
    "xfer": [(Role.XFER, "*")],
}
KNOWN = next(rule for rule in catalogue() if rule.model == "=LOGIQS8" and rule.rows and rule.rects)


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as served:
        for name, grants in PEOPLE.items():
            served.person(name, grants)
        served.client.headers.update({"Sec-Fetch-Site": "same-origin", "Accept": "text/html"})
        yield served


@pytest.fixture(autouse=True)
def _nothing_is_held(site: Served) -> None:
    with transaction(site.node.engine, "test.empty") as session:
        session.execute(text("TRUNCATE site_case CASCADE"))


def shown(site: Served, path: str = "/devices", name: str = "cur", lang: str = "en", status: int = 200) -> str:
    site.client.cookies.clear()
    site.client.cookies.set(session_cookie_name(site.settings), site.cookie(name))
    answer = site.client.get(path, headers={"Accept-Language": lang})
    assert answer.status_code == status, answer.text
    return str(answer.text)


def hold(
    site: Served,
    model: str | None = "EchoView 300",
    rule_id: str | None = None,
    images: int = 2,
    state: CaseState = CaseState.CURATING,
    domain: str = "liver",
    **more: object,
) -> SiteCase:
    """A case whose images came from this device."""
    facts = {"manufacturer": "Hakusan <b>Medical</b>", "model": model}
    with transaction(site.node.engine, "test.hold") as session:
        case = SiteCase(state=state, domain=domain, route="rest", flagged_by=site.people["cur"].id, **more)
        session.add(case)
        session.flush()
        for number in range(1, images + 1):
            image = SiteImage(
                case_id=case.id, number=number, state=ImageState.STAGED, size=1, frames=1, rows=576, columns=768,
                facts=facts,
            )  # fmt: skip
            session.add(image)
            session.flush()
            for revision, of_mask in ((1, MaskState.VOID), (2, MaskState.PROPOSED)):
                session.add(
                    ImageMask(
                        image_id=image.id, revision=revision, state=of_mask, rule_id=rule_id, digest=f"{number:064x}"
                    )
                )
    return case


def unknown(page: str) -> list[list[str]]:
    rows = re.findall(r"<tbody hx-disable>(.*?)</tbody>", page, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in re.split("<tr>", "".join(rows))[1:]]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in cells]


def test_devices_without_a_rule_come_first_with_their_cases(site: Served) -> None:
    first, second = hold(site), hold(site, images=3)
    hold(site, model="Other", images=9, state=CaseState.REGISTERED)
    page = shown(site)
    assert unknown(page) == [
        ["Hakusan &lt;b&gt;Medical&lt;/b&gt;", "EchoView 300", "768 × 576", "5", "2",
         f"Case {first.number} Case {second.number}"],
        ["Hakusan &lt;b&gt;Medical&lt;/b&gt;", "Other", "768 × 576", "9", "0", f"Case {second.number + 1}"],
    ]  # fmt: skip
    assert f'href="/cases/{first.id}"' in page and "a person must look" in page
    assert page.index('id="unknown"') < page.index('id="devices"')


def test_a_known_device_at_an_unknown_size_says_so(site: Served) -> None:
    hold(site, model="LOGIQS8")
    assert "A rule knows it at another size" in unknown(shown(site))[0][1]
    hold(site, model=None)
    assert "not stated" in [row[1] for row in unknown(shown(site))]


def test_nothing_unknown_is_said_plainly(site: Served) -> None:
    assert "Every held image is of a device that a rule covers" in shown(site)
    assert "取得済みの画像は、すべて規則のある装置のものです" in shown(site, lang="ja")


def test_purged_images_and_other_domains_do_not_count(site: Served) -> None:
    hold(site, purged_at=now_utc())
    assert unknown(shown(site)) == []
    hold(site)
    assert unknown(shown(site, name="breast")) == []
    hold(site, domain="breast")
    assert [row[3] for row in unknown(shown(site, name="breast"))] == ["2"]


def test_a_device_in_use_comes_first_with_a_masked_image(site: Served) -> None:
    case = hold(site, model="LOGIQS8", rule_id=f"us-0000000000+{KNOWN.id}")
    page = shown(site)
    card = page.split('<article class="card device">')[1]
    assert "<h3>LOGIQS8</h3>" in card and "2 images held" in card
    assert re.search(rf'<img src="/cases/{case.id}/images/[0-9a-f-]+/thumb"', card)
    assert unknown(page) == []
    assert "/thumb" not in shown(site, name="it")  # no right to see pictures


def test_rules_are_drawn_to_scale(site: Served) -> None:
    page = shown(site, "/devices?words=logiqs8")
    rows, columns = max(KNOWN.rows), max(KNOWN.columns, default=0)
    rect = KNOWN.rects[0]
    assert not columns or f'viewBox="-4 -4 {columns + 8} {rows + 8}"' in page
    assert f'<rect class="masked" x="{rect.x}" y="{rect.y}" width="{rect.width}" height="{rect.height}"' in page
    assert KNOWN.id in page


def test_every_drawing_fits_its_frame() -> None:
    screens = [screen for group in queries._screens().values() for screen in group]
    assert len(screens) > 250
    for screen in screens:
        assert screen.columns > 0 and screen.rows > 0
        for rect in screen.rects:
            assert isinstance(rect, Rect)
            assert rect.x + rect.width <= screen.columns and rect.y + rect.height <= screen.rows
    assert {rule.id for screen in screens for rule in screen.rules} == {r.id for r in catalogue() if not r.problem}


@pytest.mark.parametrize(("words", "fits"), [("LOGIQ e9", True), ("aixplorer", True), ("no such scanner", False)])
def test_devices_are_searched_whatever_the_case_and_spaces(site: Served, words: str, fits: bool) -> None:
    page = shown(site, f"/devices?words={words}")
    assert ('class="card device"' in page) == fits
    assert ("No device fits" in page) != fits


def test_only_devices_of_held_images_on_request(site: Served) -> None:
    hold(site, model="LOGIQS8", rule_id=KNOWN.id)
    page = shown(site, "/devices?only=here")
    assert page.count('class="card device"') >= 1
    assert page.count('class="card device"') == len(re.findall(r"\d images held", page))


def test_there_are_pages_and_nonsense_is_the_first(site: Served) -> None:
    page = shown(site)
    assert page.count('class="card device"') == queries.PAGE and "/devices?page=2" in page
    assert shown(site, "/devices?page=x&words=").count('class="card device"') == queries.PAGE
    assert "No device fits" in shown(site, "/devices?page=9999")


def test_it_reads_what_is_wrong_with_the_rules(site: Served) -> None:
    page = shown(site, name="it", lang="ja")
    assert "規則の点検" in page and "同じ規則が一覧に二度あります。" in page and "The same rule" not in page
    assert 'id="lint"' not in shown(site, name="cur")


def test_it_is_for_those_who_see_pictures_and_for_it(site: Served) -> None:
    shown(site, name="xfer", status=403)


def test_htmx_gets_the_cards_alone(site: Served) -> None:
    shown(site)
    headers = {"HX-Request": "true", "HX-Target": "devices", "Accept-Language": "en"}
    fragment = site.client.get("/devices?words=logiq", headers=headers).text
    assert fragment.strip().startswith('<div id="devices">') and "<html" not in fragment
