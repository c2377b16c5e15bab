"""Central's home page, its case browser and its case page over real accepted cases."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from core.db import transaction
from core.models.audit import AuditEvent
from core.models.bank import BankCase
from core.models.people import Role
from core.security import session_cookie_name
from tests.banked import Bank, released
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve

HTML = {"accept": "text/html", "accept-language": "ja", "sec-fetch-site": "same-origin"}
PART = {"hx-request": "true", "hx-target": "bank"}


@dataclass
class Room:
    """Central with seven cases of two hospitals, one of them hidden, and one refused package."""

    served: Served
    cases: dict[str, UUID]


@pytest.fixture(scope="module")
def room(postgres: ScratchPostgres) -> Iterator[Room]:
    with serve(postgres, "central") as served:
        bank = Bank(served, released(postgres), "KYOTO01", "OSAKA02")
        cases = {
            "hcc": bank.take("KYOTO01"),
            "hcc by us": bank.take("OSAKA02", rank=5, basis=("US",), vendor="CANON_MEC"),
            "hem": bank.take("OSAKA02", "LIV-HEM", "benign", 3, ("MR",), "CANON_MEC", has_roi=False),
            "cyst": bank.take("KYOTO01", "LIV-CYST", "benign", 4, ("DX-FU",), None, is_replicated=False),
            "formula": bank.take("KYOTO01", "LIV-MET", "malignant", 2, ("DX-CYTO",), "GE Healthcare"),
            "hidden": bank.take("KYOTO01"),
        }
        bank.quarantine("OSAKA02", lambda dataset: setattr(dataset, "OperatorsName", "Sato"))
        with transaction(served.node.engine, "test.hide") as session:
            session.get_one(BankCase, cases["hidden"]).hidden = True
        served.person("lead", [(Role.DOM, "*")])
        served.person("breast", [(Role.DOM, "breast")])
        served.person("cloud", [(Role.CLDOP, "liver")])
        served.person("developer", [(Role.AIDEV, "*")])
        yield Room(served, cases)


@contextmanager
def signed_in(room: Room, name: str) -> Iterator[TestClient]:
    client = room.served.client
    client.cookies.set(session_cookie_name(room.served.settings), room.served.cookie(name))
    try:
        yield client
    finally:
        client.cookies.clear()


def facet(page: str, name: str) -> dict[str, int]:
    """The counts of one facet by code."""
    found = re.findall(rf'name="{name}" value="([^"]+)"[^>]*>\s*<span>.*?</span><span class="count">(\d+)</span>', page)
    return {code: int(count) for code, count in found}


def shown(page: str) -> set[str]:
    return set(re.findall(r'class="open" href="/cases/([0-9a-f-]{36})"', page))


class TestBrowser:
    def test_shows_all_visible_cases_with_words_and_pictures(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            page = client.get("/cases", headers=HTML).text
            assert shown(page) == {str(room.cases[name]) for name in room.cases if name != "hidden"}
            assert "5例" in page and "肝細胞癌" in page and "クラウドへの複製待ち" in page
            pictures = re.findall(r'<img src="(/dicom-web/[^"]+/thumbnail\?viewport=96,72)"', page)
            assert len(pictures) == 5
            answer = client.get(pictures[0], headers={"accept": "image/*"})
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")

    def test_the_counts_of_a_facet_follow_the_other_choices(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            page = client.get("/cases", headers=HTML).text
            assert facet(page, "site") == {"KYOTO01": 3, "OSAKA02": 2}
            assert facet(page, "vendor") == {"GE Healthcare": 2, "CANON_MEC": 2, "-": 1}
            page = client.get("/cases?site=OSAKA02&malignancy=malignant", headers=HTML).text
            assert shown(page) == {str(room.cases["hcc by us"])}
            assert facet(page, "site") == {"KYOTO01": 2, "OSAKA02": 1}
            assert facet(page, "malignancy") == {"benign": 1, "malignant": 1}
            assert facet(page, "vendor") == {"CANON_MEC": 1}
            page = client.get("/cases?site=OSAKA02&site=KYOTO01&roi=no", headers=HTML).text
            assert shown(page) == {str(room.cases["hem"])}
            assert facet(page, "rank") == {"3": 1}

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("frames=cine&basis=DX-FU", {"cyst"}),
            ("rank=1&rank=5", {"hcc", "hcc by us"}),
            ("vendor=-", {"cyst"}),
            ("diagnosis=LIV-MET&version=1", {"formula"}),
            ("diagnosis=NO-SUCH", set()),
            ("page=99999999&sort=nonsense&domain=", {"hcc", "hcc by us", "hem", "cyst", "formula"}),
        ],
    )
    def test_choices_of_a_facet_are_alternatives_and_facets_add_up(
        self, room: Room, query: str, names: set[str]
    ) -> None:
        with signed_in(room, "lead") as client:
            answer = client.get(f"/cases?{query}", headers=HTML)
            assert answer.status_code == 200
            assert shown(answer.text) == {str(room.cases[name]) for name in names}

    def test_a_choice_that_fits_nothing_can_be_taken_back(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            page = client.get("/cases?site=OSAKA02&rank=1", headers=HTML).text
        assert "条件に合う症例がありません" in page and 'href="/cases?site=OSAKA02"' in page and 'href="/cases"' in page

    def test_lists_go_by_the_order_that_was_asked_for(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            newest = re.findall(r'href="/cases/([0-9a-f-]{36})"', client.get("/cases", headers=HTML).text)
            oldest = re.findall(r'href="/cases/([0-9a-f-]{36})"', client.get("/cases?sort=oldest", headers=HTML).text)
            assert newest == oldest[::-1] and newest[0] == str(room.cases["formula"])
            for sort in ("site", "diagnosis", "images"):
                assert len(shown(client.get(f"/cases?sort={sort}", headers=HTML).text)) == 5

    def test_htmx_gets_the_browser_alone_and_a_plain_request_the_whole_page(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            part = client.get("/cases?site=OSAKA02", headers=HTML | PART).text
            whole = client.get("/cases?site=OSAKA02", headers=HTML).text
        assert part.lstrip().startswith('<div id="bank"') and "<html" not in part
        assert "<html" in whole and '<form class="facets" method="get" action="/cases"' in whole

    def test_people_see_their_domains_only_and_pictures_only_with_that_right(self, room: Room) -> None:
        with signed_in(room, "breast") as client:
            page = client.get("/cases", headers=HTML).text
            assert shown(page) == set() and "受け入れた症例はまだありません" in page
            assert client.get(f"/cases/{room.cases['hcc']}", headers=HTML).status_code == 404
        with signed_in(room, "cloud") as client:
            page = client.get("/cases", headers=HTML).text
            assert len(shown(page)) == 5 and "/dicom-web/" not in page
            case = client.get(f"/cases/{room.cases['hcc']}", headers=HTML).text
            assert "/dicom-web/" not in case and "画像を見る権限がありません" in case
        with signed_in(room, "developer") as client:
            assert client.get("/cases", headers=HTML).status_code == 403
            assert client.get("/cases.csv", headers=HTML).status_code == 403

    def test_the_list_leaves_as_a_csv_that_runs_nothing_and_is_in_the_audit(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            answer = client.get("/cases.csv?vendor=GE+Healthcare", headers=HTML)
        assert answer.headers["content-disposition"] == 'attachment; filename="cases.csv"'
        rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
        assert {row["case_id"] for row in rows} == {str(room.cases["hcc"]), str(room.cases["formula"])}
        assert {row["diagnosis_name"] for row in rows} == {"肝細胞癌", "転移性肝腫瘍（転移性肝癌）"}
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in rows for cell in row.values())
        with transaction(room.served.node.engine, "test.audit") as session:
            event = session.exec(select(AuditEvent).where(AuditEvent.verb == "bank.export")).one()
        assert (event.actor, event.detail) == ("lead", {"cases": 2})


class TestCase:
    def test_says_the_record_in_words_with_its_codes(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            page = client.get(f"/cases/{room.cases['hcc']}", headers=HTML).text
        for words in (
            "肝細胞癌",
            "LIV-HCC",
            "病理組織（針生検・吸引組織診）",
            "DX-HIST-BX",
            "中分化",
            "GR-MOD",
            "(0018,6031)",
        ):
            assert words in page
        for words in ("ROI", "px", "受領書", "第1号", "病院の監査記録の先頭", "クラウドへの複製", "GE Healthcare"):
            assert words in page
        assert str(room.cases["hcc"]) in page and 'data-surface="reading"' in page

    def test_steps_through_frames_without_scripts(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            base = f"/cases/{room.cases['hcc']}"
            page = client.get(f"{base}?image=2&frame=1", headers=HTML).text
            cine = page if "data-step" in page else client.get(f"{base}?image=1", headers=HTML).text
            assert 'data-frames="2"' in cine and re.search(r'href="\?image=\d&amp;frame=2"', cine)
            picture = re.search(r'<image href="([^"]+/frames/1/rendered)"', cine)
            assert picture and client.get(picture[1], headers={"accept": "image/*"}).status_code == 200
            last = client.get(f"{base}?image=9&frame=9999", headers=HTML)
            assert last.status_code == 200 and "/rendered" in last.text
            assert client.get(f"{base}?image=x&frame=-1", headers=HTML).status_code == 200

    def test_draws_the_region_of_the_frame_that_is_shown(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            drawn = client.get(f"/cases/{room.cases['hcc']}", headers=HTML).text
            bare = client.get(f"/cases/{room.cases['hem']}", headers=HTML).text
        assert re.search(r'<rect x="[\d.]+" y="[\d.]+" width="[\d.]+" height="[\d.]+"/>\s*<text', drawn)
        assert "この症例にROIはありません。" in bare and "data-go" not in bare

    def test_unknown_and_hidden_cases_are_the_same(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            for case_id in (uuid4(), room.cases["hidden"]):
                assert client.get(f"/cases/{case_id}", headers=HTML).status_code == 404

    def test_the_reading_of_a_case_is_in_the_audit_once(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            for _ in range(3):
                client.get(f"/cases/{room.cases['formula']}", headers=HTML)
        with transaction(room.served.node.engine, "test.audit") as session:
            about = AuditEvent.subject == str(room.cases["formula"])
            events = session.exec(select(AuditEvent).where(AuditEvent.verb == "bank.read", about)).all()
        assert [event.actor for event in events] == ["lead"]


class TestHome:
    def test_counts_by_diagnosis_site_and_maker(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            page = client.get("/", headers=HTML).text
        rows = [
            re.sub(r"<svg.*?</svg>|<[^>]+>", " ", row).split() for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
        ]
        assert ["肝細胞癌", "1", "1"] in rows  # by hospital, and by maker
        assert ["肝血管腫", "0", "1"] in rows
        assert ["KYOTO01", "3", "3"] in rows
        assert "この4週間で5例増加" in page and "個人情報になりうるタグが残っている" in page

    def test_what_stopped_is_told_to_those_only_who_see_every_domain(self, room: Room) -> None:
        with signed_in(room, "cloud") as client:
            page = client.get("/", headers=HTML).text
        assert "肝細胞癌" in page and "隔離" not in page
        with signed_in(room, "breast") as client:
            page = client.get("/", headers=HTML).text
        assert "肝細胞癌" not in page and "隔離" not in page
