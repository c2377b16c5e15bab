"""Marks and volumes of a heart through its routes: versions, history, measures, and where the form says they come from."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from core.db import reading, transaction
from core.models.curation import Roi
from core.models.people import Role
from core.queries.case_history import history_page
from core.queries.heart import contours_of
from core.services import curation, heart
from ml.phantom_heart import HeartTruth, heart_study
from tests.casework import Case
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from tests.viewer_site import hospital

FRAMES = 18


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Case]]:
    with (
        hospital(tmp_path_factory.mktemp("heart")) as known,
        serve(postgres, "site", domains=("heart",), **known.changes) as served,
    ):
        yield served, known.pull(served, heart_study(1, "sequoia", FRAMES))


@pytest.fixture(scope="module")
def api(site: tuple[Served, Case]) -> dict[str, str]:
    served, _ = site
    served.person("kaneko", [(Role.CUR, "*"), (Role.REG, "*")])
    return served.bearer("kaneko")


@pytest.fixture
def client(site: tuple[Served, Case], api: dict[str, str]) -> TestClient:
    served, _ = site
    served.client.headers.update(api)
    return served.client


def truth_of(case: Case, number: int) -> HeartTruth:
    truth = case.instance_of(case.images()[number - 1]).truth
    assert isinstance(truth, HeartTruth)
    return truth


def draw(case: Case, number: int, frames: tuple[int, ...], every: int = 5) -> Roi:
    """The true border, a point of five."""
    image, truth = case.images()[number - 1], truth_of(case, number)
    keyframes = [[frame, [list(point) for point in truth.contours[frame - 1][::every]]] for frame in frames]
    box = {"frame": 0, "x": 0, "y": 0, "width": 0, "height": 0, "margin": 0, "label": ""}
    roi = Roi(image_id=image.id, kind="line", use="lv", keyframes=keyframes, **box)
    with transaction(case.node.engine, "test") as session:
        return curation.add_roi(session, case.actor, image.id, roi)


def test_marks_are_saved_under_their_version_and_told_in_the_history(
    site: tuple[Served, Case], client: TestClient
) -> None:
    _, case = site
    path = f"/api/v1/images/{case.images()[0].id}/marks"
    assert client.get(path).json() == {"view": None, "beats": [], "version": 0}
    sent: dict[str, Any] = {"view": "399214001", "beats": [[4, 14]], "version": 0}
    assert client.put(path, json=sent).json() == sent | {"version": 1}
    assert client.put(path, json=sent).status_code == 409
    assert client.get(path).json()["version"] == 1
    for wrong in ({"view": "A4C"}, {"beats": [[14, 4]]}, {"beats": [[4, FRAMES + 1]]}, {"beats": [[4, 14], [9, 16]]}):
        assert client.put(path, json=sent | {"version": 1} | wrong).status_code == 422
    with reading(case.node.engine) as session:
        events = history_page(session, case.actor, case.id)["events"]
    assert [(event.what, event.image, event.count) for event in events if event.what == "marked"] == [("marked", 1, 1)]


def test_contours_of_both_views_give_volumes_that_the_form_knows_as_theirs(
    site: tuple[Served, Case], client: TestClient
) -> None:
    _, case = site
    volumes = f"/api/v1/cases/{case.id}/volumes"
    ends = truth_of(case, 1).ends[0]
    for number, view in ((1, "399214001"), (2, "399232001")):
        path = f"/api/v1/images/{case.images()[number - 1].id}/marks"
        version = client.get(path).json()["version"]
        client.put(path, json={"view": view, "beats": [list(ends)], "version": version})
    assert client.get(volumes).json() == {"ejections": [], "length_difference_percent": None, "problem": None}
    draw(case, 1, ends)
    (single, _) = client.get(volumes).json()["ejections"]
    assert single["method"] == "125208"
    draw(case, 2, ends)
    found = client.get(volumes).json()
    truth = truth_of(case, 1)
    assert [one["method"] for one in found["ejections"]] == ["125207", "125204"]
    best = found["ejections"][0]
    assert best["fraction_percent"] == pytest.approx(truth.ef_percent, abs=0.3)
    assert best["end_diastolic_ml"] == pytest.approx(truth.volumes_ml[ends[0] - 1], rel=0.01)
    assert best["end_systolic_ml"] == pytest.approx(truth.volumes_ml[ends[1] - 1], rel=0.01)
    with reading(case.node.engine) as session:
        measured = heart.answers(session, case.row)
    form = f"/api/v1/cases/{case.id}/form"
    saved = client.put(form, json={"values": measured, "version": 0}).json()
    assert {saved["values"][field]["source"] for field in measured} == {"derived"}
    assert {saved["values"][field]["tag"] for field in measured} == {"contours"}
    # What a person changes is theirs; what was taken over stays known as such when the contours have gone.
    other = measured | {"esv_ml": 40.0}
    saved = client.put(form, json={"values": other, "version": 1}).json()
    assert saved["values"]["esv_ml"]["source"] == "manual"
    with transaction(case.node.engine, "test") as session:
        for roi in contours_of(session, case.id).values():
            curation.change_roi(session, case.actor, roi.id, {"deleted": True}, roi.version)
    saved = client.put(form, json={"values": other, "version": 2}).json()
    assert saved["values"]["lvef_percent"] == {
        "value": measured["lvef_percent"],
        "source": "derived",
        "tag": "contours",
    }
    assert client.get(volumes).json()["ejections"] == []


def test_a_contour_that_cannot_be_measured_says_why(site: tuple[Served, Case], client: TestClient) -> None:
    _, case = site
    ends = truth_of(case, 1).ends[0]
    draw(case, 1, ends)
    with transaction(case.node.engine, "test") as session:
        image = session.merge(case.images()[0])
        image.facts = image.facts | {"regions": [], "mm_per_px": None}
        session.add(image)
    found = client.get(f"/api/v1/cases/{case.id}/volumes").json()
    assert found["ejections"] == []
    assert found["problem"] == "The picture has no scale: volumes need millimetres."
