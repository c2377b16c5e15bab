"""Undo and redo over reloads, earlier versions restored as new ones, and two people at one case: what the server says."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from core.db import reading, transaction
from core.models.curation import Edit
from core.models.people import Role
from core.queries import cases as queries
from core.security import session_cookie_name
from core.services import curation, presence
from tests.casework import Case, small_study
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from tests.viewer_site import Hospital, hospital

PEOPLE = {"kaneko": [Role.CUR, Role.REG], "sato": [Role.CUR], "clerk": [Role.PTDESK]}


@pytest.fixture(scope="module")
def ward(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Hospital]]:
    with hospital(tmp_path_factory.mktemp("steps")) as known, serve(postgres, "site", **known.changes) as served:
        for name, roles in PEOPLE.items():
            served.person(name, [(role, "liver") for role in roles])
        yield served, known


@pytest.fixture
def case(ward: tuple[Served, Hospital]) -> Case:
    served, known = ward
    case = known.pull(served, small_study(int(uuid4()) % 10_000, stills=1, cine_frames=3))
    case.make_candidates()
    return case


class Desk:
    """One person's browser at one case."""

    def __init__(self, served: Served, case: Case, name: str) -> None:
        self.case, self.name, self._served = case, name, served
        self.client: TestClient = served.client

    def ask(self, method: str, rest: str, body: Any = None, **form: Any) -> Any:
        self.client.cookies.clear()
        self.client.cookies.update({session_cookie_name(self._served.settings): self._served.cookie(self.name)})
        headers = {
            "Sec-Fetch-Site": "same-origin",
            "Accept-Language": "en",
            "Accept": "text/html" if form else "application/json",
        }
        sent = {"data": form} if form else {"json": body} if body is not None else {}
        return self.client.request(
            method, f"/cases/{self.case.id}{rest}", headers=headers, follow_redirects=False, **sent
        )

    def draw(self, **changes: Any) -> dict[str, Any]:
        image = self.case.images()[0]
        box = {"frame": 1, "x": 200, "y": 150, "width": 80, "height": 60, "label": "LIV-HCC", "margin": 8}
        answer = self.ask("POST", f"/images/{image.id}/rois", box | changes)
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def change(self, roi: dict[str, Any], **changes: Any) -> Any:
        return self.ask("PUT", f"/rois/{roi['id']}", {"version": roi["version"]} | changes)

    def step(self, which: str) -> Any:
        return self.ask("POST", f"/{which}", {})

    def rois(self) -> dict[str, str]:
        """{id: label} of what is there."""
        with reading(self.case.node.engine) as session:
            return {str(roi.id): roi.label for roi in queries.rois_of(session, self.case.id)}


@pytest.fixture
def kaneko(ward: tuple[Served, Hospital], case: Case) -> Desk:
    return Desk(ward[0], case, "kaneko")


@pytest.fixture
def sato(ward: tuple[Served, Hospital], case: Case) -> Desk:
    return Desk(ward[0], case, "sato")


def test_a_drawing_is_undone_and_done_again(kaneko: Desk) -> None:
    roi = kaneko.draw()
    changed = kaneko.change(roi, label="LIV-CYST").json()
    back = kaneko.step("undo").json()
    assert (back["changed"]["roi"]["label"], back["changed"]["roi"]["version"]) == ("LIV-HCC", 3)
    assert (back["canUndo"], back["canRedo"]) == (True, True)
    gone = kaneko.step("undo").json()
    assert gone["changed"]["roi"]["deleted"] and (gone["canUndo"], gone["canRedo"]) == (False, True)
    assert kaneko.rois() == {}
    nothing = kaneko.step("undo")
    assert (nothing.status_code, nothing.json()) == (409, {"said": "There is nothing to undo."})
    there = kaneko.step("redo").json()["changed"]["roi"]
    again = kaneko.step("redo").json()
    assert (there["deleted"], there["label"], again["changed"]["roi"]["label"]) == (False, "LIV-HCC", "LIV-CYST")
    assert not again["canRedo"] and kaneko.rois() == {roi["id"]: "LIV-CYST"}
    assert again["changed"]["roi"]["keyframes"] == changed["keyframes"] and again["changed"]["roi"]["version"] == 6


def test_undoing_a_delete_brings_back_and_a_new_edit_ends_redo(kaneko: Desk) -> None:
    roi = kaneko.draw()
    kaneko.change(roi, deleted=True)
    assert kaneko.rois() == {}
    kaneko.step("undo")
    assert kaneko.rois() == {roi["id"]: "LIV-HCC"}
    kaneko.draw(x=300)
    refused = kaneko.step("redo")
    assert (refused.status_code, refused.json()["said"]) == (409, "There is nothing to redo.")


def test_a_decision_and_a_form_are_undone(kaneko: Desk) -> None:
    image = kaneko.case.images()[0]
    pick = {"picked": True, "reason": None, "version": 0}
    assert kaneko.ask("PUT", f"/images/{image.id}/pick", pick).json()["version"] == 1
    form = {"values": {"diagnosis": "LIV-HCC"}, "version": 0}
    assert kaneko.ask("PUT", "/form", form).status_code == 200
    assert kaneko.ask("PUT", "/form", {"values": {"diagnosis": "LIV-CYST"}, "version": 1}).status_code == 200
    back = kaneko.step("undo").json()["changed"]
    assert (back["kind"], back["version"], back["answers"]["diagnosis"]["value"]) == ("form", 3, "LIV-HCC")
    assert "diagnosis" not in kaneko.step("undo").json()["changed"]["answers"]
    undecided = kaneko.step("undo").json()["changed"]
    assert undecided == {"kind": "pick", "imageId": str(image.id), "picked": None, "reason": None, "version": 0}
    again = kaneko.ask("PUT", f"/images/{image.id}/pick", pick)
    assert (again.status_code, again.json()["version"]) == (200, 3)
    with reading(kaneko.case.node.engine) as session:
        values, _ = curation.present_form(session, kaneko.case.row)
    assert values.get("diagnosis") is None


def test_what_somebody_else_changed_since_is_not_undone(kaneko: Desk, sato: Desk) -> None:
    roi = kaneko.draw()
    theirs = sato.change(roi, label="LIV-CYST").json()
    refused = kaneko.step("undo")
    assert refused.status_code == 409 and refused.json()["said"].startswith("Somebody else changed")
    assert sato.step("undo").json()["changed"]["roi"]["label"] == "LIV-HCC"
    assert theirs["version"] == 2 and kaneko.step("undo").json()["changed"]["roi"]["deleted"]
    other = sato.step("redo")
    assert other.status_code == 409 and other.json()["said"].startswith("Somebody else changed")


def test_a_conflict_brings_the_other_version(kaneko: Desk, sato: Desk) -> None:
    roi = kaneko.draw()
    sato.change(roi, label="LIV-CYST")
    refused = kaneko.change(roi, x=210, frame=1, y=150, width=80, height=60)
    told = refused.json()
    assert (refused.status_code, told["version"], told["mine"], told["by"]) == (409, 2, False, "sato")
    assert told["theirs"]["label"] == "LIV-CYST" and told["theirs"]["id"] == roi["id"]
    assert sato.change(roi, label="LIV-CYST").status_code == 200  # the same again, as after a lost answer
    assert sato.change(roi, label="LIV-HEM").json()["mine"]


def test_two_people_see_each_other_and_what_was_saved(kaneko: Desk, sato: Desk) -> None:
    first = kaneko.draw()
    start = kaneko.ask("POST", "/presence", {"image": 1}).json()
    assert start["others"] == [] and start["changes"] == []
    sato.ask("POST", "/presence", {"image": 2})
    sato.change(first, label="LIV-CYST")
    seen = kaneko.ask("POST", "/presence", {"seen": start["newest"], "image": 1}).json()
    assert seen["others"] == [{"name": "sato", "image": 2}]
    assert seen["changes"] == [{"by": "sato", "kind": "roi", "image": 1}] and seen["newest"] != start["newest"]
    changes = kaneko.ask("GET", f"/changes?after={start['newest']}").json()
    assert [one["roi"]["label"] for one in changes["changes"]] == ["LIV-CYST"]
    assert changes["newest"] == seen["newest"]
    own = kaneko.ask("POST", "/presence", {"seen": seen["newest"]}).json()
    assert own["changes"] == []
    with reading(kaneko.case.node.engine) as session:
        rows = session.connection().exec_driver_sql("SELECT count(*) FROM case_presence").scalar_one()
    assert rows >= 2


def test_who_is_silent_is_gone(kaneko: Desk, sato: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    sato.ask("POST", "/presence", {})
    monkeypatch.setattr(presence, "GONE_AFTER", presence.GONE_AFTER * 0)
    assert kaneko.ask("POST", "/presence", {}).json()["others"] == []


def edits(case: Case) -> list[Edit]:
    with reading(case.node.engine) as session:
        return list(session.exec(presence.select(Edit).where(Edit.case_id == case.id).order_by(Edit.version)))


def test_any_version_is_looked_at_and_restored(kaneko: Desk, sato: Desk) -> None:
    roi = kaneko.draw(kind="ellipse", keyframes=[[1, [[200, 200], [260, 200], [200, 240]]]])
    sato.change(roi, label="LIV-CYST", keyframes=[[1, [[300, 200], [360, 200], [300, 240]]]])
    first = edits(kaneko.case)[0]
    page = kaneko.ask("GET", f"/history/{first.id}").text
    assert page.count('class="is-then"') == 2 and page.count('class="is-now"') == 2
    assert "/frames/1" in page and "Ellipse" in page and "kaneko" in page and "sato" in page
    assert f"/cases/{kaneko.case.id}/history/{first.id}" in kaneko.ask("GET", "/history").text
    stale = kaneko.ask("POST", f"/history/{first.id}", version="1")
    assert stale.status_code == 409
    done = kaneko.ask("POST", f"/history/{first.id}", version="2")
    assert (done.status_code, done.headers["location"]) == (303, f"/cases/{kaneko.case.id}")
    assert kaneko.rois() == {roi["id"]: "LIV-HCC"} and len(edits(kaneko.case)) == 3
    assert "This is the present version" in kaneko.ask("GET", f"/history/{edits(kaneko.case)[-1].id}").text
    assert kaneko.step("undo").json()["changed"]["roi"]["label"] == "LIV-CYST"


def test_earlier_answers_and_decisions_are_looked_at_and_restored(kaneko: Desk) -> None:
    image = kaneko.case.images()[0]
    for version, code in enumerate(("LIV-HCC", "LIV-CYST")):
        kaneko.ask("PUT", "/form", {"values": {"diagnosis": code}, "version": version})
    kaneko.ask("PUT", f"/images/{image.id}/pick", {"picked": False, "reason": "duplicate", "version": 0})
    kaneko.ask("PUT", f"/images/{image.id}/pick", {"picked": True, "reason": None, "version": 1})
    form, pick = (next(edit for edit in edits(kaneko.case) if edit.kind == kind) for kind in ("form", "pick"))
    page = kaneko.ask("GET", f"/history/{form.id}").text
    assert "Hepatocellular carcinoma" in page and "differs" in page
    assert "Duplicate" in kaneko.ask("GET", f"/history/{pick.id}").text
    kaneko.ask("POST", f"/history/{form.id}", version="2")
    kaneko.ask("POST", f"/history/{pick.id}", version="2")
    with reading(kaneko.case.node.engine) as session:
        values, version = curation.present_form(session, kaneko.case.row)
        assert (values["diagnosis"]["value"], version) == ("LIV-HCC", 3)
        assert queries.picks_of(session, kaneko.case.id)[image.id].reason == "duplicate"


def test_nobody_steps_back_in_a_registered_case_or_without_the_right(
    ward: tuple[Served, Hospital], case: Case, kaneko: Desk
) -> None:
    roi = kaneko.draw()
    assert Desk(ward[0], case, "clerk").step("undo").status_code == 403
    with transaction(case.node.engine, "test") as session:
        session.get_one(type(case.row), case.id).state = "REGISTERED"
    assert kaneko.step("undo").status_code == 409 and kaneko.rois() == {roi["id"]: "LIV-HCC"}


def test_a_form_that_was_kept_without_its_sentences_leaves_those_that_are_saved(kaneko: Desk) -> None:
    said = {"values": {"diagnosis": "LIV-HCC", "afp": 12.5}, "version": 0}
    assert kaneko.ask("PUT", "/form", said).status_code == 200
    kept = {"values": {"diagnosis": "LIV-CYST"}, "keep": ["afp"], "version": 1}
    answers = kaneko.ask("PUT", "/form", kept).json()["answers"]
    assert (answers["diagnosis"]["value"], answers["afp"]["value"]) == ("LIV-CYST", 12.5)
