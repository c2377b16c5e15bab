"""Second readings: assigned, made blind, handed in and settled; and what a reader can get of what others said: nothing."""

import html
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx2 import Response
from sqlmodel import select
from starlette.testclient import TestClient

from core.clock import now_utc
from core.db import reading, transaction
from core.errors import Denied, NotFound, Refused, WrongState
from core.models.audit import AuditEvent
from core.models.curation import Edit, Form, Roi
from core.models.people import Role
from core.models.reads import Read, ReadEdit, ReadRoi, ReadState
from core.models.sitecase import CaseState, SiteCase
from core.permissions import Actor
from core.queries import cases as case_queries
from core.queries import reads as queries
from core.services import adjudication, reads
from core.services import record as records
from tests.casework import small_study
from tests.postgres_fixture import ScratchPostgres
from tests.reading_site import DeskCase, actor_of, box, make_case, signed_in
from tests.route_table import SITE, STEPS
from tests.served import Served, serve
from tests.viewer_site import hospital

GRANTS = {
    "curator": [Role.CUR],
    "lead": [Role.CUR, Role.REG],
    "reader-a": [Role.CUR, Role.REG],
    "reader-b": [Role.CUR, Role.REG],
    "reader-c": [Role.CUR],
    "newcomer": [Role.CUR],
    "looker": [Role.EXAM],
}
# What reader A says; none of it may come to reader B by any way. The class, the box and the size are A's alone.
SECRET_LABEL = "LIV-FNH"
SECRET_X = 123.25
SECRET_SIZE = 37.7
OWN_X = 211.75


@pytest.fixture(scope="module")
def served(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as made:
        for name, roles in GRANTS.items():
            made.person(name, [(role, "*") for role in roles])
        yield made


@pytest.fixture
def case(served: Served) -> DeskCase:
    """A case that its curator has answered and drawn on."""
    made = make_case(served, "curator")
    made.answer(actor(served, "curator"), diagnosis="LIV-HCC", size_long_mm=22.5)
    made.draw(actor(served, "curator"), x=OWN_X)
    return made


def actor(served: Served, name: str) -> Actor:
    return actor_of(served, GRANTS, name)


Browser = Callable[..., TestClient]


@pytest.fixture
def browser(served: Served) -> Iterator[Browser]:
    with ExitStack() as stack:
        yield lambda name="lead", lang="en": stack.enter_context(signed_in(served, name, lang))


def assign(served: Served, case: DeskCase, *names: str, by: str = "lead") -> list[UUID]:
    with transaction(served.node.engine, "test.assign") as session:
        readers = [served.people[name].id for name in names]
        due = now_utc().date() + timedelta(days=7)
        return [read.id for read in reads.assign(session, actor(served, by), case.id, readers, due)]


def say(served: Served, case: DeskCase, name: str, read_id: UUID, diagnosis: str = SECRET_LABEL, **roi: Any) -> None:
    """Answers and one ROI of a reader."""
    with transaction(served.node.engine, "test.say") as session:
        who = actor(served, name)
        version = session.get_one(Read, read_id).version
        reads.save_form(session, who, read_id, {"diagnosis": diagnosis, "size_long_mm": SECRET_SIZE}, version)
        reads.add_roi(session, who, read_id, case.images[0], box(**{"x": SECRET_X, "label": SECRET_LABEL} | roi))


def submit(served: Served, name: str, read_id: UUID) -> None:
    with transaction(served.node.engine, "test.submit") as session:
        reads.submit(session, actor(served, name), read_id)


def told(page: Response) -> dict[str, Any]:
    found = re.search(r'<div id="case-data" hidden>(.*?)</div>', page.text, re.DOTALL)
    assert found, page.text[:2000]
    answer: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    return answer


def every_address(case: DeskCase, read_ids: list[UUID], roi_ids: list[UUID]) -> Iterator[tuple[str, str]]:
    """(method, path) of every address of a site that can be written with what this case has."""
    values: dict[str, list[str]] = {
        "case_id": [str(case.id)], "image_id": [str(image) for image in case.images], "frame": ["1"],
        "read_id": [str(one) for one in read_ids], "roi_id": [str(one) for one in roi_ids], "step": sorted(STEPS),
        "comment_id": [str(uuid4())], "domain": ["liver"],
    }  # fmt: skip
    for route in SITE:
        method, path = route.split(" ")
        paths = [path]
        for name, known in values.items():
            paths = [one.replace(f"{{{name}}}", value) for one in paths for value in known]
        yield from ((method, one) for one in dict.fromkeys(paths) if "{" not in one)


def test_reader_b_asks_every_address_for_what_a_said(served: Served, case: DeskCase, browser: Browser) -> None:
    """The attack: B, with every right of a curator and registrar, tries each address of the site in each way."""
    read_a, read_b = assign(served, case, "reader-a", "reader-b")
    say(served, case, "reader-a", read_a)
    submit(served, "reader-a", read_a)
    with reading(served.node.engine) as session:
        drawn = [roi.id for roi in case_queries.rois_of(session, case.id)]
        drawn += session.exec(select(ReadRoi.id).where(ReadRoi.read_id == read_a)).all()
    tries = list(every_address(case, [read_a, read_b], drawn))
    assert len(tries) > 120
    head = served.bearer("reader-b")
    closed = [str(one) for one in (case.id, read_a, *case.images, *drawn)]
    for method, path in tries:
        if not path.startswith("/api/") or (method != "GET" and f"/reads/{read_b}" in path):
            continue  # B's own reading may change; what it says is looked at below
        answer = served.client.request(method, path, headers=head, json={"version": 1, "values": {}})
        check_says_nothing(answer, path, closed, read_b)
    client = browser("reader-b")
    for method, path in tries:
        if path.startswith("/api/") or path == "/sign-out" or (method != "GET" and f"/reads/{read_b}" in path):
            continue
        check_says_nothing(
            client.request(method, path, **({} if method == "GET" else {"data": {"x": "1"}})), path, closed, read_b
        )
    with reading(served.node.engine) as session:
        assert session.get_one(Read, read_b).state == ReadState.ASSIGNED
        assert session.get_one(SiteCase, case.id).state == CaseState.CURATING


def check_says_nothing(answer: Response, path: str, closed: list[str], read_b: UUID) -> None:
    """Neither A's marks nor the case's own are in an answer, and what names the case, its images or A's reading is shut."""
    text = answer.text
    for number in (SECRET_X, SECRET_SIZE, OWN_X, 22.5):
        assert not re.search(rf"(?<![\d.]){re.escape(f'{number:g}')}(?![\d.])", text), path
    # A form, and the description of the API, offer every class there is.
    offers_all = f"/reads/{read_b}" in path or path.startswith(("/my/targets", "/api/v1/openapi"))
    assert offers_all or SECRET_LABEL not in text, path
    if any(name in path for name in closed) and f"/reads/{read_b}" not in path:
        own = answer.status_code == 303 and answer.headers["location"] == f"/reads/{read_b}"
        assert own or answer.status_code in {403, 404, 422}, (path, answer.status_code)


def test_bs_own_page_and_api_hold_b_alone(served: Served, case: DeskCase, browser: Browser) -> None:
    read_a, read_b = assign(served, case, "reader-a", "reader-b")
    say(served, case, "reader-a", read_a)
    say(served, case, "reader-b", read_b, "LIV-HCC", x=200.0, label="LIV-HCC")
    page = browser("reader-b").get(f"/reads/{read_b}")
    data = told(page)
    assert [roi["x"] for image in data["images"] for roi in image["rois"]] == [200.0]
    assert data["base"] == f"/reads/{read_b}" and data["mayCurate"] and not data["mayRegister"]
    assert all(image.get("picked") is None for image in data["images"])
    assert str(SECRET_X) not in page.text and "reader-a" not in page.text
    chosen = re.search(r'<option value="([^"]+)"[^>]* selected', page.text)
    assert chosen and chosen.group(1) == "LIV-HCC"
    mine = served.client.get(f"/api/v1/reads/{read_b}", headers=served.bearer("reader-b")).json()
    assert mine["values"]["diagnosis"]["value"] == "LIV-HCC" and len(mine["rois"]) == 1


def test_what_is_not_handed_in_is_seen_by_nobody(served: Served, case: DeskCase, browser: Browser) -> None:
    (read_a,) = assign(served, case, "reader-a")
    say(served, case, "reader-a", read_a)
    page = browser("lead").get(f"/cases/{case.id}/reads")
    assert page.status_code == 200 and "reader-a" in page.text
    assert str(SECRET_SIZE) not in page.text and str(SECRET_X) not in page.text
    known = served.client.get(f"/api/v1/cases/{case.id}/reads", headers=served.bearer("lead")).json()
    assert [(one["reader"], one["state"], "values" in one) for one in known] == [("reader-a", "READING", False)]
    for name in ("lead", "reader-b", "reader-c", "looker"):
        answer = served.client.get(f"/api/v1/reads/{read_a}", headers=served.bearer(name))
        assert answer.status_code in {403, 404}
    submit(served, "reader-a", read_a)
    assert str(SECRET_SIZE) in browser("lead").get(f"/cases/{case.id}/reads").text


def test_the_case_comes_back_to_the_reader_who_handed_in(served: Served, case: DeskCase, browser: Browser) -> None:
    (read_b,) = assign(served, case, "reader-b")
    with reading(served.node.engine) as session:
        assert case_queries.readable_case(session, actor(served, "reader-c"), case.id)
        with pytest.raises(Denied, match="blind"):
            case_queries.readable_case(session, actor(served, "reader-b"), case.id)
    led = browser("reader-b").get(f"/cases/{case.id}")
    assert (led.status_code, led.headers["location"]) == (303, f"/reads/{read_b}")
    assert browser("reader-b").get(f"/cases/{case.id}/history").status_code == 403
    say(served, case, "reader-b", read_b)
    submit(served, "reader-b", read_b)
    assert browser("reader-b").get(f"/cases/{case.id}").status_code == 200


def test_who_worked_on_a_case_cannot_read_it_blind(served: Served, case: DeskCase) -> None:
    with transaction(served.node.engine, "test.edit") as session:
        session.add(
            Edit(
                case_id=case.id,
                kind="pick",
                object_id=case.images[0],
                version=90,
                body={"picked": True},
                by=served.people["reader-c"].id,
            )
        )
    with pytest.raises(Refused, match="worked on"):
        assign(served, case, "reader-c")
    (read_b,) = assign(served, case, "reader-b")
    with pytest.raises(Refused, match="already"):
        assign(served, case, "reader-b")
    with transaction(served.node.engine, "test.cancel") as session:
        reads.cancel(session, actor(served, "lead"), case.id, read_b)
    (again,) = assign(served, case, "reader-b")  # it was never begun
    say(served, case, "reader-b", again)
    with transaction(served.node.engine, "test.cancel") as session:
        reads.cancel(session, actor(served, "lead"), case.id, again)
    with pytest.raises(Refused, match="has read"):
        assign(served, case, "reader-b")
    with pytest.raises(Refused, match="may not read"):
        assign(served, case, "looker")
    with transaction(served.node.engine, "test.edit") as session:
        session.delete(session.exec(select(Edit).where(Edit.version == 90)).one())


def test_many_cases_are_given_to_readers_at_once(served: Served, case: DeskCase, browser: Browser) -> None:
    other = make_case(served, "curator")
    other.answer(actor(served, "reader-c"), diagnosis="LIV-HCC")
    client = browser("lead")
    marked = {"case": [str(case.id), str(other.id)]}
    assert "/reads/assign" in client.get("/worklist").text
    asked = client.post("/reads/assign", data=marked)
    assert asked.status_code == 200 and "Who reads these 2 cases" in asked.text
    chosen = {"reader": [str(served.people[name].id) for name in ("reader-b", "reader-c")], "due": ""}
    done = client.post("/reads/assign", data=marked | chosen).text
    assert "3 readings assigned." in done and "reader-c has worked on this case" in done
    assert client.post("/reads/assign", data={}).status_code == 422
    with reading(served.node.engine) as session:
        found = session.exec(select(Read).where(Read.case_id == other.id)).all()
        assert [read.reader_id for read in found] == [served.people["reader-b"].id]


def test_only_a_registrar_assigns_and_takes_back(served: Served, case: DeskCase) -> None:
    with pytest.raises(Denied):
        assign(served, case, "reader-b", by="reader-c")
    (read_b,) = assign(served, case, "reader-b")
    with transaction(served.node.engine, "test.cancel") as session, pytest.raises(Denied):
        reads.cancel(session, actor(served, "reader-c"), case.id, read_b)


def test_a_reading_needs_a_diagnosis_and_then_stands(served: Served, case: DeskCase, browser: Browser) -> None:
    (read_b,) = assign(served, case, "reader-b")
    client = browser("reader-b")
    refused = client.post(f"/reads/{read_b}/submit")
    assert refused.status_code == 409 and "Answer the diagnosis" in refused.text
    plain = client.post(
        f"/reads/{read_b}/form-plain", data={"version": "0", "diagnosis": "LIV-CYST", "size_long_mm": "12.5"}
    )
    assert plain.status_code == 303
    wrong = client.post(
        f"/reads/{read_b}/form-plain", data={"version": "1", "diagnosis": "LIV-CYST", "size_long_mm": "-3"}
    )
    assert wrong.status_code == 422 and "out of range" in wrong.text
    stale = client.post(f"/reads/{read_b}/form-plain", data={"version": "0", "diagnosis": "LIV-HEM"})
    assert stale.status_code == 303  # one's own other window: what was typed last counts
    assert client.put(f"/reads/{read_b}/form", json={"values": {}, "version": 0}).status_code == 409
    assert client.post(f"/reads/{read_b}/submit").status_code == 303
    late = client.put(f"/reads/{read_b}/form", json={"values": {"diagnosis": "LIV-HCC"}, "version": 2})
    assert late.status_code == 409
    with reading(served.node.engine) as session:
        read = session.get_one(Read, read_b)
        assert (read.state, read.values["diagnosis"]["value"], read.version) == (ReadState.SUBMITTED, "LIV-HEM", 2)
        kept = session.exec(select(ReadEdit).where(ReadEdit.object_id == read_b)).all()
        assert sorted(edit.version for edit in kept) == [1, 2]
        events = session.exec(select(AuditEvent).where(AuditEvent.subject == str(read_b))).all()
        assert {event.verb for event in events} == {"read.assigned", "read.reading", "read.save", "read.submitted"}
        assert "LIV-HEM" not in json.dumps([event.detail for event in events])


def test_rois_of_a_reading_have_versions_of_their_own(served: Served, case: DeskCase, browser: Browser) -> None:
    (read_b,) = assign(served, case, "reader-b")
    client = browser("reader-b")
    body = {
        "id": str(uuid4()),
        "frame": 1,
        "x": 10,
        "y": 10,
        "width": 20,
        "height": 20,
        "label": "LIV-HCC",
        "lesionId": str(uuid4()),
    }
    path = f"/reads/{read_b}/images/{case.images[0]}/rois"
    made = client.post(path, json=body)
    assert made.status_code == 201 and made.json()["version"] == 1
    assert client.post(path, json=body).json() == made.json()  # sent twice, one ROI
    here = f"/reads/{read_b}/rois/{body['id']}"
    moved = client.put(here, json=body | {"x": 30, "version": 1})
    assert (moved.json()["x"], moved.json()["version"]) == (30, 2)
    assert client.put(here, json=body | {"x": 50, "version": 1}).status_code == 409
    assert client.put(here, json=body | {"x": 5000, "version": 2}).status_code == 422
    with reading(served.node.engine) as session:
        assert session.get(Roi, UUID(body["id"])) is None  # never one of the case
        known = case_queries.rois_of(session, case.id)
    theirs = client.put(f"/reads/{read_b}/rois/{known[0].id}", json=body | {"version": 1})
    assert theirs.status_code == 404
    assert client.put(here, json=body | {"version": 2, "deleted": True}).status_code == 200
    assert told(client.get(f"/reads/{read_b}"))["images"][0]["rois"] == []


def both_read(served: Served, case: DeskCase) -> tuple[UUID, UUID]:
    read_a, read_b = assign(served, case, "reader-a", "reader-b")
    say(served, case, "reader-a", read_a)
    say(served, case, "reader-b", read_b, "LIV-CYST", x=200.0, label="LIV-CYST")
    submit(served, "reader-a", read_a)
    submit(served, "reader-b", read_b)
    return read_a, read_b


def test_settled_readings_become_the_cases_own(served: Served, case: DeskCase, browser: Browser) -> None:
    read_a, read_b = both_read(served, case)
    client = browser("lead")
    page = client.get(f"/cases/{case.id}/reads").text
    assert page.count("<polygon") == 3 and "side-A" in page and "side-B" in page and "side-case" in page
    version = int(re.search(r'name="version" value="(\d+)"', page).group(1))  # type: ignore[union-attr]
    names = set(re.findall(r'name="(take-[a-z_0-9]+|image-\d+)"', page))
    choice = dict.fromkeys(names, "case") | {"take-diagnosis": str(read_a), "take-size_long_mm": "other"}
    choice |= {"other-size_long_mm": "25", "image-1": str(read_b), "version": str(version)}
    missing = client.post(
        f"/cases/{case.id}/reads/settle", data={k: v for k, v in choice.items() if k != "take-diagnosis"}
    )
    assert missing.status_code == 422 and "Decide on every field" in missing.text
    assert client.post(f"/cases/{case.id}/reads/settle", data=choice).status_code == 303
    with reading(served.node.engine) as session:
        form = session.get_one(Form, case.id)
        assert (form.version, form.values["diagnosis"]["value"]) == (version + 1, SECRET_LABEL)
        assert form.values["diagnosis"]["source"] == form.values["size_long_mm"]["source"] == "adjudicated"
        assert form.values["size_long_mm"]["value"] == 25
        leaving = records.leaving("liver", form.values)
        assert leaving["size_long_mm"]["source"] == "manual"  # that it was settled stays here
        on_first = [roi for roi in case_queries.rois_of(session, case.id) if roi.image_id == case.images[0]]
        assert [(roi.x, roi.label) for roi in on_first] == [(200.0, "LIV-CYST")]
        kept = session.exec(select(Edit).where(Edit.object_id == on_first[0].id)).one()
        assert kept.body["source"] == "adjudicated"
        assert {session.get_one(Read, one).state for one in (read_a, read_b)} == {ReadState.ADJUDICATED}
    case.answer(actor(served, "curator"), diagnosis=SECRET_LABEL, size_long_mm=26)
    with reading(served.node.engine) as session:
        form = session.get_one(Form, case.id)
        assert form.values["diagnosis"]["source"] == "adjudicated"  # nobody said otherwise
        assert form.values["size_long_mm"]["source"] == "manual"


def test_settling_waits_for_all_and_is_no_readers_work(served: Served, case: DeskCase) -> None:
    read_a, read_b = assign(served, case, "reader-a", "reader-b")
    say(served, case, "reader-a", read_a)
    submit(served, "reader-a", read_a)
    decision = adjudication.Decision(1)

    def settle(name: str) -> None:
        with transaction(served.node.engine, "test.settle") as session:
            adjudication.settle(session, actor(served, name), case.id, decision)

    with pytest.raises(WrongState, match="still open"):
        settle("lead")
    with pytest.raises(Denied, match="blind"):
        settle("reader-b")
    with transaction(served.node.engine, "test.cancel") as session:
        reads.cancel(session, actor(served, "lead"), case.id, read_b)
    with pytest.raises(Refused, match="cannot settle"):
        settle("reader-a")


def test_nobody_elses_reading_can_be_named(served: Served, case: DeskCase) -> None:
    (read_a,) = assign(served, case, "reader-a")
    with reading(served.node.engine) as session:
        for name in ("lead", "reader-b"):
            with pytest.raises(NotFound):
                queries.own_read(session, actor(served, name), read_a)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_lists_say_who_and_when_and_teach_the_next_step(
    served: Served, case: DeskCase, browser: Browser, lang: str
) -> None:
    empty = browser("newcomer", lang).get("/reads")
    assert empty.status_code == 200 and ("No case is assigned" in empty.text) == (lang == "en")
    read_a, _ = assign(served, case, "reader-a", "reader-b")
    mine = browser("reader-a", lang).get("/reads").text
    assert f"/reads/{read_a}" in mine
    everybody = browser("lead", lang).get("/reads").text
    assert "reader-a" in everybody and "reader-b" in everybody and f"/cases/{case.id}/reads" in everybody
    waiting = browser("lead", lang).get(f"/cases/{case.id}/reads")
    assert waiting.status_code == 200 and "newcomer" in waiting.text


def test_the_reader_sees_the_pictures_and_confirms_no_mask(postgres: ScratchPostgres, tmp_path: Path) -> None:
    with hospital(tmp_path) as known, serve(postgres, "site", **known.changes) as served:
        for name, roles in GRANTS.items():
            served.person(name, [(role, "*") for role in roles])
        pulled = known.pull(served, small_study(5, stills=1, cine_frames=0))
        pulled.make_candidates()
        image = pulled.images()[0]
        with transaction(served.node.engine, "test.assign") as session:
            (read,) = reads.assign(session, actor(served, "lead"), pulled.id, [served.people["reader-b"].id], None)
        here = f"/reads/{read.id}/images/{image.id}"
        with signed_in(served, "reader-b") as client:
            assert client.get(f"/reads/{read.id}").status_code == 200
            shown = client.get(f"{here}/frames/1")
            assert (shown.status_code, shown.headers["content-type"]) == (200, "image/png")
            digest = client.get(f"{here}/mask").json()["digest"]
            assert shown.headers["sonobank-digest"] == digest == pulled.mask(image).digest
            assert client.get(f"{here}/thumb").status_code == 200
            assert client.get(f"/cases/{pulled.id}/images/{image.id}/frames/1").status_code == 403
            assert client.get(f"/api/v1/images/{image.id}/frames/1").status_code == 403  # the identified original
        with signed_in(served, "lead") as client:
            assert client.get(f"{here}/frames/1").status_code == 404
