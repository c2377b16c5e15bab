"""The dataset pages: cohort with live counts, freezing, timeline, downloads by session, and who may do what."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlmodel import col, select
from starlette.testclient import TestClient

from core.db import reading, transaction
from core.models.datasets import Dataset, DatasetVersion, VersionState
from core.models.people import Role
from core.permissions import Actor
from core.queries.datasets import CHOICE, Choice
from core.security import session_cookie_name
from core.services import accounts, datasets
from ml import manifest
from tests.banked import Bank, released
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from workers.freeze import freeze

HTML = {"accept": "text/html", "accept-language": "ja", "sec-fetch-site": "same-origin"}


@dataclass
class Room:
    """Central with four replicated liver cases and one that is not yet."""

    served: Served

    def actor(self, name: str) -> Actor:
        with reading(self.served.node.engine) as session:
            return accounts.actor_of(session, self.served.people[name])

    def versions(self, name: str) -> list[DatasetVersion]:
        with reading(self.served.node.engine) as session:
            statement = select(DatasetVersion).join(Dataset).where(Dataset.name == name)
            return list(session.exec(statement.order_by(col(DatasetVersion.n))))

    def build(self, version_id: UUID) -> None:
        freeze(self.served.node, version_id)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def room(postgres: ScratchPostgres) -> Iterator[Room]:
    with serve(postgres, "central") as served:
        bank = Bank(served, released(postgres), "KYOTO01", "OSAKA02")
        bank.take("KYOTO01")
        bank.take("KYOTO01", "LIV-HEM", "benign", 3, ("MR",), "CANON_MEC")
        bank.take("OSAKA02", rank=2, vendor="CANON_MEC", has_roi=False)
        bank.take("OSAKA02", rank=5, basis=("US",))
        bank.take("OSAKA02", is_replicated=False)
        served.person("lead", [(Role.DOM, "liver")])
        served.person("breast", [(Role.DOM, "breast")])
        served.person("developer", [(Role.AIDEV, "liver")])
        served.person("okada", [(Role.CENOP, "*")])
        yield Room(served)


@contextmanager
def signed_in(room: Room, name: str) -> Iterator[TestClient]:
    client = room.served.client
    client.cookies.set(session_cookie_name(room.served.settings), room.served.cookie(name))
    try:
        yield client
    finally:
        client.cookies.clear()


def kept(page: str) -> tuple[int, int]:
    """(cases that a version of now would hold, cases that are ready)."""
    found = re.search(r"<dt>症例</dt><dd>(\d+)<span class=\"of\"> / (\d+)</span>", page)
    assert found
    return int(found[1]), int(found[2])


class TestCohort:
    @pytest.mark.parametrize(
        ("query", "cases"),
        [
            ("", 4),
            ("site=KYOTO01", 2),
            ("site=KYOTO01&site=OSAKA02", 4),
            ("vendor=CANON_MEC", 2),
            ("vendor=CANON_MEC&roi=1", 1),
            ("rank=2", 2),
            ("rank=nonsense", 4),
            ("diagnosis=LIV-HEM", 1),
            ("diagnosis=LIV-HEM&rank=2", 0),
        ],
    )
    def test_counts_follow_the_choice(self, room: Room, query: str, cases: int) -> None:
        with signed_in(room, "lead") as client:
            page = client.get(f"/datasets/new?domain=liver&{query}", headers=HTML).text
        assert kept(page) == (cases, 4)

    def test_htmx_gets_the_choice_alone_and_without_scripts_a_button_counts(self, room: Room) -> None:
        with signed_in(room, "lead") as client:
            part = client.get("/datasets/new", headers=HTML | {"hx-request": "true", "hx-target": "choices"}).text
            whole = client.get("/datasets/new", headers=HTML).text
        assert part.lstrip().startswith('<div id="choices"') and "<html" not in part
        assert '<button type="submit" formmethod="get" formnovalidate formaction="/datasets/new">' in whole

    @pytest.mark.parametrize(
        ("form", "words"),
        [
            ({"name": "Liver!", "domain": "liver"}, "英小文字か数字で始まる"),
            ({"name": "", "domain": "liver"}, "英小文字か数字で始まる"),
            ({"name": "new", "domain": "liver"}, "英小文字か数字で始まる"),
            ({"name": "x", "domain": "breast"}, "領域を選んでください"),
            ({"name": "x", "domain": "liver", "diagnosis": "LIV-HEM", "rank": "1"}, "条件に合う症例がありません"),
            ({"name": "x", "domain": "liver", "site": "NOWHERE9"}, "条件に合う症例がありません"),
            ({"name": "x", "domain": "liver", "site": "=1+1\x00"}, "条件に合う症例がありません"),
        ],
    )
    def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
        self, room: Room, form: dict[str, str], words: str
    ) -> None:
        with signed_in(room, "lead") as client:
            answer = client.post("/datasets", data=form, headers=HTML)
        assert answer.status_code == 422 and words in answer.text and 'role="alert"' in answer.text
        assert f'name="name" value="{form["name"]}"' in answer.text
        assert room.versions("x") == []
        with reading(room.served.node.engine) as session:
            assert session.exec(select(Dataset).where(Dataset.name == "x")).first() is None


@pytest.fixture(scope="module")
def pilot(room: Room) -> str:
    """A dataset begun through its form, and built; then a narrower second version."""
    with signed_in(room, "lead") as client:
        form = {"name": "pilot", "domain": "liver", "chosen": "1"}
        answer = client.post("/datasets", data=form, headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, "/datasets/pilot")
        waiting = client.get("/datasets/pilot", headers=HTML).text
        assert "版の固定を始めました" in waiting and "data-poll" in waiting and "作成中" in waiting
        room.build(room.versions("pilot")[0].id)
        form = {"chosen": "1", "site": "KYOTO01", "roi": "1"}
        answer = client.post("/datasets/pilot/versions", data=form, headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, "/datasets/pilot")
        room.build(room.versions("pilot")[1].id)
    return "pilot"


class TestVersions:
    def test_the_choice_is_kept_with_the_version_and_holds_for_the_next_one(self, room: Room, pilot: str) -> None:
        first, second = room.versions(pilot)
        assert (first.state, len(first.cases), len(second.cases)) == (VersionState.FROZEN, 4, 2)
        assert second.counts[CHOICE] == Choice(sites=("KYOTO01",), with_roi=True).record()
        assert second.counts["cases"] == 2
        with transaction(room.served.node.engine, "test.next") as session:
            third = datasets.begin_version(session, room.actor("lead"), pilot)
            assert (Choice.of(third.counts), len(third.cases)) == (Choice.of(second.counts), 2)
            session.rollback()

    def test_the_same_choice_takes_the_same_cases(self, room: Room, pilot: str) -> None:
        with transaction(room.served.node.engine, "test.same") as session:
            again = datasets.begin_version(session, room.actor("lead"), pilot, Choice())
            assert again.cases == room.versions(pilot)[0].cases
            session.rollback()

    def test_the_page_shows_the_timeline_the_splits_and_the_hash(self, room: Room, pilot: str) -> None:
        with signed_in(room, "developer") as client:
            page = client.get(f"/datasets/{pilot}", headers=HTML).text
            older = client.get(f"/datasets/{pilot}?version=1", headers=HTML).text
        second = room.versions(pilot)[1]
        assert second.hash and second.hash in page and "KYOTO01、ROIのある症例だけ" in page and "(-2)" in page
        assert "学習" in page and "調整" in page and "試験" in page and "LIV-HCC" in page
        assert page.index("利用条件") < page.index("取得のしかた")
        assert (
            f"/api/v1/datasets/{pilot}/versions/2/manifest" in page
            and f"./run pull {room.served.settings.base_url}" in page
        )
        assert f"/api/v1/datasets/{pilot}/versions/1/manifest" in older
        assert 'action="/datasets/pilot/versions"' not in page  # a developer freezes nothing

    def test_a_session_downloads_the_manifest_and_its_files(self, room: Room, pilot: str) -> None:
        with signed_in(room, "developer") as client:
            page = client.get(f"/datasets/{pilot}", headers=HTML).text
            found = client.get(f"/api/v1/datasets/{pilot}/versions/2/manifest").json()
            assert manifest.parse(found).hash == room.versions(pilot)[1].hash
            files = re.findall(rf'href="(/api/v1/datasets/{pilot}/versions/2/files/[0-9a-f]{{64}})"', page)
            assert len(files) == len(found["files"])
            card = next(f["sha256"] for f in found["files"] if f["path"] == "CARD.md")
            assert client.get(next(f for f in files if card in f)).text.startswith("# pilot, version 2")

    def test_a_version_that_nobody_made_is_not_there(self, room: Room, pilot: str) -> None:
        with signed_in(room, "developer") as client:
            for query in ("version=9", "version=x", "version=0", "files=-1"):
                assert client.get(f"/datasets/{pilot}?{query}", headers=HTML).status_code == 404

    def test_a_choice_without_cases_freezes_nothing(self, room: Room, pilot: str) -> None:
        with signed_in(room, "lead") as client:
            form = {"chosen": "1", "diagnosis": "LIV-HEM", "rank": "1"}
            answer = client.post(f"/datasets/{pilot}/versions", data=form, headers=HTML)
        assert answer.status_code == 422 and "条件に合う症例がありません" in answer.text
        assert re.search(r'value="LIV-HEM" checked', answer.text)
        assert len(room.versions(pilot)) == 2

    def test_the_name_is_taken(self, room: Room, pilot: str) -> None:
        with signed_in(room, "lead") as client:
            answer = client.post("/datasets", data={"name": pilot, "domain": "liver"}, headers=HTML)
        assert answer.status_code == 422 and "すでにあります" in answer.text


class TestWhileItIsBuilt:
    @pytest.fixture
    def building(self, room: Room) -> str:
        with transaction(room.served.node.engine, "test.begin") as session:
            datasets.start(session, room.actor("lead"), "growing", "liver", Choice())
        return "growing"

    def test_the_page_asks_until_it_is_done_and_then_comes_anew(self, room: Room, building: str) -> None:
        part = {"hx-request": "true", "hx-target": "versions", "sonobank-poll": "1"}
        with signed_in(room, "developer") as client:
            answer = client.get(f"/datasets/{building}", headers=HTML | part)
            assert "every 2s" in answer.text and "<html" not in answer.text and "hx-refresh" not in answer.headers
            assert "every 2s" in client.get("/datasets", headers=HTML).text
            room.build(room.versions(building)[0].id)
            answer = client.get(f"/datasets/{building}", headers=HTML | part)
            assert "every 2s" not in answer.text and answer.headers["hx-refresh"] == "true"

    def test_a_build_that_failed_says_why(self, room: Room) -> None:
        with transaction(room.served.node.engine, "test.begin") as session:
            version = datasets.start(session, room.actor("lead"), "failing", "liver", Choice())
            reason = "A case was corrected or withdrawn while the version was built; begin a new one."
            datasets.fail(session, version.id, reason)
        with signed_in(room, "lead") as client:
            page = client.get("/datasets/failing", headers=HTML).text
        assert "作成できず" in page and "次の版" in page and "withdrawn" not in page


class TestWho:
    def test_each_sees_the_datasets_of_their_domains(self, room: Room, pilot: str) -> None:
        with signed_in(room, "breast") as client:
            assert pilot not in client.get("/datasets", headers=HTML).text
            assert client.get(f"/datasets/{pilot}", headers=HTML).status_code == 404
            answer = client.post(f"/datasets/{pilot}/versions", data={"chosen": "1"}, headers=HTML)
            assert answer.status_code == 404 and len(room.versions(pilot)) == 2
            assert "データセットはまだありません" in client.get("/datasets", headers=HTML).text

    def test_a_developer_makes_none_and_an_operator_sees_none(self, room: Room) -> None:
        with signed_in(room, "developer") as client:
            page = client.get("/datasets", headers=HTML).text
            assert "/datasets/new" not in page
            assert client.get("/datasets/new", headers=HTML).status_code == 403
            assert client.post("/datasets", data={"name": "mine", "domain": "liver"}, headers=HTML).status_code == 403
        with signed_in(room, "okada") as client:
            assert client.get("/datasets", headers=HTML).status_code == 403

    def test_the_api_freezes_what_the_last_version_chose(self, room: Room, pilot: str) -> None:
        answer = room.served.client.post(f"/api/v1/datasets/{pilot}/versions", headers=room.served.bearer("lead"))
        assert answer.status_code == 202
        assert json.dumps(answer.json()["counts"][CHOICE]["sites"]) == '["KYOTO01"]'
