"""The form side of the case page: what it shows and takes, with scripts and without, and what it refuses."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import time
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from httpx2 import Response
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyrage import x25519
from sqlmodel import select

from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.models.curation import MaskView, Pick
from core.models.people import Role
from core.models.sitecase import CaseState, SiteImage
from core.models.transfer import PackageState
from core.node import SiteNode
from core.package import contract
from core.package.central_keys import CentralPublicKeys
from core.queries import cases as queries
from core.queries.case_form import form_page, quick_of
from core.security import session_cookie_name
from core.services import curation, masks, record
from core.settings import Window
from core.vocabulary import domain as vocabulary
from ml.phantom import PhantomStudy
from tests.casework import Case, pulled, small_study
from tests.organs import HEART, HYPOKINETIC, NOBODY_LOOKED, NORMAL, THYROID, study_of
from tests.pacs_twin import BadPacs, running
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from tests.sites import person

_seeds = count(700)
HTML = {"accept": "text/html,*/*;q=0.8", "accept-language": "en", "sec-fetch-site": "same-origin"}
JSON = {"accept": "application/json", "sec-fetch-site": "same-origin"}
ALWAYS = (Window(begin=time(0), end=time(12)), Window(begin=time(12), end=time(0)))


def site_changes(folder: Path, pacs: BadPacs) -> dict[str, Any]:
    """Settings of a served site that pulls from this PACS at any time."""
    (folder / "peers.json").write_text(json.dumps([{"name": "pacs", "url": pacs.url, "timeout_seconds": 3}]))
    keys = CentralPublicKeys(x25519.Identity.generate().to_public(), Ed25519PrivateKey.generate().public_key())
    (folder / "central.json").write_text(keys.dump())
    return {
        "peers_file": folder / "peers.json",
        "central_keys_file": folder / "central.json",
        "windows": ALWAYS,
        "least_free_mb": 16,
        "domains": ("liver", "breast", "heart", "thyroid"),
    }


@dataclass
class Desk:
    """A served site with a PACS, and people in browsers."""

    served: Served
    pacs: BadPacs

    @property
    def node(self) -> SiteNode:
        node = self.served.node
        assert isinstance(node, SiteNode)
        return node

    def case(self, study: PhantomStudy | None = None, *, is_ready: bool = False) -> Case:
        made = pulled(
            self.node,
            person(self.node, f"ana{next(_seeds)}"),
            self.pacs,
            study or small_study(next(_seeds), stills=1, cine_frames=0),
        )
        if is_ready:
            made.curate()
        return made

    @contextmanager
    def browser(self, *roles: Role, domain: str = "*") -> Iterator["Browser"]:
        name = f"user{next(_seeds)}"
        self.served.person(name, [(role, domain) for role in roles])
        client = self.served.client
        client.cookies.update({session_cookie_name(self.served.settings): self.served.cookie(name)})
        try:
            yield Browser(self.served)
        finally:
            client.cookies.clear()


@dataclass
class Browser:
    served: Served

    def get(self, path: str, **headers: str) -> Response:
        return self.served.client.get(path, headers=HTML | headers)

    def post(self, path: str, data: dict[str, Any], **headers: str) -> Response:
        kind = {"content-type": "application/x-www-form-urlencoded"}  # of an empty form, too
        return self.served.client.post(path, data=data, headers=HTML | kind | headers)

    def put(self, path: str, body: object) -> Response:
        return self.served.client.put(path, json=body, headers=JSON)


@pytest.fixture(scope="module")
def desk(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with running(BadPacs()) as pacs:
        changes = site_changes(tmp_path_factory.mktemp("site"), pacs)
        with serve(postgres, "site", **changes) as served:
            yield Desk(served, pacs)


CURATOR = (Role.CUR, Role.EXAM)
EVERYBODY = (Role.CUR, Role.REG, Role.EXAM, Role.XFER)


def test_the_page_shows_every_question_with_its_rules_and_no_identity(desk: Desk) -> None:
    case = desk.case()
    with desk.browser(*EVERYBODY) as browser:
        shown = browser.get(f"/cases/{case.id}")
    assert shown.status_code == 200
    for words in ("Diagnosis", "Long diameter", "(0018,6031)", 'data-rules=\'{"applies"', "gaps"):
        assert words in shown.text
    patient = case.study.patient
    for secret in (patient.patient_id, case.study.accession, case.study.study_uid):
        assert secret not in shown.text
    assert 'disabled aria-describedby="register-why"' in shown.text


def test_answers_are_saved_and_the_answer_tells_what_the_server_made_of_them(desk: Desk) -> None:
    case = desk.case()
    with desk.browser(*CURATOR) as browser:
        saved = browser.put(f"/cases/{case.id}/form", {"values": {"diagnosis": "LIV-CYST"}, "version": 0})
        assert (saved.status_code, saved.json()["version"]) == (200, 1)
        answers = saved.json()["answers"]
        assert answers["diagnosis"]["source"] == "manual"
        assert answers["transducer_type"] == {"value": "CURVED LINEAR", "source": "tag", "tag": "(0018,6031)"}
        assert answers["malignancy"]["value"] == "benign"


def test_a_save_whose_answer_was_lost_is_no_conflict_but_another_answer_is(desk: Desk) -> None:
    case = desk.case()
    with desk.browser(*CURATOR) as browser:
        body = {"values": {"diagnosis": "LIV-CYST"}, "version": 0}
        browser.put(f"/cases/{case.id}/form", body)
        again = browser.put(f"/cases/{case.id}/form", body)
        assert (again.status_code, again.json()["version"]) == (200, 1)
        other = browser.put(f"/cases/{case.id}/form", {"values": {"diagnosis": "LIV-HEM"}, "version": 0})
        assert (other.status_code, other.json()) == (409, {"version": 1, "mine": True})


def test_a_wrong_answer_is_named_in_the_persons_language_and_nothing_is_saved(desk: Desk) -> None:
    case = desk.case()
    with desk.browser(*CURATOR) as browser:
        body = {"values": {"size_long_mm": 999, "diagnosis": "LIV-HCC"}, "version": 0}
        refused = desk.served.client.put(f"/cases/{case.id}/form", json=body, headers=JSON | {"accept-language": "ja"})
        assert refused.status_code == 422
        assert refused.json() == {"problems": {"size_long_mm": "範囲外の値です。"}}
        assert browser.get(f"/api/v1/cases/{case.id}/form").json()["version"] == 0


def test_a_plain_form_saves_without_scripts_and_comes_back_to_the_case(desk: Desk) -> None:
    case = desk.case()
    fields = {
        "version": "0", "diagnosis": "LIV-HCC", "hcc_grade": "GR-MOD", "basis": ["CT", "MR"], "order-basis": "MR CT",
        "size_long_mm": "２３.４", "size_short_mm": "", "age_years": "", "lesion_index": "1",
    }  # fmt: skip
    with desk.browser(*CURATOR) as browser:
        done = browser.post(f"/cases/{case.id}/form-plain", fields)
        assert (done.status_code, done.headers["location"]) == (303, f"/cases/{case.id}")
        answers = browser.get(f"/api/v1/cases/{case.id}/form").json()["values"]
        assert answers["size_long_mm"]["value"] == 23.4
        assert answers["basis"]["value"] == ["MR", "CT"], "the order of choosing is kept"
        assert answers["age_years"]["source"] == "tag", "an emptied field goes back to its tag"
        page = browser.get(f"/cases/{case.id}").text
        assert "Moderately differentiated" in page


def test_a_plain_form_with_a_wrong_number_comes_back_as_typed(desk: Desk) -> None:
    case = desk.case()
    with desk.browser(*CURATOR) as browser:
        fields = {"version": "0", "diagnosis": "LIV-HCC", "size_long_mm": "about 20", "size_short_mm": "999"}
        again = browser.post(f"/cases/{case.id}/form-plain", fields)
    assert again.status_code == 422
    for words in (
        'value="about 20"',
        "The value is of the wrong kind.",
        'value="999"',
        "out of range",
        "Nothing is saved",
    ):
        assert words in again.text
    words = "肝細胞癌 | Hepatocellular carcinoma | LIV-HCC | かんさいぼうがん | 肝がん | ヘパトーマ | hepatoma | HCC"
    assert f'<option value="LIV-HCC" data-words="{words}" selected>' in again.text


def test_a_conflict_shows_both_sides_and_takes_the_side_of_each_field(desk: Desk) -> None:
    case = desk.case()
    with desk.browser(*CURATOR) as browser:
        browser.put(f"/cases/{case.id}/form", {"values": {"diagnosis": "LIV-CYST"}, "version": 0})
        browser.put(f"/cases/{case.id}/form", {"values": {"diagnosis": "LIV-HEM", "afp": 3.0}, "version": 1})
        mine = {"version": "1", "diagnosis": "LIV-CYST", "pivka": "20"}
        panel = browser.post(f"/cases/{case.id}/form-plain", mine, **{"HX-Request": "true", "HX-Target": "conflict"})
        assert panel.status_code == 409
        assert panel.text.lstrip().startswith('<form class="conflict"') and 'name="version" value="2"' in panel.text
        assert 'name="take-diagnosis" value="theirs" checked' in panel.text, "only they changed it"
        assert 'name="take-pivka" value="yours" checked' in panel.text, "only I changed it"
        chosen = mine | {
            "version": "2", "take-diagnosis": "theirs", "theirs-diagnosis": "LIV-HEM", "take-afp": "theirs",
            "theirs-afp": "3.0", "take-pivka": "yours",
        }  # fmt: skip
        assert browser.post(f"/cases/{case.id}/form-plain", chosen).status_code == 303
        answers = browser.get(f"/api/v1/cases/{case.id}/form").json()["values"]
    assert [answers[name]["value"] for name in ("diagnosis", "afp", "pivka")] == ["LIV-HEM", 3.0, 20.0]


def test_a_pick_by_script_and_by_a_plain_form(desk: Desk) -> None:
    case = desk.case()
    image = case.images()[0]
    path = f"/cases/{case.id}/images/{image.id}/pick"
    with desk.browser(*CURATOR) as browser:
        body = {"picked": True, "reason": None, "version": 0}
        assert browser.put(path, body).json()["version"] == 1
        assert browser.put(path, body).json()["version"] == 1, "asked twice, saved once"
        assert browser.put(path, {"picked": False, "reason": "duplicate", "version": 0}).status_code == 409
        assert browser.put(path, {"picked": False, "reason": None, "version": 1}).status_code == 422
        done = browser.post(path, {"picked": "no", "reason": "duplicate", "version": "1"})
        assert (done.status_code, done.headers["location"]) == (303, f"/cases/{case.id}?image=1")
        other = desk.case()
        assert browser.put(f"/cases/{other.id}/images/{image.id}/pick", body).status_code == 404
    with reading(desk.node.engine) as session:
        row = session.get_one(Pick, image.id)
        assert (row.picked, row.reason, row.version) == (False, "duplicate", 2)


def test_all_images_with_a_confirmed_mask_are_picked_at_once(desk: Desk) -> None:
    case = desk.case()
    case.make_candidates()
    with desk.browser(*CURATOR) as browser:
        assert "Pick all" not in browser.get(f"/cases/{case.id}").text
        case.look_and_confirm()
        assert "Pick all with a confirmed mask" in browser.get(f"/cases/{case.id}").text
        assert browser.post(f"/cases/{case.id}/picks", {}).status_code == 303
        assert "1 of 1 picked" in browser.get(f"/cases/{case.id}").text


def test_the_sheet_shows_what_leaves_and_registers_it(desk: Desk) -> None:
    case = desk.case(is_ready=True)
    with desk.browser(*EVERYBODY) as browser:
        sheet = browser.get(f"/cases/{case.id}/sheet")
        assert sheet.status_code == 200 and "<!doctype html>" in sheet.text
        for words in (
            "Hepatocellular carcinoma",
            "LIV-HCC",
            "Mask confirmed",
            "1 ROI",
            "What stays here",
            "10 minutes",
        ):
            assert words in sheet.text
        with reading(desk.node.engine) as session:
            entries, _ = curation.present_form(session, queries.readable_case(session, case.actor, case.id))
        assert sheet.text.count("<tr>") == 1 + len(entries) - 4 + 2, "4 device texts travel with the images; 2 measures"
        part = browser.get(f"/cases/{case.id}/sheet", **{"HX-Request": "true", "HX-Target": "sheet"})
        assert "<!doctype" not in part.text and "steps/register" in part.text
        done = browser.post(f"/cases/{case.id}/steps/register", {})
        assert (done.status_code, done.headers["location"]) == (303, f"/cases/{case.id}")
        page = browser.get(f"/cases/{case.id}").text
        assert "Take back" in page and "nothing can be changed" in page and 'name="diagnosis"' not in page


def test_the_sheet_names_no_person_and_no_research_id(desk: Desk) -> None:
    case = desk.case(is_ready=True)
    link = desk.node.vault.link(case.id)
    patient = case.study.patient
    with desk.browser(*EVERYBODY) as browser:
        for path in ("", "/sheet", "/history", "/gaps", "/sent"):
            text = browser.get(f"/cases/{case.id}{path}").text
            for secret in (patient.patient_id, case.study.accession, str(link.research_id), str(link.outward_case_id)):
                assert secret not in text, path


def test_registering_with_a_gap_is_refused_on_the_sheet(desk: Desk) -> None:
    case = desk.case()
    with desk.browser(*EVERYBODY) as browser:
        refused = browser.post(f"/cases/{case.id}/steps/register", {})
    assert refused.status_code == 409
    assert "It was not registered and nothing was sent." in refused.text and "Pick at least one image" in refused.text
    assert case.row.state == CaseState.CURATING


def test_take_back_exclude_and_include_by_plain_forms(desk: Desk) -> None:
    case = desk.case(is_ready=True)
    case.register()
    with desk.browser(*EVERYBODY) as browser:
        for step, fields, state in (
            ("take-back", {}, CaseState.CURATING),
            ("exclude", {"reason": "wrong-study"}, CaseState.EXCLUDED),
            ("include", {}, CaseState.CURATING),
        ):
            assert browser.post(f"/cases/{case.id}/steps/{step}", fields).status_code == 303
            assert case.row.state == state
        assert browser.post(f"/cases/{case.id}/steps/exclude", {"reason": "because"}).status_code == 422
        assert browser.post(f"/cases/{case.id}/steps/correct", {}).status_code == 409


def test_each_step_asks_for_its_own_right(desk: Desk) -> None:
    case = desk.case(is_ready=True)
    with desk.browser(*CURATOR) as browser:
        assert "A registrar registers it." in browser.get(f"/cases/{case.id}").text
        assert browser.post(f"/cases/{case.id}/steps/register", {}).status_code == 403
    with desk.browser(Role.REG) as browser:
        assert browser.put(f"/cases/{case.id}/form", {"values": {}, "version": 1}).status_code == 403
        assert "You may look only." in browser.get(f"/cases/{case.id}").text
    with desk.browser(*EVERYBODY, domain="breast") as browser:
        for path in ("", "/sheet", "/history", "/gaps", "/sent"):
            assert browser.get(f"/cases/{case.id}{path}").status_code == 404
        assert browser.put(f"/cases/{case.id}/form", {"values": {}, "version": 1}).status_code == 404
        assert browser.post(f"/cases/{uuid4()}/steps/register", {}).status_code == 404


def test_what_became_of_a_package_is_told_in_words(desk: Desk) -> None:
    case = desk.case(is_ready=True)
    case.register()
    with transaction(desk.node.engine, "test") as session:
        queries.readable_case(session, case.actor, case.id).release_at = None
    package = case.release()
    assert package.state == PackageState.DEIDENTIFIED
    with desk.browser(*EVERYBODY) as browser:
        assert "De-identified" in browser.get(f"/cases/{case.id}/sent").text
    with desk.browser(*CURATOR) as browser:
        assert "Registrars and transfer staff" in browser.get(f"/cases/{case.id}/sent").text


def test_the_history_says_what_changed_and_who_did_it(desk: Desk) -> None:
    case = desk.case(is_ready=True)
    case.answer(afp=12.5)
    with desk.browser(*CURATOR) as browser:
        text = browser.get(f"/cases/{case.id}/history").text
    for words in (
        case.actor.name,
        "Form saved, version 2",
        "AFP",
        "12.5 ng/mL",
        "Picked image 1",
        "Drew an ROI on image 1",
    ):
        assert words in text
    assert "Confirmed the mask of image 1" in text


def test_the_standing_of_a_case_is_a_part_and_a_page(desk: Desk) -> None:
    case = desk.case()
    with desk.browser(*EVERYBODY) as browser:
        whole = browser.get(f"/cases/{case.id}/gaps")
        part = browser.get(f"/cases/{case.id}/gaps", **{"HX-Request": "true", "HX-Target": "case-standing"})
    assert "<!doctype html>" in whole.text
    assert part.text.lstrip().startswith('<div id="case-standing"') and 'hx-swap-oob="true"' in part.text
    assert "Missing: Diagnosis" in part.text


def test_the_roi_proposes_the_size(desk: Desk) -> None:
    case = desk.case()
    case.draw()
    with reading(desk.node.engine) as session:
        size = form_page(session, case.actor, queries.readable_case(session, case.actor, case.id))["roi_size"]
    assert size is not None and size[0] >= size[1] > 1


def test_the_neighbours_are_of_the_same_state(desk: Desk) -> None:
    first, second = desk.case(), desk.case()
    with reading(desk.node.engine) as session:
        around = form_page(session, first.actor, queries.readable_case(session, first.actor, first.id))["around"]
    assert isinstance(around.next, UUID) and around.next == second.id and around.position < around.total


@pytest.mark.parametrize("domain", ["liver", "breast"])
def test_every_organ_has_number_keys_for_its_commonest_diagnoses(domain: str) -> None:
    assert 4 <= len(quick_of(vocabulary.load(domain))) <= 9


# What is remembered, what is read again, what else there is of the patient


def test_a_usual_answer_is_offered_to_its_person_alone_until_they_clear_it(desk: Desk) -> None:
    first, second = desk.case(), desk.case()
    answers = {"diagnosis": "LIV-HCC", "examiner_class": "EX-SONO", "approach": "AP-SUB", "afp": 12.5}
    with desk.browser(*CURATOR) as browser:
        assert "data-usual=" not in browser.get(f"/cases/{second.id}").text
        browser.put(f"/cases/{first.id}/form", {"values": answers, "version": 0})
        shown = browser.get(f"/cases/{second.id}").text
        assert "data-usual='\"EX-SONO\"'" in shown and "data-usual='\"AP-SUB\"'" in shown
        assert (
            "You have defaults for 2 questions." in shown
            and shown.count("data-keep>") == shown.count("your default</span>") == 2
        )
        form = browser.get(f"/api/v1/cases/{second.id}/form").json()
        assert form["version"] == 0 and "examiner_class" not in form["values"], "offered, not answered"
        assert "data-usual=" not in browser.get(f"/cases/{first.id}").text, "what has an answer is not offered one"
        assert browser.put(f"/cases/{second.id}/defaults", {"forget": ["approach", "nothing"]}).status_code == 200
        assert "You have a default for 1 question." in browser.get(f"/cases/{second.id}").text
    with desk.browser(*CURATOR) as browser:
        assert "data-usual=" not in browser.get(f"/cases/{second.id}").text, "another person"
        assert browser.put(f"/cases/{uuid4()}/defaults", {"forget": []}).status_code == 404


def test_the_last_answer_is_remembered_and_an_old_case_does_not_bring_its_own_back(desk: Desk) -> None:
    first, second, third = desk.case(), desk.case(), desk.case()
    with desk.browser(*CURATOR) as browser:
        browser.put(f"/cases/{first.id}/form", {"values": {"examiner_class": "EX-SONO"}, "version": 0})
        browser.put(f"/cases/{second.id}/form", {"values": {"examiner_class": "EX-SPEC"}, "version": 0})
        again = {"values": {"examiner_class": "EX-SONO", "diagnosis": "LIV-CYST"}, "version": 1}
        browser.put(f"/cases/{first.id}/form", again)
        assert "data-usual='\"EX-SPEC\"'" in browser.get(f"/cases/{third.id}").text


def test_tags_are_read_again_but_what_a_person_entered_stays(desk: Desk) -> None:
    case = desk.case()
    by_hand = {"transducer_type": "LINEAR", "depth_mm": 90}
    with desk.browser(*CURATOR) as browser:
        answers = browser.get(f"/api/v1/cases/{case.id}/form").json()["values"]
        assert answers["transducer_type"]["value"] == "CURVED LINEAR" and answers["age_years"]["source"] == "tag"
        values = {field: answers[field]["value"] for field in ("age_years", "sex", "mechanical_index")} | by_hand
        browser.put(f"/cases/{case.id}/form", {"values": values, "version": 0})
        with transaction(desk.node.engine, "test") as session:
            image = session.get_one(SiteImage, case.images()[0].id)
            image.facts = image.facts | {"transducer_type": "SECTOR_PHASED", "depth_mm": 120, "age_years": 31}
        saved = browser.put(f"/cases/{case.id}/form", {"values": values, "version": 1}).json()["answers"]
        assert saved["transducer_type"] == {"value": "LINEAR", "source": "manual", "tag": None}
        assert saved["depth_mm"]["value"] == 90 and saved["depth_mm"]["source"] == "manual"
        assert saved["age_years"] == {"value": 31, "source": "tag", "tag": "(0010,1010)"}, "nobody had entered it"
        page = browser.get(f"/cases/{case.id}").text
    assert "by hand; the tag says Phased sector" in page and "by hand; the tag says 120 mm" in page
    assert "(0018,5050) DepthOfScanField" in page


def test_the_other_cases_of_a_patient_are_those_that_one_may_see(desk: Desk) -> None:
    first, stranger = desk.case(), desk.case()
    same = desk.case(replace(study_of("liver", next(_seeds)), patient=first.study.patient))
    organ = desk.case(replace(study_of("heart", next(_seeds)), patient=first.study.patient))
    first.answer()
    with desk.browser(*CURATOR, domain="liver") as browser:
        page = browser.get(f"/cases/{same.id}/earlier")
        assert f'href="/cases/{first.id}"' in page.text and "Hepatocellular carcinoma" in page.text
        for other in (organ, stranger):
            assert str(other.id) not in page.text
        for secret in (first.study.patient.patient_id, first.study.patient.latin, first.study.accession):
            assert secret not in page.text
        part = browser.get(f"/cases/{same.id}/earlier", **{"HX-Request": "true", "HX-Target": "case-earlier"})
        assert part.text.lstrip().startswith('<ul class="earlier-list"')
        assert browser.get(f"/cases/{organ.id}/earlier").status_code == 404
        assert "None that you may see." in browser.get(f"/cases/{stranger.id}/earlier").text
    with desk.browser(*CURATOR) as browser:
        assert str(organ.id) in browser.get(f"/cases/{same.id}/earlier").text
    with reading(desk.node.engine) as session:
        events = session.exec(select(AuditEvent).where(AuditEvent.verb == "case.earlier")).all()
    assert {event.subject for event in events} == {str(same.id), str(stranger.id)}


# From case to case


def test_one_goes_on_in_the_order_of_the_list_and_registering_leads_to_the_next(desk: Desk) -> None:
    cases = [desk.case(), desk.case(is_ready=True), desk.case()]
    listed = "state=CURATING&sort=number&order=up"
    with desk.browser(*EVERYBODY) as browser:
        up = browser.get(f"/cases/{cases[1].id}?{urlencode({'list': listed})}").text
        down = browser.get(f"/cases/{cases[1].id}?{urlencode({'list': 'state=CURATING'})}").text
        assert f'data-next="{cases[2].id}"' in up and f"/cases/{cases[0].id}?list=" in up
        assert f'data-next="{cases[0].id}"' in down, "newest first, as the list itself"
        assert 'href="/worklist?state=CURATING&amp;sort=number&amp;order=up"' in up
        assert f"/cases/{cases[0].id}?list=" in browser.get("/worklist?state=CURATING").text
        for odd in ("%00", "found=x", "sort=evil", "=&&=", "state=" + "x" * 900):
            assert browser.get(f"/cases/{cases[1].id}?list={odd}").status_code == 200
        sheet = browser.get(f"/cases/{cases[1].id}/sheet").text
        assert f'name="next" value="{cases[2].id}"' in sheet
        fields = {"then": "next", "next": str(cases[2].id), "list": listed}
        done = browser.post(f"/cases/{cases[1].id}/steps/register", fields)
        assert done.headers["location"] == f"/cases/{cases[2].id}?{urlencode({'list': listed})}"
        for lost in ("", "//evil.example", str(uuid4())):
            case = desk.case(is_ready=True)
            done = browser.post(f"/cases/{case.id}/steps/register", {"then": "next", "next": lost})
            assert done.headers["location"] == "/worklist"


# Strips


def test_a_cine_is_one_small_strip_for_those_who_may_see_it(desk: Desk) -> None:
    case = desk.case(study_of("liver", next(_seeds), stills=0, cine_frames=30))
    (image,) = case.images()
    path = f"/cases/{case.id}/images/{image.id}/strip"
    with desk.browser(*CURATOR) as browser:
        assert browser.get(path).status_code == 409, "nothing is written yet"
        case.make_candidates()
        found = browser.get(path)
        assert found.status_code == 200 and found.headers["cache-control"] == "no-store"
        assert found.headers["sonobank-digest"] == case.mask(image).digest
        picture = Image.open(io.BytesIO(found.content))
        assert picture.format == "JPEG" and picture.width % masks.STRIP_FRAMES == 0 and picture.height <= 96
        assert len(found.content) < 300_000
        cells = np.split(np.asarray(picture.convert("L"), dtype=np.int16), masks.STRIP_FRAMES, axis=1)
        assert any(np.abs(one - cells[0]).max() > 20 for one in cells[1:]), "the frames differ"
        one = browser.get(path.replace("strip", "thumb"))
        assert one.headers["content-type"] == "image/png"
    with desk.browser(Role.EXAM) as browser:
        assert browser.get(path).status_code == 403
    with desk.browser(*CURATOR, domain="breast") as browser:
        assert browser.get(path).status_code == 404
    with reading(desk.node.engine) as session:
        assert not session.exec(select(MaskView).where(MaskView.mask_id == case.mask(image).id)).all()


@given(st.integers(1, 5000))
def test_the_frames_of_a_strip_are_in_order_and_begin_with_the_first(frames: int) -> None:
    chosen = masks.strip_frames(frames)
    assert chosen[0] == 1 and chosen == sorted(set(chosen)) and chosen[-1] <= frames
    assert len(chosen) == min(frames, masks.STRIP_FRAMES)


# Organs


@pytest.mark.parametrize(("domain", "answers"), [("heart", HEART), ("thyroid", THYROID)])
def test_an_organ_that_is_only_a_file_goes_the_whole_way(desk: Desk, domain: str, answers: dict[str, Any]) -> None:
    case = desk.case(study_of(domain, next(_seeds)))
    with desk.browser(*EVERYBODY) as browser:
        page = browser.get(f"/cases/{case.id}")
        assert page.status_code == 200 and vocabulary.load(domain).label.en in page.text
        assert "Draw the lesion" not in page.text
        saved = browser.put(f"/cases/{case.id}/form", {"values": answers, "version": 0})
        assert saved.status_code == 200, saved.text
        case.pick()
        case.make_candidates()
        case.look_and_confirm()
        gaps = browser.get(f"/cases/{case.id}/gaps").text
        if vocabulary.load(domain).derivation:
            assert "Draw the lesion" in gaps
            case.draw_box(case.images()[0], 1, 200, 150, 40, 30, label=answers["diagnosis"])
        else:
            assert "Complete" in gaps
        sheet = browser.get(f"/cases/{case.id}/sheet").text
        assert "WMSI" in sheet or domain != "heart"
        assert browser.post(f"/cases/{case.id}/steps/register", {}).status_code == 303
        assert browser.get("/worklist?state=REGISTERED").status_code == 200
    assert case.row.state == CaseState.REGISTERED
    with transaction(desk.node.engine, "test") as session:
        queries.readable_case(session, case.actor, case.id).release_at = None
    built = record.build_record(desk.node, case.release(), "0" * 64)
    organ = vocabulary.load(domain)
    known = {field: {option.code for option in options} for field, options in organ.options.items()}
    known |= {"label": known["diagnosis"], "malignancy": {"malignant"}}
    assert built.domain == domain and all(code in known[field] for field, code in contract.coded(built))


def test_a_plain_form_takes_the_segments_one_by_one(desk: Desk) -> None:
    case = desk.case(study_of("heart", next(_seeds)))
    with desk.browser(*CURATOR) as browser:
        page = browser.get(f"/cases/{case.id}").text
        assert page.count('name="wall_motion"') == 17 and "14 left ventricle apical septal segment" in page
        untouched = {"version": "0", "wall_motion": [NOBODY_LOOKED] * 17}
        assert browser.post(f"/cases/{case.id}/form-plain", untouched).status_code == 303
        answers = browser.get(f"/api/v1/cases/{case.id}/form").json()["values"]
        assert "wall_motion" not in answers and answers["wall_motion_index"]["value"] is None
        scored = {"version": "1", "wall_motion": [NORMAL] * 10 + [HYPOKINETIC] * 6 + [NOBODY_LOOKED]}
        assert browser.post(f"/cases/{case.id}/form-plain", scored).status_code == 303
        answers = browser.get(f"/api/v1/cases/{case.id}/form").json()["values"]
        assert answers["wall_motion"]["value"][15:] == [HYPOKINETIC, NOBODY_LOOKED]
        assert answers["wall_motion_index"]["value"] == 1.38
        assert "Missing: Wall motion" in browser.get(f"/cases/{case.id}/gaps").text, "one segment was not looked at"
        assert "Hypokinesis (11 12 13 14 15 16)" in browser.get(f"/cases/{case.id}/history").text
