"""A model that draws the ventricle behind the proposals: borders at both ends of a beat, taken into the contour by a person."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from core.db import reading
from core.errors import Unavailable, WrongState
from core.models.people import Role
from core.models.proposals import ModelProposal, ProposalState
from core.security import session_cookie_name
from core.services import learned
from ml.phantom_heart import HeartTruth, heart_study
from tests.casework import Case
from tests.modelled import kept, put_in_effect
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from tests.tiny_models import save_heart
from tests.viewer_site import hospital

FRAMES = 20  # one beat and a little


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_heart(tmp_path_factory.mktemp("model") / "echo")


@pytest.fixture(scope="module")
def site(
    postgres: ScratchPostgres, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, Case]]:
    with (
        hospital(tmp_path_factory.mktemp("hearts")) as known,
        serve(postgres, "site", domains=("heart",), **known.changes) as served,
    ):
        served.person("pi", [(Role.SITEPI, "*"), (Role.SITEIT, "*")])
        served.person("kaneko", [(Role.CUR, "*"), (Role.REG, "*")])
        case = known.pull(served, heart_study(1, "logiq-e9", FRAMES))
        case.make_candidates()
        put_in_effect(served, folder, "pi", "heart")
        with kept(served):
            served.node.inference._patience = 60
            yield served, case


@pytest.fixture
def client(site: tuple[Served, Case]) -> TestClient:
    served = site[0]
    served.client.cookies.set(session_cookie_name(served.settings), served.cookie("kaneko"))
    served.client.headers["Sec-Fetch-Site"] = "same-origin"
    return served.client


def place(case: Case, number: int = 1) -> str:
    image = next(image for image in case.images() if image.number == number)
    return f"/cases/{case.id}/images/{image.id}"


def row(case: Case, proposal: dict[str, Any]) -> ModelProposal:
    with reading(case.node.engine) as session:
        return session.exec(select(ModelProposal).where(ModelProposal.id == proposal["id"])).one()


def test_both_ends_of_the_beat_are_proposed_on_the_walls(site: tuple[Served, Case], client: TestClient) -> None:
    _, case = site
    answer = client.post(f"{place(case)}/proposals").json()
    assert answer["model"] == {"name": "tiny-echo", "version": "1"}
    truth = case.instance_of(case.images()[0]).truth
    assert isinstance(truth, HeartTruth)
    found = {one["label"]: one for one in answer["proposals"]}
    assert (found["ed"]["frame"], found["es"]["frame"]) == truth.ends[0]
    for one in found.values():
        assert (one["kind"], one["state"], len(one["points"])) == ("line", "PROPOSED", 13)
        wall = [x for x, _ in truth.contours[one["frame"] - 1]]
        drawn = [x for x, _ in one["points"]]
        assert (min(drawn), max(drawn)) == (pytest.approx(min(wall), abs=6), pytest.approx(max(wall), abs=6))
    assert client.post(f"{place(case)}/proposals").json() == answer  # it looked once


def test_a_border_goes_into_the_contour_of_its_image(site: tuple[Served, Case], client: TestClient) -> None:
    _, case = site
    one, other = client.post(f"{place(case)}/proposals").json()["proposals"]
    contour = {"id": str(uuid4()), "kind": "line", "use": "lv", "keyframes": [[one["frame"], one["points"]]]}
    assert client.post(f"{place(case)}/rois", json=contour).status_code in (200, 201)
    answers = [
        client.post(f"{place(case)}/proposals/{one['id']}", json={"answer": "accept", "roiId": contour["id"]})
        for _ in range(2)
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"state": "ACCEPTED"})] * 2
    assert (row(case, one).state, str(row(case, one).roi_id)) == (ProposalState.ACCEPTED, contour["id"])
    for wrong in ({"roiId": str(uuid4())}, {"roiId": contour["id"], "roi": contour}, {}):
        sent = client.post(f"{place(case)}/proposals/{other['id']}", json={"answer": "accept", **wrong})
        assert sent.status_code == (404 if [*wrong] == ["roiId"] else 422)
    far = client.post(f"{place(case, 2)}/proposals").json()["proposals"][0]
    sent = client.post(f"{place(case, 2)}/proposals/{far['id']}", json={"answer": "accept", "roiId": contour["id"]})
    assert sent.status_code == 404  # the contour of another image
    assert client.post(f"{place(case)}/proposals/{other['id']}", json={"answer": "reject"}).status_code == 200
    assert row(case, other).state == ProposalState.REJECTED


def test_it_takes_effect_for_the_heart_alone(site: tuple[Served, Case], folder: Path, tmp_path: Path) -> None:
    text = (folder / "model.json").read_text().replace("tiny-echo", "other-echo")
    for name in ("model.onnx", "card.md"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(WrongState, match="for the heart alone"):
        put_in_effect(site[0], tmp_path, "pi", "liver")


def test_without_a_model_a_ventricle_is_no_dark_blob(site: tuple[Served, Case]) -> None:
    with pytest.raises(Unavailable, match="No model is in effect"):
        learned.detector(site[0].node, None, "heart")
    assert learned.detector(site[0].node, None, "liver").name == "dark blobs"


def test_pictures_are_answered_with_the_border(site: tuple[Served, Case], client: TestClient) -> None:
    served, case = site
    picture = client.get(f"{place(case)}/frames/1").content
    headers = served.bearer("kaneko") | {"content-type": "image/jpeg"}
    frame = client.post("/api/v1/infer?domain=heart", content=picture, headers=headers).json()["frames"][0]
    assert frame["boxes"] == [] and len(frame["border"]["points"]) == 80 and 0.5 < frame["border"]["score"] <= 1
    coco = client.post("/api/v1/infer/coco?domain=heart", content=picture, headers=headers).json()
    (drawn,) = coco["annotations"]
    assert len(drawn["segmentation"][0]) == 160 and coco["categories"][0]["name"] == "LV"
    assert drawn["bbox"][0] == min(drawn["segmentation"][0][::2])
