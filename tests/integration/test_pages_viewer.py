"""The page of a case, its viewer's side: what it shows to whom, and what the viewer may ask for and change."""

import gzip
import html
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from httpx2 import Response
from PIL import Image
from sqlmodel import select
from starlette.testclient import TestClient

from api.routes.images import roi_out
from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.models.curation import ImageMask, MaskView, Roi
from core.models.people import Role
from core.queries import cases as queries
from core.security import session_cookie_name
from core.services import cases, masks
from tests.casework import Case, small_study
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from tests.viewer_site import hospital
from web.assets import FOLDER

PEOPLE = {
    "kaneko": [Role.CUR, Role.REG],
    "curator": [Role.CUR],
    "registrar": [Role.REG],
    "sender": [Role.XFER],
    "clerk": [Role.PTDESK],
}
Browser = Callable[..., TestClient]


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Case, Case]]:
    """A site with one case whose candidates are written, and one of an unknown device whose candidates are not."""
    with hospital(tmp_path_factory.mktemp("viewer")) as known, serve(postgres, "site", **known.changes) as served:
        for name, roles in PEOPLE.items():
            served.person(name, [(role, "*") for role in roles])
        served.person("breast", [(Role.CUR, "breast"), (Role.REG, "breast")])
        case = known.pull(served, small_study(1, stills=2, cine_frames=4))
        case.make_candidates()
        case.draw()
        yield served, case, known.pull(served, small_study(2, "unknown"))


@pytest.fixture
def case(site: tuple[Served, Case, Case]) -> Case:
    return site[1]


@pytest.fixture
def browser(site: tuple[Served, Case, Case]) -> Iterator[Browser]:
    """The browser of one of the people."""
    served = site[0]
    client = served.client

    def sign_in(name: str = "kaneko", lang: str = "en") -> TestClient:
        client.cookies.clear()
        client.cookies.update({session_cookie_name(served.settings): served.cookie(name)})
        client.headers.update({"Sec-Fetch-Site": "same-origin", "Accept-Language": lang})
        return client

    yield sign_in
    client.cookies.clear()
    for name in ("Sec-Fetch-Site", "Accept-Language"):
        client.headers.pop(name, None)


def told(page: Response) -> dict[str, Any]:
    """What the page tells its scripts."""
    found = re.search(r'<div id="case-data" hidden>(.*?)</div>', page.text, re.DOTALL)
    assert found, page.text[:2000]
    answer: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    return answer


def place(case: Case, number: int = 1, rest: str = "") -> str:
    return f"/cases/{case.id}/images/{case.images()[number - 1].id}{rest}"


def box(**changes: Any) -> dict[str, Any]:
    known = {"id": str(uuid4()), "frame": 1, "x": 300, "y": 200, "width": 40, "height": 30, "margin": 8}
    return known | {"label": "LIV-HCC", "lesionId": str(uuid4())} | changes


def test_the_page_lists_every_image_and_tells_the_viewer_about_it(browser: Browser, case: Case) -> None:
    answer = browser().get(f"/cases/{case.id}")
    assert answer.status_code == 200
    data = told(answer)
    assert [image["number"] for image in data["images"]] == [1, 2, 3]
    assert sorted(image["frames"] for image in data["images"]) == [1, 1, 4]
    assert data["mayCurate"] and data["mayRegister"] and data["maySeePixels"] and data["isOpen"]
    image = data["images"][0]
    assert image["mask"]["digest"] and image["mask"]["rects"] and image["mask"]["toShow"] == [1]
    assert image["rois"][0]["centreMm"] and image["rois"][0]["sizeMm"] and image["mmPerPx"]
    assert answer.text.count(f"/cases/{case.id}/images/{image['id']}/thumb") == 2


def test_the_page_shows_no_identifier(browser: Browser, case: Case) -> None:
    text = browser(lang="ja").get(f"/cases/{case.id}").text
    patient = case.study.patient
    for value in (
        patient.patient_id,
        case.study.accession,
        case.study.study_uid,
        *filter(None, vars(patient).values()),
    ):
        if isinstance(value, str) and len(value) > 3:
            assert value not in text


def test_reasons_and_words_are_in_the_language_of_the_person(browser: Browser, case: Case) -> None:
    japanese = told(browser(lang="ja").get(f"/cases/{case.id}"))
    english = told(browser(lang="en").get(f"/cases/{case.id}"))
    assert re.search(r"[ぁ-ん]", japanese["images"][0]["mask"]["reasons"][0])
    assert english["images"][0]["mask"]["reasons"][0].startswith("the device's rule")
    assert japanese["texts"].keys() == english["texts"].keys()
    assert japanese["texts"]["play"] == ["再生"]


def test_without_scripts_the_first_frame_of_the_chosen_image_is_there(browser: Browser, case: Case) -> None:
    text = browser().get(f"/cases/{case.id}?image=2").text
    plain = "".join(re.findall(r"<noscript>(.*?)</noscript>", text, re.DOTALL))
    assert f'src="{place(case, 2)}/frames/1"' in plain
    assert plain.count("/thumb") == text.count('alt="" width="96"') == 3
    assert f'data-image="{case.images()[1].id}" aria-current="true"' in text
    assert re.findall(r'<a href="\?image=(\d)"', text) == ["1", "2", "3"]


def test_who_may_not_see_pixels_gets_none(browser: Browser, case: Case) -> None:
    client = browser("sender")
    page = client.get(f"/cases/{case.id}")
    data = told(page)
    assert not (data["maySeePixels"] or data["mayCurate"] or data["mayRegister"])
    assert '<img src="/cases/' not in page.text
    assert client.get(place(case, rest="/frames/1")).status_code == 403
    assert client.get(place(case, rest="/thumb")).status_code == 403
    assert client.get(place(case, rest="/mask")).status_code == 200


def test_a_case_of_another_domain_is_not_there(browser: Browser, case: Case) -> None:
    client = browser("breast")
    assert client.get(f"/cases/{case.id}").status_code == 404
    assert client.get(place(case, rest="/frames/1")).status_code == 404
    assert client.post(place(case, rest="/rois"), json=box()).status_code == 404
    assert browser("clerk").get(f"/cases/{case.id}").status_code == 403


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("GET", "/thumb", None),
        ("GET", "/frames/1", None),
        ("GET", "/mask", None),
        ("PUT", "/mask", {"rects": [], "revision": 1}),
        ("POST", "/mask/shown", {"digest": "0" * 64, "frames": [1]}),
        ("POST", "/mask/confirm", {"digest": "0" * 64}),
        ("POST", "/rois", box()),
    ],
)
def test_an_image_of_another_case_is_not_there(
    browser: Browser, site: tuple[Served, Case, Case], method: str, rest: str, body: Any
) -> None:
    _, case, other = site
    path = f"/cases/{other.id}/images/{case.images()[0].id}{rest}"
    assert browser().request(method, path, json=body).status_code == 404


def views(case: Case) -> list[int]:
    with reading(case.node.engine) as session:
        known = {case.mask(image).id for image in case.images()}
        return [view.frame for view in session.exec(select(MaskView)) if view.mask_id in known and view.is_shown]


def test_a_frame_that_is_fetched_has_not_been_shown_yet(browser: Browser, case: Case) -> None:
    client = browser("registrar")
    before = views(case)
    answer = client.get(place(case, rest="/frames/1"))
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("image/png", "no-store")
    assert answer.headers["sonobank-digest"] == case.mask(case.images()[0]).digest
    image = case.images()[0]
    assert Image.open(io.BytesIO(answer.content)).size == (image.columns, image.rows)
    small = client.get(place(case, rest="/thumb"))
    assert max(Image.open(io.BytesIO(small.content)).size) == 192
    assert views(case) == before
    with reading(case.node.engine) as session:
        events = session.exec(select(AuditEvent).where(AuditEvent.verb == "candidate.read")).all()
    assert any(event.actor == "registrar" for event in events)


def test_frames_in_a_row_are_those_of_the_candidate(browser: Browser, case: Case) -> None:
    """JPEG goes as it is stored, and shows what the sandbox makes of it; what a browser cannot read comes as PNG."""
    client = browser("registrar")
    cine = next(image for image in case.images() if image.frames > 1)
    here = case.images().index(cine) + 1
    run = client.get(place(case, here, rest="/frames?first=2&count=9"))
    lengths = [int(length) for length in run.headers["sonobank-lengths"].split(",")]
    assert (len(lengths), sum(lengths)) == (cine.frames - 1, len(run.content))
    assert (run.headers["sonobank-media-type"], run.headers["cache-control"]) == ("image/jpeg", "no-store")
    assert run.headers["sonobank-digest"] == case.mask(cine).digest
    at = 0
    for frame, length in enumerate(lengths, 2):
        shown = np.asarray(Image.open(io.BytesIO(run.content[at : at + length])).convert("RGB"), np.int16)
        known = client.get(place(case, here, rest=f"/frames/{frame}")).content
        assert np.abs(shown - np.asarray(Image.open(io.BytesIO(known)), np.int16)).max() <= 4
        at += length
    number = next(place for place, image in enumerate(case.images(), 1) if image.frames == 1)
    still = client.get(place(case, number, rest="/frames"))
    assert still.headers["sonobank-media-type"] == "image/png"
    assert still.content == client.get(place(case, number, rest="/frames/1")).content
    assert client.get(place(case, here, rest="/frames?first=5&count=1")).status_code == 422


def test_a_page_cannot_claim_a_frame_that_it_was_never_given(
    browser: Browser, case: Case, site: tuple[Served, Case, Case]
) -> None:
    site[0].person("claims", [(Role.CUR, "*"), (Role.REG, "*")])
    digest = case.mask(case.images()[0]).digest
    answer = browser("claims").post(place(case, rest="/mask/shown"), json={"digest": digest, "frames": [1]})
    assert answer.status_code == 409


def test_a_frame_that_does_not_exist_is_refused(browser: Browser, case: Case) -> None:
    assert browser().get(place(case, rest="/frames/9")).status_code == 422
    body = {"digest": case.mask(case.images()[0]).digest, "frames": [9]}
    assert browser().post(place(case, rest="/mask/shown"), json=body).status_code == 422


def test_a_mask_is_confirmed_after_its_frames_were_on_the_screen(browser: Browser, case: Case) -> None:
    client = browser()
    digest = case.mask(case.images()[0]).digest
    confirm, shown = place(case, rest="/mask/confirm"), place(case, rest="/mask/shown")
    assert client.get(place(case, rest="/frames/1")).status_code == 200
    assert client.post(confirm, json={"digest": digest}).status_code == 409
    assert client.post(shown, json={"digest": "0" * 64, "frames": [1]}).status_code == 409
    for _ in range(2):
        assert client.post(shown, json={"digest": digest, "frames": [1]}).json() == {"shown": [1]}
    assert client.post(confirm, json={"digest": "0" * 64}).status_code == 409
    answer = client.post(confirm, json={"digest": digest})
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["confirmedBy"]) == ("CONFIRMED", "kaneko")
    assert client.get(place(case, rest="/mask")).json()["shown"] == [1]


def test_only_a_registrar_confirms_and_only_a_curator_changes(browser: Browser, case: Case) -> None:
    body = {"digest": "0" * 64}
    assert browser("curator").post(place(case, 2, "/mask/confirm"), json=body).status_code == 403
    client = browser("registrar")
    assert client.put(place(case, 2, "/mask"), json={"rects": [], "revision": 1}).status_code == 403
    assert client.post(place(case, 2, "/rois"), json=box()).status_code == 403


def test_a_changed_mask_is_a_new_revision_that_waits_for_its_candidate(browser: Browser, case: Case) -> None:
    client, path = browser(), place(case, 3, "/mask")
    before = client.get(path).json()
    rects = [[0, 0, 820, 100]]
    answer = client.put(path, json={"rects": rects, "revision": before["revision"]})
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["revision"], changed["state"], changed["rects"]) == (2, "PROPOSED", rects)
    assert (changed["digest"], changed["toShow"], changed["shown"]) == (None, [], [])
    assert client.put(path, json={"rects": rects, "revision": before["revision"]}).status_code == 409
    assert client.put(path, json={"rects": [[0, 0, 9000, 1]], "revision": 2}).status_code == 422
    old = {"digest": before["digest"], "frames": [1]}
    assert client.post(f"{path}/shown", json=old).status_code == 409
    assert client.get(place(case, 3, "/frames/1")).status_code == 409
    masks.make_candidate(case.node, case.images()[2].id)
    assert client.get(path).json()["digest"] not in {None, before["digest"]}


def rois(case: Case, number: int) -> list[Roi]:
    with reading(case.node.engine) as session:
        image = case.images()[number - 1]
        return list(session.exec(select(Roi).where(Roi.image_id == image.id).order_by(Roi.frame)))


def test_an_roi_that_is_sent_twice_is_one_roi(browser: Browser, case: Case) -> None:
    client, sent = browser(), box(frame=1)
    before = len(rois(case, 2))
    first, again = (client.post(place(case, 2, "/rois"), json=sent) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.json()["id"] == sent["id"] and first.json()["lesionId"] == sent["lesionId"]
    assert first.json()["centrePx"] == [320, 215]
    assert len(rois(case, 2)) == before + 1
    assert client.post(place(case, 3, "/rois"), json=sent).status_code == 404


def test_an_roi_is_changed_and_deleted_under_its_version(browser: Browser, case: Case) -> None:
    client = browser()
    made = client.post(place(case, 2, "/rois"), json=box()).json()
    path = f"/cases/{case.id}/rois/{made['id']}"
    wanted = box(id=made["id"], lesionId=made["lesionId"], x=310)
    moved = client.put(path, json=wanted | {"version": 1})
    assert (moved.status_code, moved.json()["x"], moved.json()["version"]) == (200, 310, 2)
    assert client.put(path, json=wanted | {"version": 1}).json()["version"] == 2  # the answer to the first try was lost
    assert client.put(path, json=wanted | {"version": 1, "x": 320}).status_code == 409
    assert client.put(path, json=wanted | {"version": 2, "x": 5000}).status_code == 422
    assert client.put(path, json=wanted | {"version": 2, "label": "NOT-A-CLASS"}).status_code == 422
    assert client.put(f"/cases/{uuid4()}/rois/{made['id']}", json=wanted | {"version": 2}).status_code == 404
    gone = client.put(path, json=wanted | {"version": 2, "deleted": True})
    assert gone.json()["deleted"]
    shown = [roi["id"] for image in told(client.get(f"/cases/{case.id}"))["images"] for roi in image["rois"]]
    assert made["id"] not in shown


def track(**changes: Any) -> dict[str, Any]:
    keyframes = [[1, [[200, 200], [240, 200], [200, 220]]], [3, [[220, 220], [260, 220], [220, 250]]]]
    known = {"id": str(uuid4()), "lesionId": str(uuid4()), "label": "LIV-HCC", "margin": 8, "kind": "ellipse"}
    return known | {"keyframes": keyframes, "outOfView": [[2, 2]]} | changes


def cine(case: Case) -> str:
    """Where ROIs of the image with more than one frame are sent."""
    image = next(image for image in case.images() if image.frames > 1)
    return place(case, image.number, "/rois")


def test_a_track_goes_and_comes_whole(browser: Browser, case: Case) -> None:
    client, sent = browser(), track(uncertain=[[3, 1]])
    answer = client.post(cine(case), json=sent)
    assert answer.status_code == 201
    made = answer.json()
    assert {name: made[name] for name in sent} == sent
    assert [made[name] for name in ("use", "frame", "x", "y", "width", "height")] == ["lesion", 1, 160, 180, 80, 40]
    assert made["crop"] == [152, 172, 96, 56]
    path = f"/cases/{case.id}/rois/{made['id']}"
    renamed = client.put(path, json={"version": 1, "label": "LIV-CYST"}).json()
    assert {name: renamed[name] for name in sent} == sent | {"label": "LIV-CYST"}
    shorter = client.put(
        path, json={"version": 2, "keyframes": sent["keyframes"][:1], "outOfView": [], "uncertain": []}
    )
    assert [shorter.json()[name] for name in ("kind", "outOfView", "version")] == ["ellipse", [], 3]
    island = told(client.get(f"/cases/{case.id}"))
    assert shorter.json() in [roi for image in island["images"] for roi in image["rois"]]
    with reading(case.node.engine) as session:
        as_program = roi_out(session, session.get_one(Roi, UUID(made["id"]))).model_dump(mode="json")
    assert as_program["keyframes"] == sent["keyframes"][:1] and as_program["out_of_view"] == []
    assert all(as_program[name] == shorter.json()[name] for name in ("id", "kind", "use", "frame", "crop", "label"))
    assert (as_program["centre_mm"], as_program["lesion_id"]) == (made["centreMm"], made["lesionId"])
    client.put(path, json={"version": 3, "deleted": True})


def test_a_calliper_is_drawn_and_counts_for_nothing(browser: Browser, case: Case) -> None:
    client = browser()
    two = {"use": "caliper", "kind": "points", "label": "", "keyframes": [[1, [[300, 200], [340, 230]]]]}
    made = client.post(place(case, 2, "/rois"), json=track(outOfView=[]) | two).json()
    assert made["use"] == "caliper" and made["lengthMm"] > 0
    with reading(case.node.engine) as session:
        assert made["id"] in {str(roi.id) for roi in queries.rois_of(session, case.id)}
        assert made["id"] not in {str(roi.id) for roi in queries.lesions_of(session, case.id)}
    client.put(f"/cases/{case.id}/rois/{made['id']}", json={"version": 1, "deleted": True})


@pytest.mark.parametrize(
    "wrong", [{"keyframes": []}, {"kind": "star"}, {"use": "caliper"}, {"outOfView": [[1, 1]]}, {"x": -1}]
)
def test_a_track_that_makes_no_sense_is_refused(browser: Browser, case: Case, wrong: dict[str, Any]) -> None:
    assert browser().post(cine(case), json=track(**wrong)).status_code == 422


@pytest.mark.parametrize("wrong", [{"width": 0}, {"frame": 0}, {"x": -1}, {"x": "nan"}, {"extra": 1}, {"label": "a b"}])
def test_an_roi_that_makes_no_sense_is_refused(browser: Browser, case: Case, wrong: dict[str, Any]) -> None:
    assert browser().post(place(case, 2, "/rois"), json=box(**wrong)).status_code == 422


def test_another_site_cannot_save_with_this_browser(browser: Browser, case: Case) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert browser().post(place(case, 2, "/rois"), json=box(), headers=headers).status_code == 403


def test_an_unknown_device_must_be_looked_at_and_waits_for_its_candidate(
    browser: Browser, site: tuple[Served, Case, Case]
) -> None:
    _, _, other = site
    answer = browser().get(f"/cases/{other.id}")
    mask = told(answer)["images"][0]["mask"]
    assert (mask["ruleId"], mask["mustLook"], mask["digest"]) == (None, True, None)
    assert "/frames/1" not in answer.text


def test_what_holds_an_image_is_said_in_the_language_of_the_person(
    browser: Browser, site: tuple[Served, Case, Case]
) -> None:
    _, _, other = site
    with transaction(other.node.engine, "test") as session:
        session.get_one(ImageMask, other.mask(other.images()[1]).id).hold = "The image could not be masked safely."
    data = told(browser(lang="ja").get(f"/cases/{other.id}"))
    assert data["images"][1]["mask"]["hold"] == "画像を安全にマスクできませんでした。"


def test_a_case_that_is_closed_can_be_looked_at_and_not_changed(
    browser: Browser, site: tuple[Served, Case, Case]
) -> None:
    _, _, other = site
    with transaction(other.node.engine, "test") as session:
        cases.exclude(session, other.actor, other.id, "no-usable-image", other.row.created_at)
    client = browser()
    data = told(client.get(f"/cases/{other.id}"))
    assert not (data["isOpen"] or data["mayCurate"] or data["mayRegister"])
    assert client.post(place(other, 1, "/rois"), json=box()).status_code == 409


def test_the_scripts_and_styles_of_the_page_are_light(browser: Browser, case: Case) -> None:
    """At most 250 KB as they are sent, htmx and what the modules load included."""
    text = browser().get(f"/cases/{case.id}").text
    waiting = set(re.findall(r'(?:src|href)="/static/(?:[0-9a-f]{12}/)?([\w./-]+\.(?:js|css))', text))
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        source = (FOLDER / name).read_text("utf-8")
        waiting |= set(re.findall(r'from "\./([\w-]+\.js)"', source)) - seen
    assert {"viewer-boxes.js", "case-save.js"} <= seen
    assert sum(len(gzip.compress((FOLDER / name).read_bytes())) for name in seen) <= 250_000
