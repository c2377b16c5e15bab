"""What the model says of a case arrives in a real Orthanc beside the originals, when a person asks; its boxes are proposals first."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import httpx2
import pytest
from sqlmodel import select

from commands import orthanc
from core.db import reading
from core.models.audit import AuditEvent
from core.models.curation import Roi
from core.models.people import Role
from core.security import session_cookie_name
from ml.phantom import make_study, to_bytes
from tests.casework import Case
from tests.modelled import kept, put_in_effect
from tests.postgres_fixture import ScratchPostgres
from tests.results import stored_at
from tests.served import Served, serve
from tests.tiny_models import save_liver
from tests.viewer_site import hospital


@dataclass
class Ready:
    served: Served
    case: Case
    pacs: orthanc.Orthanc
    peers: Path


@pytest.fixture(scope="module")
def ready(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    """A site with a pulled case of a still and a cine, whose PACS is now an Orthanc that holds the same study."""
    if orthanc.program() is None:
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    folder = tmp_path_factory.mktemp("report")
    with (
        hospital(folder) as known,
        serve(postgres, "site", **known.changes) as served,
        orthanc.running(folder / "o") as pacs,
    ):
        served.person("pi", [(Role.SITEPI, "*"), (Role.SITEIT, "*")])
        served.person("kaneko", [(Role.CUR, "*"), (Role.REG, "*")])
        served.person("examiner", [(Role.EXAM, "*")])
        study = make_study(44, "liver", "epiq", 1, 4, "LIV-CYST")
        case = known.pull(served, study)
        pacs.store(to_bytes(instance) for instance in study.instances)
        peers = known.changes["peers_file"]
        peers.write_text(json.dumps([{"name": "pacs", "url": pacs.dicom_web}]))
        yield Ready(served, case, pacs, peers)


def ask(ready: Ready, who: str = "kaneko") -> httpx2.Response:
    path = f"/api/v1/cases/{ready.case.id}/infer/report"
    answer: httpx2.Response = ready.served.client.post(path, headers=ready.served.bearer(who))
    return answer


def test_without_masks_or_model_nothing_is_sent(ready: Ready) -> None:
    assert ask(ready).status_code == 409
    ready.case.make_candidates()
    assert ask(ready).status_code == 503
    assert ask(ready, "examiner").status_code == 403
    assert len(stored_at(ready.pacs)) == 2


def test_the_results_arrive_beside_the_originals(ready: Ready, tmp_path: Path) -> None:
    put_in_effect(ready.served, save_liver(tmp_path / "run"), "pi")
    with kept(ready.served):
        ready.served.node.inference._patience = 60
        answer = ask(ready)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        assert told["images"] == 2 and told["objects"] == 4 and told["lesions"] > 0
        assert (told["model"], told["notice"]) == ("tiny-liver v1", "research use")
        proposed(ready)
    found = stored_at(ready.pacs)
    reports = [hd.sr.ComprehensiveSR.from_dataset(one) for one in found if one.Modality == "SR"]
    states = [one for one in found if one.Modality == "PR"]
    assert len(reports) == len(states) == 2 and len(found) == 6
    originals = {one.SOPInstanceUID for one in found if one.Modality == "US"}
    assert {one.StudyInstanceUID for one in found} == {found[0].StudyInstanceUID}
    lesions = 0
    for one in reports:
        groups = one.content.get_planar_roi_measurement_groups()
        lesions += len(groups)
        assert all(
            g.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID in originals for g in groups
        )
        assert "Research use only" in one.SeriesDescription
    assert lesions == told["lesions"]
    with reading(ready.served.node.engine) as session:
        events = session.exec(select(AuditEvent).where(AuditEvent.verb == "infer.report")).all()
        assert [event.actor for event in events] == ["kaneko"] and events[0].detail["objects"] == 4
        assert session.exec(select(Roi)).all() == []  # nothing of it is a label


def test_the_live_page_sends_when_a_curator_asks(ready: Ready) -> None:
    before, client = len(stored_at(ready.pacs)), ready.served.client
    client.cookies.set(session_cookie_name(ready.served.settings), ready.served.cookie("kaneko"))
    head = {"Sec-Fetch-Site": "same-origin"}
    try:
        with kept(ready.served):
            image = str(ready.case.images()[0].id)
            assert "PACS" in client.get("/live?lang=en").text
            sent = client.post("/live/report", data={"image": image}, headers=head)
            assert (sent.status_code, sent.headers["location"]) == (303, f"/live?image={image}")
            assert "The findings are in the PACS" in client.get("/live?lang=en").text
            assert client.post("/live/report", data={"image": "x"}, headers=head).status_code == 404
    finally:
        client.cookies.clear()
    assert len(stored_at(ready.pacs)) == before + 4


def proposed(ready: Ready) -> None:
    """The case page's proposals come from the model in effect."""
    client, image = ready.served.client, ready.case.images()[0]
    client.cookies.set(session_cookie_name(ready.served.settings), ready.served.cookie("kaneko"))
    try:
        answer = client.post(
            f"/cases/{ready.case.id}/images/{image.id}/proposals", headers={"Sec-Fetch-Site": "same-origin"}
        ).json()
    finally:
        client.cookies.clear()
    assert answer["model"] == {"name": "tiny-liver", "version": "1"}
    assert answer["proposals"] and {one["kind"] for one in answer["proposals"]} == {"rectangle"}
    assert {one["label"] for one in answer["proposals"]} == {""}  # "cyst" is no diagnosis of the form


def test_a_pacs_that_is_away_is_said_and_nothing_is_half_sent(ready: Ready, tmp_path: Path) -> None:
    before = len(stored_at(ready.pacs))
    ready.peers.write_text(json.dumps([{"name": "pacs", "url": "http://127.0.0.1:9/dicom-web"}]))
    with kept(ready.served):
        answer = ask(ready)
    assert answer.status_code == 503 and "PACS" in answer.json()["detail"]
    assert len(stored_at(ready.pacs)) == before
