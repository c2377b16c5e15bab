"""The contact sheet over a real node: whose pictures are on it, in which order, and a page of them at a time."""

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from core.db import transaction
from core.models.curation import ImageMask, MaskState, Pick
from core.models.people import Role
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.queries.contact_sheet import PAGE
from core.security import session_cookie_name
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve

DIGEST = "a" * 64


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as served:
        served.person("liver", [(Role.CUR, "liver"), (Role.REG, "liver")])
        served.person("exam", [(Role.EXAM, "*")])
        served.client.headers.update({"Sec-Fetch-Site": "same-origin", "Accept": "text/html", "Accept-Language": "en"})
        yield served


def case(site: Served, images: int, domain: str = "liver", columns: int = 800, route: str = "rest") -> UUID:
    """A case in curation: image 1 is confirmed, image 2 rejected, the others wait; one object has no picture."""
    with transaction(site.node.engine, "test") as session:
        row = SiteCase(domain=domain, state=CaseState.CURATING, route=route, flagged_by=site.people["liver"].id)
        session.add(row)
        session.flush()
        for number in range(1, images + 1):
            image = SiteImage(
                case_id=row.id, number=number, state=ImageState.STAGED, size=9, frames=1, rows=600, columns=columns
            )
            session.add(image)
            session.flush()
            state = MaskState.CONFIRMED if number == 1 else MaskState.PROPOSED
            session.add(ImageMask(
                image_id=image.id, revision=1, state=state, digest=DIGEST, to_show=[1], rule_id="cx50", rule_version="1",
                rects=[[0, 0, 9, 9], [0, 9, 9, 9]], reasons=["drawn by a person"] * 2,
            ))  # fmt: skip
            if number == 2:
                session.add(Pick(image_id=image.id, picked=False, reason="duplicate"))
        session.add(SiteImage(case_id=row.id, number=images + 1, state=ImageState.REFUSED, size=9, reason="broken"))
        return row.id


def ask(site: Served, path: str, name: str = "liver", status: int = 200) -> str:
    site.client.cookies.set(session_cookie_name(site.settings), site.cookie(name))
    answer = site.client.get(path)
    site.client.cookies.clear()
    assert answer.status_code == status, answer.text
    return answer.text


def island(page: str) -> dict[str, Any]:
    found = re.search(r'id="case-data" hidden>(.*?)</div>', page, re.DOTALL)
    assert found
    told: dict[str, Any] = json.loads(found[1].replace("&#34;", '"').replace("&#39;", "'").replace("&amp;", "&"))
    return told


def test_a_case_has_its_pictures_with_state_reason_and_rule(site: Served) -> None:
    one = case(site, 3, route="retrospective")
    page = ask(site, f"/cases/{one}/contact-sheet")
    assert page.count('class="tile"') == 3 and "from a folder" in page and "columns-2" in page
    assert page.count("<li>drawn by a person") == 3 and page.count("×2") == 3 and "cx50" in page
    assert [image["number"] for image in island(page)["images"]] == [1, 2, 3]
    assert [image["picked"] for image in island(page)["images"]] == [None, False, None]
    waiting = ask(site, f"/cases/{one}/contact-sheet?waiting=1")
    assert [image["number"] for image in island(waiting)["images"]] == [3]


def test_many_cases_come_page_by_page_and_only_ones_own(site: Served) -> None:
    first, second, theirs = case(site, PAGE), case(site, 5, columns=1280), case(site, 4, "breast")
    query = "&".join(f"case={one}" for one in (second, first, theirs))
    page = ask(site, f"/contact-sheet?{query}")
    assert f"{PAGE + 5} images" in page and "Sheet 1 of 2" in page and f"{PAGE - 2 + 3} wait" in page
    assert {image["caseId"] for image in island(page)["images"]} == {str(first)}
    last = island(ask(site, "/contact-sheet" + island(page)["next"]))
    assert (len(last["images"]), last["next"]) == (5, None)
    assert island(ask(site, f"/contact-sheet?{query}&page=99"))["images"] == last["images"]
    assert str(theirs) not in json.dumps([island(page), last])
    assert page.count(f"case={second}&amp;case={first}") == 1  # the other language has the same cases
    assert "Mark cases" in ask(site, f"/contact-sheet?case={theirs}")


def test_wide_pictures_stand_alone_and_small_ones_in_threes(site: Served) -> None:
    assert "columns-1" in ask(site, f"/cases/{case(site, 1, columns=1280)}/contact-sheet")
    assert "columns-3" in ask(site, f"/cases/{case(site, 1, columns=640)}/contact-sheet")


def test_who_may_not_see_pictures_sees_no_sheet(site: Served) -> None:
    one, theirs = case(site, 1), case(site, 1, "breast")
    ask(site, f"/cases/{one}/contact-sheet", "exam", status=403)
    ask(site, f"/cases/{theirs}/contact-sheet", status=404)
    ask(site, "/contact-sheet?case=nonsense", status=422)
    assert "/contact-sheet" not in ask(site, "/worklist", "exam")
    assert "/contact-sheet" in ask(site, "/worklist")
