"""A model's proposals through the page: asked for, taken as they are or edited, rejected and kept; none is an ROI by itself."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlmodel import select
from starlette.testclient import TestClient

from core.curation.detector import Blobs, Found
from core.db import reading, transaction
from core.models.curation import Roi
from core.models.people import Role
from core.models.proposals import ModelProposal, ProposalSet, ProposalState
from core.security import session_cookie_name
from core.services import cases, learned
from ml.phantom import make_study
from tests.casework import Case
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from tests.viewer_site import hospital


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Case]]:
    """A site with one case of a cyst: a still and a cine whose candidates are written."""
    with hospital(tmp_path_factory.mktemp("proposals")) as known, serve(postgres, "site", **known.changes) as served:
        served.person("kaneko", [(Role.CUR, "*"), (Role.REG, "*")])
        served.person("registrar", [(Role.REG, "*")])
        case = known.pull(served, make_study(44, "liver", "epiq", 1, 6, "LIV-CYST"))
        case.make_candidates()
        yield served, case


@pytest.fixture
def client(site: tuple[Served, Case]) -> Iterator[TestClient]:
    with TestClient(site[0].app) as client:
        yield signed(client, site[0], "kaneko")


def signed(client: TestClient, served: Served, name: str) -> TestClient:
    client.cookies.set(session_cookie_name(served.settings), served.cookie(name))
    client.headers["Sec-Fetch-Site"] = "same-origin"
    return client


def place(case: Case, is_cine: bool = False) -> str:
    image = next(image for image in case.images() if (image.frames > 1) == is_cine)
    return f"/cases/{case.id}/images/{image.id}/proposals"


def roi_of(proposal: dict[str, Any], label: str = "LIV-CYST") -> dict[str, Any]:
    frame, points = proposal["frame"], proposal["points"]
    return {"id": str(uuid4()), "kind": proposal["kind"], "keyframes": [[frame, points]], "label": label}


def kept(case: Case) -> dict[str, ModelProposal]:
    with reading(case.node.engine) as session:
        return {str(one.id): one for one in session.exec(select(ModelProposal))}


def test_a_model_looks_once_and_draws_nothing(site: tuple[Served, Case], client: TestClient) -> None:
    _, case = site
    first, again = (client.post(place(case)).json() for _ in range(2))
    assert first == again and first["model"] == {"name": "dark blobs", "version": "1"}
    assert first["proposals"] and {one["state"] for one in first["proposals"]} == {"PROPOSED"}
    with reading(case.node.engine) as session:
        assert len(session.exec(select(ProposalSet)).all()) == 1
        assert session.exec(select(Roi)).all() == []
    cine = client.post(place(case, is_cine=True)).json()["proposals"]
    assert len({one["frame"] for one in cine}) > 1 and {one["frame"] for one in cine} <= set(range(1, 7))


def test_a_case_can_be_edited_while_the_model_looks(
    site: tuple[Served, Case], client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, case = site

    class Slow(Blobs):
        name = "slow blobs"  # type: ignore[misc]

        def detect(self, *given: Any) -> list[Found]:
            with transaction(case.node.engine, "test.edit") as other:
                other.connection().execute(text("SET LOCAL lock_timeout = '2s'"))
                cases.locked(other, case.row.id)
            return super().detect(*given)

    monkeypatch.setattr(learned, "CLASSICAL", Slow())
    told = client.post(place(case)).json()
    assert told["model"]["name"] == "slow blobs" and told["proposals"]


def test_a_person_takes_one_and_a_second_sending_makes_no_second(site: tuple[Served, Case], client: TestClient) -> None:
    _, case = site
    best = client.post(place(case)).json()["proposals"][0]
    sent: dict[str, Any] = {"answer": "accept", "roi": roi_of(best)}
    first, again = (client.post(f"{place(case)}/{best['id']}", json=sent) for _ in range(2))
    assert (first.status_code, first.json()["state"]) == (200, "ACCEPTED")
    assert again.json()["roi"]["id"] == first.json()["roi"]["id"] == sent["roi"]["id"]
    with reading(case.node.engine) as session:
        assert [str(roi.id) for roi in session.exec(select(Roi))] == [sent["roi"]["id"]]
    row = kept(case)[best["id"]]
    assert (row.state, str(row.roi_id)) == (ProposalState.ACCEPTED, sent["roi"]["id"])
    assert client.post(f"{place(case)}/{best['id']}", json={"answer": "reject"}).status_code == 409


def test_a_rejected_one_is_kept(site: tuple[Served, Case], client: TestClient) -> None:
    _, case = site
    worst = client.post(place(case, is_cine=True)).json()["proposals"][-1]
    for _ in range(2):
        assert client.post(f"{place(case, True)}/{worst['id']}", json={"answer": "reject"}).json() == {
            "state": "REJECTED"
        }
    assert kept(case)[worst["id"]].state == ProposalState.REJECTED
    sent = {"answer": "accept", "roi": roi_of(worst)}
    assert client.post(f"{place(case, True)}/{worst['id']}", json=sent).status_code == 409


def test_an_accepted_one_that_cannot_be_an_roi_stays_open(site: tuple[Served, Case], client: TestClient) -> None:
    _, case = site
    one = next(p for p in client.post(place(case, True)).json()["proposals"] if p["state"] == "PROPOSED")
    wrong = {"answer": "accept", "roi": roi_of(one, "NO-SUCH")}
    assert client.post(f"{place(case, True)}/{one['id']}", json=wrong).status_code == 422
    assert kept(case)[one["id"]].state == ProposalState.PROPOSED
    assert client.post(f"{place(case, True)}/{one['id']}", json={"answer": "accept"}).status_code == 422


def test_a_proposal_of_another_image_is_not_there(site: tuple[Served, Case], client: TestClient) -> None:
    _, case = site
    one = client.post(place(case, True)).json()["proposals"][0]
    assert client.post(f"{place(case)}/{one['id']}", json={"answer": "reject"}).status_code == 404
    assert client.post(f"{place(case)}/{uuid4()}", json={"answer": "reject"}).status_code == 404


def test_only_a_curator_asks(site: tuple[Served, Case], client: TestClient) -> None:
    served, case = site
    assert signed(client, served, "registrar").post(place(case)).status_code == 403
